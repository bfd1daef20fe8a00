/**
 * One TLS connection that speaks frames: reads them, writes them, keeps it alive, ends it. What kind of conversation it is,
 * is for the handlers. Nothing that the other side sends makes it throw; nothing makes it hold more than its bounds.
 *
 * - A frame that is none, is too large, or may not come now ends it ("protocol").
 * - More than `maxQueuedBytes` that the other side does not take ends it ("slow"). Whoever has much to send looks at
 *   `writable` first and waits for `onWritable`.
 * - Pings go out in even intervals; so many of these without a byte from there end it ("timeout"). Intervals are counted
 *   and not time, so that a stall of this process is not taken for one of the other.
 * - Answers to pings say what the clock there says (`clock`).
 * - `end` says why, as the last frame, and lets what was written go out; `fail` cuts.
 */
import type { TLSSocket } from "node:tls";
import { PingSchema, PongSchema, RefusalSchema } from "../gen/peer_pb.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { ClockFilter, type PeerClock } from "./clock-filter.ts";
import { encodeFrame, type Frame, type FrameFault, type FrameName, FrameReader, preface } from "./frame.ts";
import { type Close, toCloseCode } from "./peer-error.ts";
import { decoded, encoded, toUint64 } from "./wire.ts";

export type Pace = { pingIntervalMs: number; missedPings: number };
/** Of the links that Raft depends on: a dead peer is noticed in about an election time-out. */
export const raftPace: Pace = { pingIntervalMs: 250, missedPings: 4 };
const pingTicks = 5;
/** With a slower tick elections take longer, and so may silence; a faster one does not make a process stall less. */
export const raftPaceFor = (tickMs: number): Pace => ({
	...raftPace,
	pingIntervalMs: Math.max(raftPace.pingIntervalMs, pingTicks * tickMs),
});
export const calmPace: Pace = { pingIntervalMs: 2000, missedPings: 5 };

export type Handlers = {
	onFrame(frame: Frame): void;
	/** May be given more again. */
	onWritable?(): void;
	/** Once, whoever ended it. */
	onClose(close: Close): void;
};

export type ConnectionOptions = {
	socket: TLSSocket;
	clock: Clock;
	logger: Logger;
	maxQueuedBytes: number;
};

/** How long the last words may take to arrive. */
const lingerMs = 2000;
/** More does not wait for the end of the turn. */
const gatherBytes = 64 * 1024;
const always: readonly FrameName[] = ["refusal", "ping", "pong"];

export class Connection {
	readonly #socket: TLSSocket;
	readonly #clock: Clock;
	readonly #logger: Logger;
	#maxQueuedBytes: number;
	readonly #reader = new FrameReader(always);
	readonly #gone = Promise.withResolvers<void>();
	readonly remoteAddress: string;
	#handlers: Handlers | null = null;
	#close: Close | null = null;
	#destroyed = false;
	#gathered: Uint8Array[] = [];
	#gatheredBytes = 0;
	#flushing: NodeJS.Immediate | null = null;
	readonly #onFlush = (): void => this.#flush();
	#timer: Timer | null = null;
	#heard = false;
	#missed = 0;
	#nonce = 0;
	#pingedAtMs = 0;
	#rttMs: number | null = null;
	readonly #clockThere = new ClockFilter();

