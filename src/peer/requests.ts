/**
 * Calls to another node: any number at a time on one connection, each with its own time limit. For proposals, read indices and
 * API requests that another node has to answer. What is large or long goes on a stream of its own (stream.ts).
 *
 * A call fails with the other node's own error (code, text, fields), or with a PeerError when the connection fails it: its `sent`
 * says whether it may have been carried out all the same.
 */
import { AnswerSchema, CallSchema, CancelCallSchema } from "../gen/peer_pb.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { MiB } from "../lib/units.ts";
import { Backoff } from "./backoff.ts";
import type { Connection } from "./connection.ts";
import type { Dialled } from "./dial.ts";
import type { Frame } from "./frame.ts";
import { type Close, isPeerError, mayChangeSoon, PeerError } from "./peer-error.ts";
import { decoded, decodeError, encoded, fromUint64 } from "./wire.ts";

/** Of a call and of its answer. */
export const maxCallBytes = 4 * MiB + 32 * 1024;
export const maxCallMs = 10 * 60_000;
/** As many as proposals may wait (store/limits.ts): each of them may be one. */
const maxInFlight = 4096;
/** Calls that were not taken by the network yet; beyond that new ones are refused. */
const maxWaitingBytes = 32 * MiB;
const backoffOptions = { firstMs: 50, maxMs: 2000 };
const lastingPauseMs = 5000;

export type CallOptions = { timeoutMs: number; signal?: AbortSignal };
export type RequestClientOptions = {
	/** Makes a connection of purpose "request". */
	dial(signal: AbortSignal): Promise<Dialled>;
	clock: Clock;
	random: Random;
	logger: Logger;
};

type Pending = {
	id: number;
	frame: Uint8Array;
	/** The connection that it went out on. */
	connection: Connection | null;
	resolve(payload: Uint8Array): void;
	reject(error: Error): void;
};

export class RequestClient {
	readonly #options: RequestClientOptions;
	readonly #backoff: Backoff;
	readonly #abort = new AbortController();
	readonly #pending = new Map<number, Pending>();
	#connection: Connection | null = null;
	#connecting = false;
	/** Not connected again before this time: the peer has just failed. */
	#notBeforeMs = 0;
	#lastClose: Close = { code: "unreachable", message: "The node was not reached." };
	#nextId = 1;

	constructor(options: RequestClientOptions) {
		this.#options = options;
		this.#backoff = new Backoff(backoffOptions, options.random);
	}

	get inFlight(): number {
		return this.#pending.size;
	}

