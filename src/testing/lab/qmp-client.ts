/** A minimal QMP client (QEMU Machine Protocol, docs/interop/qmp-spec.txt) for tests: commands and waits for events. */
import type { Socket } from "node:net";
import { AppError } from "../../lib/errors.ts";

type Message = {
	return?: unknown;
	error?: { class: string; desc: string };
	event?: string;
	data?: Record<string, unknown>;
	id?: number;
};
type Waiter<T> = { resolve: (value: T) => void; reject: (error: unknown) => void };

const maximumLine = 4 * 1024 * 1024;

export class QmpClient {
	readonly #socket: Socket;
	#rest = "";
	#nextId = 1;
	#ended = false;
	readonly #replies = new Map<number, Waiter<unknown>>();
	readonly #events = new Map<string, Set<Waiter<Record<string, unknown>>>>();

	private constructor(socket: Socket) {
		this.#socket = socket;
		socket.setEncoding("utf8").on("data", (text: string) => this.#receive(text));
		socket.on("error", () => socket.destroy());
		socket.on("close", () => this.#end());
	}

	/** Takes over a connected socket and leaves negotiation mode. */
	static async open(socket: Socket): Promise<QmpClient> {
		const client = new QmpClient(socket);
		await client.command("qmp_capabilities");
		return client;
	}

	/** The command's `return`. Fails with `hypervisor` (QEMU's own words), `timeout` or `unavailable`. */
	command(name: string, args: Record<string, unknown> = {}, timeoutMs = 10_000): Promise<unknown> {
		const id = this.#nextId++;
		return this.#limited<unknown>(timeoutMs, `an answer to ${name}`, (waiter) => {
			this.#replies.set(id, waiter);
			this.#socket.write(`${JSON.stringify({ execute: name, arguments: args, id })}\n`);
		});
	}

	/** The data of the next event of that name. Ask before causing it. */
	nextEvent(name: string, timeoutMs = 10_000): Promise<Record<string, unknown>> {
		return this.#limited(timeoutMs, `event ${name}`, (waiter) => {
			const waiting = this.#events.get(name) ?? new Set();
			this.#events.set(name, waiting.add(waiter));
		});
	}

	async #limited<T>(timeoutMs: number, what: string, start: (waiter: Waiter<T>) => void): Promise<T> {
		if (this.#ended) throw new AppError("unavailable", "QEMU has ended.");
		const { promise, resolve, reject } = Promise.withResolvers<T>();
		const timer = setTimeout(
			() => reject(new AppError("timeout", `No ${what} from QEMU in ${timeoutMs} ms.`)),
			timeoutMs,
		);
		start({ resolve, reject });
		try {
			return await promise;
		} finally {
			clearTimeout(timer);
		}
	}

	#receive(text: string): void {
		const lines = (this.#rest + text).split("\n");
		this.#rest = lines.pop() ?? "";
		if (this.#rest.length > maximumLine) this.#socket.destroy();
		for (const line of lines) if (line.trim() !== "") this.#dispatch(JSON.parse(line) as Message);
	}

	#dispatch(message: Message): void {
		if (message.event !== undefined) {
			for (const waiter of this.#events.get(message.event) ?? []) waiter.resolve(message.data ?? {});
			this.#events.delete(message.event);
			return;
		}
		if (message.id === undefined) return; // the greeting
		const waiter = this.#replies.get(message.id);
		this.#replies.delete(message.id);
		if (message.error) waiter?.reject(new AppError("hypervisor", `QEMU: ${message.error.desc}`));
		else waiter?.resolve(message.return);
	}

	#end(): void {
		this.#ended = true;
		const gone = new AppError("unavailable", "QEMU has ended.");
		for (const waiter of this.#replies.values()) waiter.reject(gone);
		for (const waiters of this.#events.values()) for (const waiter of waiters) waiter.reject(gone);
		this.#replies.clear();
		this.#events.clear();
	}
}
