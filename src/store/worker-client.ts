/**
 * Calls into a thread of its own, for work that waits for a disk: the event loop must not.
 *
 * A worker's code is one function without any reference to what is outside it (`process.getBuiltinModule` instead of
 * imports); its text becomes the worker. So it is part of whatever bundle or executable this module is part of:
 * `new Worker(new URL(…))` works in an executable of `bun build --compile` only when each worker file is listed as
 * another entry point, at a path that depends on all the others. Tried with --minify, --bytecode and the baseline
 * target; worker-client.test.ts compiles one.
 */
import { AppError } from "../lib/errors.ts";

/** What a worker's function answers for one operation; `code` is the errno name of what was thrown, if it has one. */
type Reply = { id: number; value?: unknown; error?: { code: string | null; message: string } };

export class WorkerError extends Error {
	override name = "WorkerError";
	/** "ENOSPC", "SQLITE_FULL" …; null when the cause has no code. */
	readonly code: string | null;

	constructor(message: string, code: string | null) {
		super(message);
		this.code = code;
	}
}

type Helper = (...args: never[]) => unknown;
type Body = (helper: never) => void;
const urls = new Map<Body, string>();

function urlOf(body: Body, helper: Helper | null): string {
	let url = urls.get(body);
	if (url === undefined) {
		const text = `(${body.toString()})(${helper === null ? "" : helper.toString()});`;
		url = URL.createObjectURL(new Blob([text], { type: "application/javascript" }));
		urls.set(body, url);
	}
	return url;
}

/** What Bun adds to the browser's Worker. */
type BunWorker = Worker & { ref(): void; unref(): void };

export class WorkerClient {
	readonly #worker: BunWorker;
	readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
	#nextId = 1;
	#failure: Error | null = null;

	/**
	 * `body` must be self-contained; it answers messages `{ id, operation, args }`, one at a time, in order. `helper`: what
	 * it is called with, self-contained, too; always the same for one body.
	 */
	constructor(body: Body, helper: Helper | null = null) {
		this.#worker = new Worker(urlOf(body, helper)) as BunWorker;
		// An idle worker must not keep the process; one that works must.
		this.#worker.unref();
		this.#worker.onmessage = (event: MessageEvent<Reply>) => this.#onReply(event.data);
		this.#worker.onerror = (event) => this.#fail(new WorkerError(`a worker failed: ${event.message}`, null));
	}

	/** Rejects with WorkerError. */
	call(operation: string, args: unknown): Promise<unknown> {
		if (this.#failure !== null) return Promise.reject(this.#failure);
		const id = this.#nextId++;
		const { promise, resolve, reject } = Promise.withResolvers<unknown>();
		if (this.#pending.size === 0) this.#worker.ref();
		this.#pending.set(id, { resolve, reject });
		this.#worker.postMessage({ id, operation, args });
		return promise;
	}

	close(): void {
		this.#fail(new AppError("unavailable", "The disk worker was closed."));
		this.#worker.terminate();
	}

	#onReply(reply: Reply): void {
		const waiting = this.#pending.get(reply.id);
		this.#pending.delete(reply.id);
		if (this.#pending.size === 0) this.#worker.unref();
		if (reply.error) waiting?.reject(new WorkerError(reply.error.message, reply.error.code));
		else waiting?.resolve(reply.value);
	}

	#fail(error: Error): void {
		this.#failure ??= error;
		for (const waiting of this.#pending.values()) waiting.reject(error);
		this.#pending.clear();
	}
}