	call(method: string, payload: Uint8Array, { timeoutMs, signal }: CallOptions): Promise<Uint8Array> {
		const { clock } = this.#options;
		if (this.#abort.signal.aborted) return Promise.reject(new PeerError(closing));
		if (signal?.aborted) return Promise.reject(canceled());
		if (payload.length > maxCallBytes)
			return Promise.reject(new AppError("too-large", "The request is too large to be passed on to another node."));
		if (this.#pending.size >= maxInFlight || (this.#connection?.queuedBytes ?? 0) > maxWaitingBytes)
			return Promise.reject(new AppError("too-many-requests", "Too many requests wait for that node.", busy));
		if (this.#connection === null && !this.#connecting && clock.monotonicMs() < this.#notBeforeMs)
			return Promise.reject(new PeerError(this.#lastClose));
		return new Promise((resolve, reject) => {
			const id = this.#nextId++;
			const limitMs = Math.max(1, Math.min(Math.ceil(timeoutMs), maxCallMs));
			const frame = encoded(CallSchema, { id: BigInt(id), method, timeoutMs: limitMs, payload: asBytes(payload) });
			const timer: Timer = clock.schedule(limitMs, () =>
				this.#giveUp(
					id,
					(sent) => new PeerError({ code: "timeout", message: `No answer within ${limitMs} ms.` }, sent),
				),
			);
			const onAbort = () => this.#giveUp(id, canceled);
			signal?.addEventListener("abort", onAbort, { once: true });
			const settled = () => {
				timer.cancel();
				signal?.removeEventListener("abort", onAbort);
				this.#pending.delete(id);
			};
			const pending: Pending = {
				id,
				frame,
				connection: null,
				resolve(answer) {
					settled();
					resolve(answer);
				},
				reject(error) {
					settled();
					reject(error);
				},
			};
			this.#pending.set(id, pending);
			if (this.#connection === null) this.#connect();
			else this.#send(pending, this.#connection);
		});
	}

	/** The peer is there: the next call need not wait. */
	wake(): void {
		this.#notBeforeMs = 0;
		this.#backoff.reset();
	}

	/** New calls go on a new connection; the old one ends with its last answer. */
	renew(): void {
		const old = this.#connection;
		this.#connection = null;
		if (old !== null) this.#endWhenIdle(old);
	}

	close(): void {
		this.#abort.abort();
		this.#connection?.end(closing);
		this.#failAll(closing, () => true);
	}

	#connect(): void {
		if (this.#connecting) return;
		this.#connecting = true;
		this.#options.dial(this.#abort.signal).then(
			({ connection }) => {
				this.#connecting = false;
				if (this.#abort.signal.aborted) return connection.end(closing);
				this.#backoff.reset();
				this.#connection = connection;
				connection.handle(["answer"], {
					onFrame: (frame) => this.#answered(connection, frame),
					onClose: (close) => this.#lost(connection, close),
				});
				this.#sendWaiting();
			},
			(error) => {
				this.#connecting = false;
				if (!isPeerError(error)) this.#options.logger.error("connecting to a peer failed", { error });
				const failed: Close = { code: "internal", message: "The connection could not be made." };
				this.#lastClose = isPeerError(error) ? { code: error.close, message: error.message } : failed;
				const pauseMs = this.#backoff.nextMs(mayChangeSoon(this.#lastClose.code) ? 0 : lastingPauseMs);
				this.#notBeforeMs = this.#options.clock.monotonicMs() + pauseMs;
				this.#failAll(this.#lastClose, ({ connection }) => connection === null);
			},
		);
	}

	#sendWaiting(): void {
		for (const pending of [...this.#pending.values()]) {
			const connection = this.#connection;
			if (connection === null) return;
			if (pending.connection === null) this.#send(pending, connection);
		}
	}

	#send(pending: Pending, connection: Connection): void {
		pending.connection = connection;
		connection.send("call", pending.frame);
	}

	#answered(connection: Connection, frame: Frame): void {
		const answer = decoded(AnswerSchema, frame.payload, ({ id, result }) => ({ id: fromUint64(id), result }));
		if (answer === null || answer.result.case === undefined) {
			connection.end({ code: "protocol", message: "An answer cannot be read." });
			return;
		}
		// One to a call that was given up is nothing to mind.
		const pending = this.#pending.get(answer.id);
		if (pending?.connection === connection) {
			if (answer.result.case === "payload") pending.resolve(answer.result.value);
			else pending.reject(decodeError(answer.result.value));
		}
		if (connection !== this.#connection) this.#endWhenIdle(connection);
	}

	#endWhenIdle(connection: Connection): void {
		if ([...this.#pending.values()].some((pending) => pending.connection === connection)) return;
		connection.end({ code: "closing", message: "The connection is not needed any more." });
	}

	#lost(connection: Connection, close: Close): void {
		const current = this.#connection === connection;
		if (current) this.#connection = null;
		// Those that were waiting for it, too; but not those that wait for one that replaces it.
		this.#failAll(close, (pending) => pending.connection === connection || (current && pending.connection === null));
	}

	#failAll(close: Close, which: (pending: Pending) => boolean): void {
		for (const pending of [...this.#pending.values()])
			if (which(pending)) pending.reject(new PeerError(close, pending.connection !== null));
	}

	#giveUp(id: number, error: (sent: boolean) => Error): void {
		const pending = this.#pending.get(id);
		if (pending === undefined) return;
		const { connection } = pending;
		pending.reject(error(connection !== null));
		if (connection === null) return;
		connection.send("cancel", encoded(CancelCallSchema, { id: BigInt(id) }));
		if (connection !== this.#connection) this.#endWhenIdle(connection);
	}
}

export const asBytes = (data: Uint8Array): Uint8Array<ArrayBuffer> => data as Uint8Array<ArrayBuffer>;
const busy = { retryAfterMs: 1000 };
const closing: Close = { code: "closing", message: "The node is stopping." };
const canceled = (): AppError => new AppError("canceled", "The request was canceled.");
