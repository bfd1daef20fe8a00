/**
 * `limiquantix vm console`: the serial console in this terminal. What the guest writes goes to the terminal as it is,
 * as with any terminal program; Ctrl-] leaves.
 */
import { AppError } from "../../../lib/errors.ts";
import { MiB } from "../../../lib/units.ts";
import type { Cli } from "../../cli.ts";
import { type ConsoleSocket, openConsoleSocket } from "../../connection/web-socket.ts";
import { resolveId } from "../../names.ts";
import { flag } from "../../options.ts";
import { type Verb, verb } from "../../verb.ts";
import { vmArgument } from "./show.ts";

const leaveByte = 0x1d;
/** What may wait for a terminal, or for the network, that does not keep up. */
const maxWaitingBytes = 8 * MiB;

export const consoleVerb: Verb = verb({
	name: "console",
	summary: "Open a VM's serial console in this terminal; Ctrl-] leaves it",
	description: "The guest must use its serial port. With standard input from a pipe, that is what is typed.",
	examples: ["limiquantix vm console web", "limiquantix vm console web --view-only"],
	arguments: vmArgument,
	options: { viewOnly: flag("--view-only", "show only; type nothing") },
	async run(cli, { vm }, { viewOnly }) {
		const id = await resolveId(cli, "vm", vm);
		const { body: ticket } = await cli.call("vmConsoleTicketCreate", {
			path: { id },
			body: { kind: "native", type: "serial", ...(viewOnly ? { viewOnly } : {}) },
		});
		const screen = boundedWriter(cli);
		const socket = await openConsoleSocket(cli.connection(), ticket.path, ticket.protocols, (data) => {
			if (!screen.write(data)) socket.close();
		});
		await cli.note(`Connected to ${vm}${ticket.viewOnly ? " (view only)" : ""}. Ctrl-] leaves.`);
		const reason = await attended(cli, socket, ticket.viewOnly);
		await screen.flushed();
		if (screen.overrun) throw new AppError("unavailable", "The console wrote faster than this terminal could show.");
		if (reason !== null) throw new AppError("unavailable", `The console was closed: ${reason}`);
	},
});

/** Carries what is typed until the console closes, Ctrl-] or Ctrl-C outside raw mode. Answers why it closed. */
async function attended(cli: Cli, socket: ConsoleSocket, viewOnly: boolean): Promise<string | null> {
	const { stdin } = cli.io;
	let left = false;
	const leave = () => {
		left = true;
		socket.close();
	};
	const over = new AbortController();
	cli.interrupt.addEventListener("abort", leave, { once: true });
	stdin.setRaw(true);
	try {
		const typing = type(cli, socket, { viewOnly, leave, signal: over.signal });
		const reason = await Promise.race([socket.closed, typing.then(() => socket.closed)]);
		return left ? null : reason;
	} finally {
		over.abort();
		stdin.setRaw(false);
		cli.interrupt.removeEventListener("abort", leave);
		await cli.io.stderr.write("\r\n");
	}
}

async function type(
	cli: Cli,
	socket: ConsoleSocket,
	{ viewOnly, leave, signal }: { viewOnly: boolean; leave: () => void; signal: AbortSignal },
): Promise<void> {
	const { stdin } = cli.io;
	for await (const chunk of stdin.read(signal)) {
		const at = stdin.isTTY ? chunk.indexOf(leaveByte) : -1;
		const typed = at < 0 ? chunk : chunk.subarray(0, at);
		if (typed.length > 0 && !viewOnly) socket.send(typed);
		if (at >= 0 || socket.bufferedBytes > maxWaitingBytes) return leave();
	}
	// The end of a pipe is not the end of the console: what the guest answers is still wanted.
}

function boundedWriter(cli: Cli) {
	let waiting = 0;
	let last: Promise<void> = Promise.resolve();
	return {
		overrun: false,
		/** False when too much waits; nothing is taken then. */
		write(data: Uint8Array): boolean {
			if (waiting + data.length > maxWaitingBytes) {
				this.overrun = true;
				return false;
			}
			waiting += data.length;
			last = last
				.then(() => cli.io.stdout.write(data))
				.then(() => {
					waiting -= data.length;
				});
			return true;
		},
		flushed: () => last,
	};
}
