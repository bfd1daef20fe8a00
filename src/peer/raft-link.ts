/**
 * This node's messages of Raft to one peer, on a connection of their own that carries nothing else. (What the peer sends comes on
 * a connection that the peer makes.) Messages may be lost, as the core expects; what is dropped when, is in send-queue.ts.
 *
 * The link connects by itself and goes on for ever: shortly after a connection that worked was lost, then with growing pauses; at
 * once when `wake` says that the peer has just been heard of. `renew` makes a new connection, with the identity that is
 * current, before it lets go of the old one.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { Message } from "../raft/messages.ts";
import { Backoff } from "./backoff.ts";
import type { PeerClock } from "./clock-filter.ts";
import type { Dialled } from "./dial.ts";
import type { Peer } from "./hello.ts";
import { type Close, isPeerError, mayChangeSoon } from "./peer-error.ts";
import { encodeRaftMessage } from "./raft-codec.ts";
import { type Dropped, type QueueLimits, SendQueue } from "./send-queue.ts";

export type RaftLinkOptions = {
	nodeId: string;
	/** Makes a connection of purpose "raft" to the peer. */
	dial(signal: AbortSignal): Promise<Dialled>;
	clock: Clock;
	random: Random;
	logger: Logger;
	queue?: Partial<QueueLimits>;
	onConnected?(peer: Peer): void;
	/** A connection that worked was ended by the other side, without last words. */
	onCutOff?(): void;
};

export type RaftLinkStatus = {
	state: "connected" | "connecting" | "waiting" | "closed";
	connectedSinceMs: number | null;
	rttMs: number | null;
	/** What its wall clock says; null without a link, and of an older version. */
	clock: PeerClock | null;
	queuedMessages: number;
	queuedBytes: number;
	sent: number;
	dropped: Dropped;
	/** In a row: attempts that failed, connections that did not last. */
	failures: number;
	lastClose: Close | null;
};

/** An election time-out: what is older has been said anew. */
const defaultQueue: QueueLimits = { maxMessages: 1024, maxBytes: 48 * 1024 * 1024, maxAgeMs: 1000 };
const backoffOptions = { firstMs: 50, maxMs: 2000 };
const lastingPauseMs = 5000;
const settledMs = 2000;

export class RaftLink {
	readonly #options: RaftLinkOptions;
	readonly #queue: SendQueue;
	readonly #backoff: Backoff;
	readonly #abort = new AbortController();
	#current: Dialled | null = null;
	#connecting = false;
	/** `renew` came while it was connecting. */
	#again = false;
	#retry: Timer | null = null;
	#connectedSinceMs: number | null = null;
	#aliveFromMs = 0;
	#lastClose: Close | null = null;
	#sent = 0;

	constructor(options: RaftLinkOptions) {
		this.#options = options;
		this.#queue = new SendQueue({ ...defaultQueue, ...options.queue });
		this.#backoff = new Backoff(backoffOptions, options.random);
		this.#connect();
	}

	send(message: Message): void {
		if (this.#abort.signal.aborted) return;
		const lane = message.type === "append" && message.entries.length > 0 ? "append" : "control";
		this.#queue.push(lane, encodeRaftMessage(message), this.#options.clock.monotonicMs());
		this.#pump();
	}

	/** The peer is there: no need to wait any longer. */
	wake(): void {
		if (this.#retry === null) return;
		this.#backoff.reset();
		this.#connect();
	}

	renew(): void {
		if (this.#connecting) this.#again = true;
		else this.#connect();
	}

	get peer(): Peer | null {
		return this.#current?.peer ?? null;
	}

	status(): RaftLinkStatus {
		const waiting = this.#retry === null ? "connecting" : "waiting";
		return {
			state: this.#abort.signal.aborted ? "closed" : this.#current !== null ? "connected" : waiting,
			connectedSinceMs: this.#connectedSinceMs,
			rttMs: this.#current?.connection.rttMs ?? null,
			clock: this.#current?.connection.peerClock ?? null,
			queuedMessages: this.#queue.length,
			queuedBytes: this.#queue.bytes + (this.#current?.connection.queuedBytes ?? 0),
			sent: this.#sent,
			dropped: { ...this.#queue.dropped },
			failures: this.#backoff.failures,
			lastClose: this.#lastClose,
		};
	}

	close(close: Close): void {
		if (this.#abort.signal.aborted) return;
		this.#abort.abort();
		this.#retry?.cancel();
		const current = this.#current;
		this.#current = null;
		this.#connectedSinceMs = null;
		current?.connection.end(close);
	}

	#connect(): void {
		this.#retry?.cancel();
		this.#retry = null;
		if (this.#connecting || this.#abort.signal.aborted) return;
		this.#connecting = true;
		this.#options.dial(this.#abort.signal).then(
			(dialled) => {
				this.#connecting = false;
				this.#connected(dialled);
				if (!this.#again) return;
				this.#again = false;
				this.#connect();
			},
			(error) => {
				this.#connecting = false;
				this.#again = false;
				this.#failed(error);
			},
		);
	}

	#connected(dialled: Dialled): void {
		const { connection, peer } = dialled;
		if (this.#abort.signal.aborted) {
			connection.end(closing);
			return;
		}
		const before = this.#current;
		this.#current = dialled;
		this.#connectedSinceMs = this.#options.clock.nowMs();
		this.#aliveFromMs = this.#options.clock.monotonicMs();
		connection.handle([], {
			onFrame() {},
			onWritable: () => this.#pump(),
			onClose: (close) => this.#lost(dialled, close),
		});
		before?.connection.end(renewed);
		this.#options.onConnected?.(peer);
		this.#pump();
	}

	#lost(dialled: Dialled, close: Close): void {
		if (this.#current !== dialled || this.#abort.signal.aborted) return;
		this.#current = null;
		this.#connectedSinceMs = null;
		this.#lastClose = close;
		// One that comes and goes is not connected at once each time.
		if (this.#options.clock.monotonicMs() - this.#aliveFromMs >= settledMs) this.#backoff.reset();
		const { code, message: reason } = close;
		this.#options.logger.info("the link to a peer is down", { peer: dialled.peer.nodeId, code, reason });
		this.#retryLater(close);
		if (close.code === "unreachable") this.#options.onCutOff?.();
	}

	#failed(error: unknown): void {
		if (this.#abort.signal.aborted) return;
		const close: Close = isPeerError(error)
			? { code: error.close, message: error.message }
			: { code: "internal", message: "The connection could not be made." };
		if (close.code === "internal") this.#options.logger.error("connecting to a peer failed", { error });
		const { code, message: reason } = close;
		if (code === "wrong-cluster" && code !== this.#lastClose?.code)
			this.#options.logger.warn("a peer is of another cluster", { peer: this.#options.nodeId, code, reason });
		this.#lastClose = close;
		// A renewal that failed: the connection that is there goes on, and the renewal is tried again.
		this.#retryLater(close);
	}

	#retryLater(close: Close): void {
		if (this.#connecting || this.#retry !== null) return;
		const pauseMs = this.#backoff.nextMs(mayChangeSoon(close.code) ? 0 : lastingPauseMs);
		this.#retry = this.#options.clock.schedule(pauseMs, () => this.#connect());
	}

	#pump(): void {
		const connection = this.#current?.connection;
		while (connection?.writable && this.#queue.length > 0) {
			const payload = this.#queue.shift(this.#options.clock.monotonicMs());
			if (payload !== null && connection.send("raft", payload)) this.#sent += 1;
		}
	}
}

const closing: Close = { code: "closing", message: "The node is stopping." };
const renewed: Close = { code: "replaced", message: "A newer connection took over." };