	/** The handshake is over. Sends the preface. */
	constructor({ socket, clock, logger, maxQueuedBytes }: ConnectionOptions) {
		this.#socket = socket;
		this.#clock = clock;
		this.#logger = logger;
		this.#maxQueuedBytes = maxQueuedBytes;
		this.remoteAddress = socket.remoteAddress ?? "";
		socket.setNoDelay(true);
		socket.setKeepAlive(true, 15_000);
		socket.on("data", (chunk: Uint8Array) => this.#received(chunk));
		socket.on("drain", () => this.#guarded(() => this.#handlers?.onWritable?.()));
		socket.on("error", (error: Error) => this.fail({ code: "unreachable", message: error.message }));
		socket.on("end", () => this.fail(cutOff));
		socket.on("close", () => {
			this.fail(cutOff);
			this.#gone.resolve();
		});
		socket.write(preface);
	}

	/** Who handles what comes from now on, and which frames may come (beside pings and the last words). */
	handle(expected: readonly FrameName[], handlers: Handlers): void {
		this.#reader.expect([...always, ...expected]);
		this.#handlers = handlers;
		// It may have ended between two handlers.
		if (this.#close !== null) handlers.onClose(this.#close);
	}

	/** When it is known what the connection is for. */
	setMaxQueuedBytes(bytes: number): void {
		this.#maxQueuedBytes = bytes;
	}

	startPings(pace: Pace): void {
		const tick = () => {
			this.#timer = this.#clock.schedule(pace.pingIntervalMs, tick);
			this.#missed = this.#heard ? 0 : this.#missed + 1;
			this.#heard = false;
			if (this.#missed >= pace.missedPings) {
				this.fail({ code: "timeout", message: `Nothing was heard for ${pace.pingIntervalMs * pace.missedPings} ms.` });
				return;
			}
			this.#ping();
		};
		this.#timer?.cancel();
		this.#heard = true;
		this.#timer = this.#clock.schedule(pace.pingIntervalMs, tick);
		this.#ping();
	}

	/** False when it has ended; then nothing was sent. */
	send(name: FrameName, ...payload: readonly Uint8Array[]): boolean {
		if (this.#close !== null) return false;
		const frame = encodeFrame(name, ...payload);
		if (this.queuedBytes + frame.length > this.#maxQueuedBytes) {
			this.fail({ code: "slow", message: "It does not take what it is sent." });
			return false;
		}
		this.#write(frame);
		return true;
	}

	get writable(): boolean {
		return this.#close === null && !this.#socket.writableNeedDrain;
	}

	get queuedBytes(): number {
		return this.#socket.writableLength + this.#gatheredBytes;
	}

	/** Smoothed; null before the first answer. */
	get rttMs(): number | null {
		return this.#rttMs;
	}

	/** What the clock of the other side says; null before it has said so, and for an older version. */
	get peerClock(): PeerClock | null {
		return this.#clockThere.best;
	}

	get closed(): Close | null {
		return this.#close;
	}

	/** Resolves when the socket is closed. */
	get gone(): Promise<void> {
		return this.#gone.promise;
	}

	end(close: Close): void {
		if (this.#close !== null) return;
		this.#write(encodeFrame("refusal", encoded(RefusalSchema, close)));
		this.#flush();
		this.#socket.end();
		this.#ended(close);
		// What still comes is read and thrown away: bytes left unread would make the kernel throw the last words away.
		this.#timer = this.#clock.schedule(lingerMs, () => this.#destroy());
	}

	fail(close: Close): void {
		this.#ended(close);
		this.#destroy();
	}

	#ended(close: Close): void {
		this.#timer?.cancel();
		if (this.#close !== null) return;
		this.#close = close;
		this.#guarded(() => this.#handlers?.onClose(close));
	}

	#destroy(): void {
		if (this.#destroyed) return;
		this.#destroyed = true;
		this.#timer?.cancel();
		this.#socket.destroy();
	}

	/** What is sent in one turn of the event loop goes out in one write: each costs a record of TLS and a system call. */
	#write(bytes: Uint8Array): void {
		this.#gathered.push(bytes);
		this.#gatheredBytes += bytes.length;
		if (this.#gatheredBytes >= gatherBytes) this.#flush();
		else this.#flushing ??= setImmediate(this.#onFlush);
	}

	#flush(): void {
		if (this.#flushing !== null) clearImmediate(this.#flushing);
		this.#flushing = null;
		const gathered = this.#gathered;
		if (gathered.length === 0) return;
		this.#gathered = [];
		this.#gatheredBytes = 0;
		if (this.#destroyed) return;
		this.#socket.write(gathered.length === 1 ? (gathered[0] as Uint8Array) : Buffer.concat(gathered));
	}

	#received(chunk: Uint8Array): void {
		if (this.#close !== null) return;
		this.#heard = true;
		const fault = this.#reader.push(chunk, (frame) => {
			this.#guarded(() => this.#frame(frame));
			return this.#close === null;
		});
		if (fault !== null && this.#close === null) this.end({ code: "protocol", message: faultTexts[fault] });
	}

	#frame(frame: Frame): void {
		if (frame.name === "ping") {
			// Of protobuf's messages, one after the other is both in one.
			this.send("pong", frame.payload, encoded(PongSchema, { wallMs: toUint64(this.#wallMs()) }));
		} else if (frame.name === "pong") {
			const pong = decoded(PongSchema, frame.payload, ({ nonce, wallMs }) => [Number(nonce), Number(wallMs)] as const);
			if (pong?.[0] === this.#nonce) this.#measured(pong[1]);
		} else if (frame.name === "refusal") {
			const close = decoded(RefusalSchema, frame.payload, ({ code, message }) => ({
				code: toCloseCode(code),
				message: message.slice(0, 1000),
			}));
			this.fail(close ?? { code: "protocol", message: "Its last words cannot be read." });
		} else {
			this.#handlers?.onFrame(frame);
		}
	}

	#ping(): void {
		this.#nonce += 1;
		this.#pingedAtMs = this.#clock.monotonicMs();
		this.send("ping", encoded(PingSchema, { nonce: BigInt(this.#nonce) }));
	}

	/** `wallMs` 0: it did not say. */
	#measured(wallMs: number): void {
		const [sentAtMs, answeredAtMs] = [this.#pingedAtMs, this.#clock.monotonicMs()];
		if (wallMs > 0 && wallMs < latestMs) this.#clockThere.add({ sentAtMs, answeredAtMs, wallMs });
		const rttMs = answeredAtMs - sentAtMs;
		this.#rttMs = this.#rttMs === null ? rttMs : this.#rttMs + (rttMs - this.#rttMs) / 8;
	}

	#wallMs(): number {
		return Math.min(Math.max(0, Math.floor(this.#clock.nowMs())), latestMs);
	}

	/** A bug of a handler ends this connection and not the process. */
	#guarded(action: () => void): void {
		try {
			action();
		} catch (error) {
			this.#logger.error("a handler of a peer connection failed", { error });
			this.fail({ code: "internal", message: "Something went wrong inside LimiQuantix." });
		}
	}
}

/** Beyond it a date cannot be written down (RFC 3339). */
const latestMs = Date.UTC(9999, 11, 31);

const cutOff: Close = { code: "unreachable", message: "The connection was cut off." };

const faultTexts: Readonly<Record<FrameFault, string>> = {
	"bad-preface": "This is not the protocol of LimiQuantix nodes.",
	"unexpected-type": "A frame came that does not belong here.",
	"too-large": "A frame is too large.",
};
