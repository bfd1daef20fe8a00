/**
 * A duplex byte stream for test clients over a unix socket, TCP or a WebSocket, with reads of an exact length. What was
 * received and not yet read is bounded; a server that sends more than that unread ends the stream.
 */
import { connect } from "node:net";
import WebSocket from "ws";
import { AppError } from "../../lib/errors.ts";

export type StreamTarget =
	| { unixPath: string }
	| { host: string; port: number }
	| { url: string; protocols?: string[]; headers?: Record<string, string>; rejectUnauthorized?: boolean };

export interface ByteStream {
	/** The next `length` bytes. Rejects with `unavailable` once the other side is gone. One read at a time. */
	read(length: number): Promise<Buffer>;
	write(bytes: Uint8Array): void;
	/** Ends the connection; reads under way reject. */
	close(): void;
	/** Resolves when the connection has ended, whoever ended it, with the WebSocket close code if there is one. */
	readonly closed: Promise<number | undefined>;
	/** The WebSocket subprotocol that the server chose; empty elsewhere. */
	readonly protocol: string;
}

const unreadLimitBytes = 256 * 1024 * 1024;

/** Connects within `timeoutMs` or rejects with `unavailable` or `timeout`. */
export async function openByteStream(target: StreamTarget, timeoutMs: number): Promise<ByteStream> {
	const queue = new ReadQueue();
	const { promise: opened, resolve: onOpen, reject: onFail } = Promise.withResolvers<void>();
	const { promise: closed, resolve: onClosed } = Promise.withResolvers<number | undefined>();
	const fail = (cause: unknown) => {
		const error = new AppError("unavailable", "The connection failed.", { cause });
		queue.end(error);
		onFail(error);
	};
	const end = (code?: number) => {
		const error = new AppError("unavailable", "The connection has ended.", { context: { code } });
		queue.end(error);
		onFail(error);
		onClosed(code);
	};
	const transport = "url" in target ? openWebSocket(target) : openSocket(target);
	transport.listen({
		open: onOpen,
		data: (bytes) => {
			if (!queue.push(bytes)) transport.close();
		},
		fail,
		end,
	});
	const timer = setTimeout(() => {
		onFail(new AppError("timeout", `No connection within ${timeoutMs} ms.`));
		transport.close();
	}, timeoutMs);
	try {
		await opened;
	} finally {
		clearTimeout(timer);
	}
	return {
		read: (length) => queue.read(length),
		write: transport.write,
		close: transport.close,
		closed,
		protocol: transport.protocol(),
	};
}

type Listener = {
	open(): void;
	data(bytes: Buffer): void;
	fail(cause: unknown): void;
	end(code?: number): void;
};
type Transport = { listen(to: Listener): void; write(bytes: Uint8Array): void; close(): void; protocol(): string };

function openSocket(target: { unixPath: string } | { host: string; port: number }): Transport {
	const socket = "unixPath" in target ? connect(target.unixPath) : connect(target.port, target.host);
	return {
		listen: ({ open, data, fail, end }) => {
			socket.on("connect", open).on("data", data).on("error", fail);
			socket.on("close", () => end());
		},
		write: (bytes) => void socket.write(bytes),
		close: () => void socket.destroy(),
		protocol: () => "",
	};
}

function openWebSocket(target: Extract<StreamTarget, { url: string }>): Transport {
	const socket = new WebSocket(target.url, target.protocols ?? [], {
		headers: target.headers ?? {},
		rejectUnauthorized: target.rejectUnauthorized ?? true,
	});
	socket.binaryType = "nodebuffer";
	return {
		listen: ({ open, data, fail, end }) => {
			socket.on("open", open).on("error", fail);
			socket.on("message", (message: Buffer) => data(message));
			socket.on("close", (code) => end(code));
		},
		write: (bytes) => void socket.send(bytes),
		close: () => void socket.close(),
		protocol: () => socket.protocol,
	};
}

/** Received chunks, and the one read that waits for more of them. */
export class ReadQueue {
	#chunks: Buffer[] = [];
	#unread = 0;
	#waiting: { length: number; resolve: (bytes: Buffer) => void; reject: (error: unknown) => void } | undefined;
	#ended: AppError | undefined;

	/** False when the limit is passed; the queue is then ended. */
	push(bytes: Buffer): boolean {
		if (this.#ended) return false;
		this.#chunks.push(bytes);
		this.#unread += bytes.length;
		this.#serve();
		if (this.#unread <= unreadLimitBytes) return true;
		this.end(new AppError("too-large", "The other side sent more than is read."));
		return false;
	}

	/** What has come can still be read; the rest rejects with `error`. */
	end(error: AppError): void {
		this.#ended ??= error;
		this.#serve();
	}

	read(length: number): Promise<Buffer> {
		if (this.#waiting) return Promise.reject(new AppError("internal", "A read is already under way."));
		return new Promise((resolve, reject) => {
			this.#waiting = { length, resolve, reject };
			this.#serve();
		});
	}

	#serve(): void {
		const waiting = this.#waiting;
		if (!waiting) return;
		if (this.#unread >= waiting.length) {
			this.#waiting = undefined;
			waiting.resolve(this.#take(waiting.length));
		} else if (this.#ended) {
			this.#waiting = undefined;
			waiting.reject(this.#ended);
		}
	}

	#take(length: number): Buffer {
		const taken: Buffer[] = [];
		let missing = length;
		let used = 0;
		for (const chunk of this.#chunks) {
			if (missing === 0) break;
			if (chunk.length > missing) {
				taken.push(chunk.subarray(0, missing));
				this.#chunks[used] = chunk.subarray(missing);
				missing = 0;
				break;
			}
			taken.push(chunk);
			missing -= chunk.length;
			used += 1;
		}
		this.#chunks.splice(0, used);
		this.#unread -= length;
		return taken.length === 1 ? (taken[0] ?? Buffer.alloc(0)) : Buffer.concat(taken, length);
	}
}
