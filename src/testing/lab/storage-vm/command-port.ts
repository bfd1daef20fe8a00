/**
 * The host's end of the command port of the storage lab VM (the guest's is guest/serve): scripts that run side by side, each
 * with its standard input, and what they said. QEMU connects to a unix socket that is listened on before it starts.
 */
import { createServer, type Server, type Socket } from "node:net";
import { AppError } from "../../../lib/errors.ts";

export type Answer = { exitCode: number; output: Buffer };
type Request = { resolve: (answer: Answer) => void; reject: (error: unknown) => void; timer: Timer };

/** The guest ends a script at its limit and then still has to say so. */
const graceMs = 15_000;
const headLimit = 100;

export class CommandPort {
	readonly #server: Server;
	readonly #waiting = new Map<number, Request>();
	readonly #connected = Promise.withResolvers<Socket>();
	readonly #up = Promise.withResolvers<void>();
	#rest: Buffer = Buffer.alloc(0);
	#requests = 0;
	#ended: unknown;

	static async listen(path: string): Promise<CommandPort> {
		const port = new CommandPort();
		await new Promise<void>((resolve, reject) => {
			port.#server.once("error", reject);
			port.#server.listen(path, resolve);
		});
		return port;
	}

	private constructor() {
		this.#server = createServer((socket) => {
			this.#server.close();
			socket.on("data", (bytes: Buffer) => this.#received(bytes));
			socket.on("error", () => socket.destroy());
			socket.on("close", () => this.end(new AppError("unavailable", "The storage lab VM has ended.")));
			this.#connected.resolve(socket);
		});
		this.#connected.promise.catch(() => undefined);
		this.#up.promise.catch(() => undefined);
	}

	/** Says the time, which is what a machine from a snapshot waits for, and waits until it obeys. */
	async start(limitMs: number): Promise<void> {
		(await this.#connected.promise).write(`${Math.floor(Date.now() / 1000)}\n`);
		const timer = setTimeout(
			() => this.#up.reject(new AppError("timeout", `The storage lab VM did not start within ${limitMs} ms.`)),
			limitMs,
		);
		await this.#up.promise.finally(() => clearTimeout(timer));
	}

	/** Fails with `timeout`, or `unavailable` when the machine has ended. An exit code is no failure here; 124 is the limit. */
	async request(script: string, input: Uint8Array, limitMs: number): Promise<Answer> {
		const socket = await this.#connected.promise;
		if (this.#ended !== undefined) throw this.#ended;
		this.#requests += 1;
		const number = this.#requests;
		const { promise, resolve, reject } = Promise.withResolvers<Answer>();
		const timer = setTimeout(() => {
			this.#waiting.delete(number);
			reject(new AppError("timeout", `The storage lab VM did not answer within ${limitMs + graceMs} ms: ${script}`));
		}, limitMs + graceMs);
		this.#waiting.set(number, { resolve, reject, timer });
		const bytes = Buffer.from(`${script}\n`);
		const head = `${number} ${bytes.length} ${input.length} ${limitMs / 1000}\n`;
		socket.write(Buffer.concat([Buffer.from(head), bytes, input]));
		return promise;
	}

	end(cause: unknown): void {
		this.#ended ??= cause;
		this.#server.close();
		this.#connected.reject(cause);
		this.#up.reject(cause);
		for (const { reject, timer } of this.#waiting.values()) {
			clearTimeout(timer);
			reject(cause);
		}
		this.#waiting.clear();
	}

	#received(bytes: Buffer): void {
		this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
		for (;;) {
			const at = this.#rest.subarray(0, headLimit).indexOf("\n");
			if (at < 0) return;
			const head = this.#rest.toString("latin1", 0, at);
			const [number = 0, exitCode = 0, length = 0] = head === "up" ? [] : head.split(" ").map(Number);
			if (this.#rest.length < at + 1 + length) return;
			const output = Buffer.from(this.#rest.subarray(at + 1, at + 1 + length));
			this.#rest = this.#rest.subarray(at + 1 + length);
			if (head === "up") this.#up.resolve();
			const request = this.#waiting.get(number);
			this.#waiting.delete(number);
			clearTimeout(request?.timer);
			request?.resolve({ exitCode, output });
		}
	}
}
