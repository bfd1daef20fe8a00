/**
 * A connection that comes back: opens, watches, and opens again when it was lost, with growing pauses, until closed. Who
 * asks for the connection while there is none is told so at once; only the first attempt is waited for.
 *
 *   idle → connecting → connected → disconnected (pause) → connecting → …          any → closed
 */
import { type Clock, delay } from "../../../lib/clock.ts";
import { AppError, toAppError } from "../../../lib/errors.ts";
import type { Random } from "../../../lib/random.ts";
import type { RpcConnection } from "./connection.ts";
import { closeSession } from "./session.ts";

export type ConnectionState = {
	state: "connecting" | "connected" | "disconnected";
	/** For people: why it is so. Empty when connected. */
	reason: string;
};

export type Backoff = {
	firstMs: number;
	maxMs: number;
	/** A connection that lasted longer than this starts again with the shortest pause. */
	stableMs: number;
};
export const defaultBackoff: Backoff = { firstMs: 100, maxMs: 10_000, stableMs: 5_000 };

export type LinkOptions = {
	clock: Clock;
	random: Random;
	backoff: Backoff;
	/** Opens one connection, all of its preparation included; must have a limit. */
	open(signal: AbortSignal): Promise<RpcConnection>;
	onState(state: ConnectionState): void;
};

export class Link {
	readonly #options: LinkOptions;
	readonly #closing = new AbortController();
	#state: ConnectionState = { state: "disconnected", reason: "not opened yet" };
	#connection: RpcConnection | null = null;
	#first: Promise<void> | null = null;
	#firstEnded = false;
	#loop: Promise<void> | null = null;
	#failures = 0;
	#wakePause: AbortController | null = null;
	#retryAtMs = 0;

	constructor(options: LinkOptions) {
		this.#options = options;
	}

	get state(): ConnectionState {
		return this.#state;
	}

	/** Starts when it was not started. Resolves with the first attempt's success, rejects with its failure. */
	start(): Promise<void> {
		if (this.#first) return this.#first;
		if (this.#closing.signal.aborted) return Promise.reject(this.#closing.signal.reason);
		const { promise, resolve, reject } = Promise.withResolvers<void>();
		promise.catch(() => {}); // also told by the state
		this.#first = promise;
		this.#loop = this.#run(resolve, reject);
		return promise;
	}

	/** The connection. Fails with `unavailable` when there is none; waits only while the first attempt is under way. */
	async connection(): Promise<RpcConnection> {
		if (this.#connection) return this.#connection;
		if (!this.#firstEnded && !this.#closing.signal.aborted) await this.start();
		if (this.#connection) return this.#connection;
		const retryAfterMs = Math.max(100, Math.ceil(this.#retryAtMs - this.#options.clock.monotonicMs()));
		throw new AppError("unavailable", `libvirt is not connected: ${this.#state.reason}`, { retryAfterMs });
	}

	/** Ends a pause, because there is a sign that libvirt is back. */
	wake(): void {
		this.#wakePause?.abort();
	}

	async close(): Promise<void> {
		this.#closing.abort(new AppError("canceled", "The connection to libvirt was closed."));
		this.wake();
		if (this.#connection) await closeSession(this.#connection, "closed by us");
		await this.#loop;
		this.#set("disconnected", "closed");
	}

	async #run(resolveFirst: () => void, rejectFirst: (error: AppError) => void): Promise<void> {
		const { clock } = this.#options;
		while (!this.#closing.signal.aborted) {
			const startedAtMs = clock.monotonicMs();
			let reason: string;
			try {
				this.#set("connecting", this.#state.reason);
				const connection = await this.#options.open(this.#closing.signal);
				this.#connection = connection;
				if (this.#closing.signal.aborted) connection.close("closed by us");
				else this.#set("connected", "");
				this.#firstEnded = true;
				resolveFirst();
				reason = await connection.closed;
				this.#connection = null;
				if (clock.monotonicMs() - startedAtMs > this.#options.backoff.stableMs) this.#failures = 0;
			} catch (error) {
				reason = toAppError(error).message;
				this.#firstEnded = true;
				rejectFirst(asUnavailable(error));
			}
			if (!this.#closing.signal.aborted) await this.#pause(reason);
		}
	}

	async #pause(reason: string): Promise<void> {
		const { clock, random, backoff } = this.#options;
		const longest = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(this.#failures, 20));
		this.#failures += 1;
		// Between half and all of it, so that the nodes of a cluster do not come back in step.
		const pauseMs = longest * (0.5 + (random.bytes(1)[0] ?? 0) / 510);
		this.#retryAtMs = clock.monotonicMs() + pauseMs;
		this.#wakePause = new AbortController();
		this.#set("disconnected", reason);
		await delay(clock, pauseMs, this.#wakePause.signal).catch(() => {});
		this.#wakePause = null;
	}

	#set(state: ConnectionState["state"], reason: string): void {
		if (this.#state.state === state && this.#state.reason === reason) return;
		this.#state = { state, reason };
		this.#options.onState(this.#state);
	}
}

/** Whatever kept us from connecting, to a caller it means that libvirt is away for now. */
function asUnavailable(error: unknown): AppError {
	const known = toAppError(error);
	if (known.code === "unavailable") return known;
	return new AppError("unavailable", `libvirt is not connected: ${known.message}`, {
		cause: error,
		retryAfterMs: 1_000,
	});
}
