/**
 * A VM's guest as a person with a terminal sees it: what it prints, through the API's serial log, and what one types,
 * through the serial console's WebSocket. The guest is that of lab/guest-image.ts.
 */
import { Buffer } from "node:buffer";
import WebSocket from "ws";
import { AppError } from "../../lib/errors.ts";
import { guestReadyLine } from "../lab/guest-image.ts";
import { waitUntil } from "../lab/wait-until.ts";
import type { LabSystem } from "./lab-system.ts";

const bootLimitMs = 120_000;
const commandLimitMs = 30_000;

export class GuestTerminal {
	readonly #system: LabSystem;
	readonly #vmId: string;
	#commands = 0;

	constructor(system: LabSystem, vmId: string) {
		this.#system = system;
		this.#vmId = vmId;
	}

	/** Everything that it printed since its VM was made, in all of its lives. */
	async text(): Promise<string> {
		const { body } = await this.#system.api.call("vmSerialLogGet", {
			path: { id: this.#vmId },
			query: { maxBytes: 4 * 1024 * 1024 },
		});
		return body.text();
	}

	/** A position to wait from, so that what was printed before does not count. */
	async mark(): Promise<number> {
		return (await this.text()).length;
	}

	/** Waits until it has printed that, at or after `from`. */
	async says(pattern: RegExp | string, options: { from?: number; limitMs?: number } = {}): Promise<RegExpExecArray> {
		const { from = 0, limitMs = commandLimitMs } = options;
		const wanted = typeof pattern === "string" ? new RegExp(RegExp.escape(pattern)) : pattern;
		let text = "";
		try {
			return await waitUntil(
				`the guest to say ${pattern}`,
				limitMs,
				async () => {
					text = await this.text();
					return wanted.exec(text.slice(from)) ?? undefined;
				},
				{ everyMs: 100 },
			);
		} catch (error) {
			if (!(error instanceof AppError) || error.code !== "timeout") throw error;
			throw new AppError("timeout", `${error.message} Its last words: ${JSON.stringify(text.slice(-600))}`);
		}
	}

	/** Waits until the guest is up and its shell takes commands; `from`: in this life. */
	async booted(from = 0, limitMs = bootLimitMs): Promise<void> {
		await this.says(new RegExp(`${guestReadyLine}[\\s\\S]*:\\S*# `), { from, limitMs });
		await this.#answers();
	}

	/** On a busy machine the first bytes after the prompt are lost at times: what is typed here is no loss. */
	async #answers(attempts = 3): Promise<void> {
		const from = await this.mark();
		try {
			await this.type(": are you there?\n");
			await this.says(/\n[^\n]*:\S*# /, { from, limitMs: 10_000 });
		} catch (error) {
			if (attempts <= 1) throw error;
			await this.#answers(attempts - 1);
		}
	}

	/** What a command printed. The guest must be up; fails when its shell does not answer within 30 s. */
	async run(command: string): Promise<string> {
		const number = ++this.#commands;
		const from = await this.mark();
		// The marks stand apart from their echo, which has quotes in the middle.
		await this.type(`echo be""gin-${number}; ${command}; echo e""nd-${number}\n`);
		const [, output = ""] = await this.says(new RegExp(`begin-${number}\\r?\\n([\\s\\S]*?)end-${number}\\r?\\n`), {
			from,
		});
		return output.replaceAll("\r", "").trim();
	}

	/** Types into the serial console, as a program of its own would: ticket, WebSocket, bytes. */
	async type(text: string): Promise<void> {
		const { body: ticket } = await this.#system.api.call("vmConsoleTicketCreate", {
			path: { id: this.#vmId },
			body: { kind: "native", type: "serial" },
		});
		const url = `${this.#system.daemon.url.replace(/^http/, "ws")}${ticket.path}`;
		const socket = new WebSocket(url, ticket.protocols, { rejectUnauthorized: false });
		const { promise: echoed, resolve, reject } = Promise.withResolvers<void>();
		const late = setTimeout(
			() => reject(new AppError("timeout", "The serial console echoes nothing.")),
			commandLimitMs,
		);
		let seen = "";
		const awaited = text.trimEnd().slice(-8);
		socket.on("open", () => socket.send(Buffer.from(text)));
		socket.on("error", reject);
		socket.on("close", (code, reason) => reject(new AppError("unavailable", `It was closed: ${code} ${reason}`)));
		socket.on("message", (data: Buffer) => {
			seen += data.toString("latin1");
			// A long line is broken where the terminal's ends.
			if (seen.replace(/ \x08|[\r\n]/g, "").includes(awaited)) resolve();
		});
		try {
			await echoed;
		} finally {
			clearTimeout(late);
			socket.close();
		}
	}
}
