/**
 * A byte connection to a unix socket. Writes may be partial in the kernel: what did not fit waits here, in order, and
 * `bufferedBytes` says how much. Whoever writes without bound must wait for `drained()`.
 */
import { AppError } from "../../../lib/errors.ts";

export type TransportEvents = {
	/** `data` belongs to the receiver. Must not throw. */
	onData(data: Uint8Array): void;
	/** Called once, whoever ended it. */
	onClosed(reason: string): void;
};

export interface Transport {
	/** Bytes accepted by `write` that the kernel has not taken yet. */
	readonly bufferedBytes: number;
	/** Never blocks; without effect once closed. `data` must not be changed afterwards. */
	write(data: Uint8Array): void;
	/** Resolves when nothing is buffered any more, or the connection is closed. */
	drained(): Promise<void>;
	/** Stops or goes on reading. The kernel then holds the peer back. */
	pause(): void;
	resume(): void;
	/** Ends the connection at once; `onClosed` is called with `reason`. */
	close(reason: string): void;
}

/** Fails with `unavailable`: no such socket, nobody listening, no permission, or `signal` aborted first. */
export type Connect = (path: string, events: TransportEvents, signal: AbortSignal) => Promise<Transport>;

export const connectUnix: Connect = async (path, events, signal) => {
	const transport = new UnixTransport(events);
	const connecting = Bun.connect({ unix: path, socket: transport.handlers });
	try {
		await Promise.race([connecting, aborted(signal)]);
		return transport;
	} catch (cause) {
		// A connection that comes too late is not kept.
		connecting.then(
			(socket) => socket.terminate(),
			() => {},
		);
		const code = cause instanceof Error && "code" in cause ? `${cause.code}: ` : "";
		const why = `${code}${cause instanceof Error ? cause.message : String(cause)}`;
		throw new AppError("unavailable", `The socket ${path} does not answer: ${why}`, { cause, context: { path } });
	}
};

function aborted(signal: AbortSignal): Promise<never> {
	return new Promise((_, reject) => {
		if (signal.aborted) return reject(signal.reason);
		signal.addEventListener("abort", () => reject(signal.reason), { once: true });
	});
}

class UnixTransport implements Transport {
	readonly #events: TransportEvents;
	#socket: Bun.Socket<undefined> | null = null;
	#queue: Uint8Array[] = [];
	#bufferedBytes = 0;
	#closed = false;
	#waiting: (() => void)[] = [];

	constructor(events: TransportEvents) {
		this.#events = events;
	}

	readonly handlers: Bun.SocketHandler<undefined> = {
		open: (socket) => {
			this.#socket = socket;
			if (this.#closed) socket.terminate();
			else this.#flush();
		},
		data: (_socket, data) => {
			if (!this.#closed) this.#events.onData(data);
		},
		drain: () => this.#flush(),
		end: () => this.close("the other side closed the connection"),
		close: (_socket, error) => this.close(error?.message ?? "the other side closed the connection"),
		error: (_socket, error) => this.close(error.message),
	};

	get bufferedBytes(): number {
		return this.#bufferedBytes;
	}

	write(data: Uint8Array): void {
		if (this.#closed) return;
		this.#queue.push(data);
		this.#bufferedBytes += data.length;
		if (this.#queue.length === 1) this.#flush();
	}

	drained(): Promise<void> {
		if (this.#closed || this.#bufferedBytes === 0) return Promise.resolve();
		return new Promise((resolve) => this.#waiting.push(resolve));
	}

	pause(): void {
		if (!this.#closed) this.#socket?.pause();
	}

	resume(): void {
		if (!this.#closed) this.#socket?.resume();
	}

	close(reason: string): void {
		if (this.#closed) return;
		this.#closed = true;
		this.#queue = [];
		this.#bufferedBytes = 0;
		this.#wake();
		this.#socket?.terminate();
		this.#events.onClosed(reason);
	}

	#flush(): void {
		while (!this.#closed) {
			const next = this.#queue[0];
			if (!next) break;
			const written = this.#socket?.write(next) ?? 0;
			if (written < 0) {
				this.close("the other side closed the connection");
				return;
			}
			this.#bufferedBytes -= written;
			if (written < next.length) {
				this.#queue[0] = next.subarray(written);
				return; // `drain` comes when the kernel has room again
			}
			this.#queue.shift();
		}
		this.#wake();
	}

	#wake(): void {
		for (const resolve of this.#waiting.splice(0)) resolve();
	}
}
