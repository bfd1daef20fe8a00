/**
 * One connection that speaks libvirt's RPC: matches answers to calls by serial, in whatever order they come, keeps a bound
 * on what is in flight and on what waits, and gives each call a limit. It never reconnects: once closed it stays closed,
 * and everything under way fails with `unavailable`. Anything that is no protocol closes it.
 *
 * A call whose caller gave up still occupies its place in flight until libvirt answers it, because libvirt, too, still
 * counts it. When all places stay taken by such calls, the connection is of no use and is closed.
 */
import type { Clock, Timer } from "../../../lib/clock.ts";
import { AppError, toAppError } from "../../../lib/errors.ts";
import type { Call } from "./caller.ts";
import { disconnected, LibvirtError, ProtocolError, readRemoteError } from "./errors.ts";
import { encodeFrame, encodeStreamFrame, type Frame, FrameParser } from "./frame.ts";
import { Keepalive, type KeepaliveOptions } from "./keepalive.ts";
import { defaultMaxInFlight, defaultMaxQueued } from "./limits.ts";
import {
	keepalivePing,
	keepalivePong,
	keepaliveProgram,
	messageStatus,
	messageType,
	type ProcedureName,
	procedures,
	remoteProgram,
} from "./protocol.ts";
import { RpcStream } from "./stream.ts";
import type { Transport, TransportEvents } from "./transport.ts";
import type { CallOptions } from "./types.ts";
import { XdrReader } from "./xdr-reader.ts";

const defaultCallLimitMs = 30_000;
const retryAfterMs = 1_000;
const stuckGraceMs = 5_000;

export type RpcConnectionOptions = {
	clock: Clock;
	maxInFlight?: number;
	maxQueued?: number;
	/** A message that belongs to no call: an event. Runs while data is being read, so it must only take note. */
	onMessage?: (procedure: number, payload: Uint8Array) => void;
};

type PendingCall = {
	serial: number;
	procedure: ProcedureName;
	frame: Uint8Array;
	settle: (error: AppError | null, reader: XdrReader | null) => void;
	stream: RpcStream | null;
	sent: boolean;
	abandoned: boolean;
};

export class RpcConnection {
	/** Resolves with the reason when the connection is closed, by whomever. */
	readonly closed: Promise<string>;
	readonly #clock: Clock;
	readonly #options: Required<Pick<RpcConnectionOptions, "maxInFlight" | "maxQueued">> & RpcConnectionOptions;
	readonly #parser = new FrameParser((frame) => this.#receive(frame));
	readonly #inFlight = new Map<number, PendingCall>();
	readonly #streams = new Map<number, RpcStream>();
	readonly #resolveClosed: (reason: string) => void;
	#transport: Transport | null = null;
	#queue: PendingCall[] = [];
	/** Streams that were over before the call that opened them was answered, by serial: why the connection then goes. */
	readonly #endedEarly = new Map<number, string>();
	#serial = 0;
	#closeReason: string | null = null;
	#keepalive: Keepalive | null = null;
	#stuckTimer: Timer | null = null;

	constructor(options: RpcConnectionOptions) {
		this.#clock = options.clock;
		this.#options = { maxInFlight: defaultMaxInFlight, maxQueued: defaultMaxQueued, ...options };
		const { promise, resolve } = Promise.withResolvers<string>();
		this.closed = promise;
		this.#resolveClosed = resolve;
	}

	/** To be given to the transport, which is then handed to `attach`. */
	readonly transportEvents: TransportEvents = {
		onData: (data) => this.#receiveBytes(data),
		onClosed: (reason) => this.#tearDown(reason),
	};

	attach(transport: Transport): void {
		this.#transport = transport;
		if (this.#closeReason !== null) transport.close(this.#closeReason);
	}

	get isClosed(): boolean {
		return this.#closeReason !== null;
	}

	/** Calls waiting for a place in flight, and calls that libvirt has not answered. */
	get load(): { queued: number; inFlight: number } {
		return { queued: this.#queue.length, inFlight: this.#inFlight.size };
	}

	call<T>(call: Call<T>, options: CallOptions = {}): Promise<T> {
		return this.#submit(call, options, null);
	}

	/** A call that opens a stream. The connection then belongs to the stream and is closed with it. */
	async openStream<T>(call: Call<T>, options: CallOptions = {}): Promise<{ result: T; stream: RpcStream }> {
		const serial = this.#nextSerial();
		const stream = new RpcStream(this.#carrier(serial, call.procedure), this.#clock, call.procedure);
		const result = await this.#submit(call, options, { serial, stream });
		return { result, stream };
	}

	/** Starts asking whether the other side is alive; libvirt must have been told by connectSupportsFeature. */
	startKeepalive(options: KeepaliveOptions): void {
		this.#keepalive = new Keepalive(
			this.#clock,
			options,
			() => this.#sendKeepalive(keepalivePing),
			() => this.#tearDown(`no sign of life within ${(options.intervalMs * (options.count + 1)) / 1000} s`),
		);
		this.#keepalive.start();
	}

	close(reason: string): void {
		this.#tearDown(reason);
	}

	#submit<T>(call: Call<T>, options: CallOptions, own: { serial: number; stream: RpcStream } | null): Promise<T> {
		const { signal, timeoutMs = call.timeoutMs ?? defaultCallLimitMs } = options;
		return new Promise((resolve, reject) => {
			if (this.#closeReason !== null) return reject(disconnected(this.#closeReason, false, retryAfterMs));
			if (signal?.aborted) return reject(canceled(call.procedure, false));
			if (this.#queue.length >= this.#options.maxQueued)
				return reject(new AppError("unavailable", "Too many calls wait for libvirt.", { retryAfterMs }));
			const serial = own?.serial ?? this.#nextSerial();
			const header = { program: remoteProgram, type: messageType.call, status: messageStatus.ok, serial };
			const frame = encodeFrame({ ...header, procedure: procedures[call.procedure] }, call.write);
			let timer: Timer | null = null;
			const onAbort = () => this.#giveUp(pending, canceled(call.procedure, pending.sent));
			const pending: PendingCall = {
				serial,
				procedure: call.procedure,
				frame,
				stream: own?.stream ?? null,
				sent: false,
				abandoned: false,
				settle: (error, reader) => {
					timer?.cancel();
					signal?.removeEventListener("abort", onAbort);
					if (error || !reader) return reject(error);
					const result = call.read(reader);
					reader.end();
					resolve(result);
				},
			};
			timer = this.#clock.schedule(timeoutMs, () =>
				this.#giveUp(pending, timedOut(call.procedure, timeoutMs, pending.sent)),
			);
			signal?.addEventListener("abort", onAbort, { once: true });
			this.#queue.push(pending);
			this.#sendQueued();
		});
	}

	#sendQueued(): void {
		while (this.#inFlight.size < this.#options.maxInFlight) {
			const next = this.#queue.shift();
			if (!next) return;
			next.sent = true;
			this.#inFlight.set(next.serial, next);
			if (next.stream) this.#streams.set(next.serial, next.stream);
			this.#transport?.write(next.frame);
			next.frame = emptyFrame;
		}
	}

	/** The caller does not wait any longer. */
	#giveUp(pending: PendingCall, error: AppError): void {
		pending.settle(error, null);
		if (!pending.sent) {
			this.#queue = this.#queue.filter((other) => other !== pending);
			return;
		}
		pending.abandoned = true;
		const ended = this.#endedEarly.get(pending.serial);
		if (ended === undefined) this.#watchForStuck();
		else this.#tearDown(ended);
	}

	/** Gives libvirt a last chance when every place in flight is held by a call that nobody waits for any more. */
	#watchForStuck(): void {
		const waiting = [...this.#inFlight.values()];
		if (this.#stuckTimer || waiting.length < this.#options.maxInFlight) return;
		if (!waiting.every((call) => call.abandoned)) return;
		this.#stuckTimer = this.#clock.schedule(stuckGraceMs, () =>
			this.#tearDown(`libvirt left ${waiting.length} calls unanswered`),
		);
	}

	#receiveBytes(data: Uint8Array): void {
		try {
			this.#parser.push(data);
		} catch (error) {
			this.#tearDown(toAppError(error).message, error);
		}
	}

	#receive(frame: Frame): void {
		if (this.#closeReason !== null) return;
		this.#keepalive?.heard();
		if (frame.program === keepaliveProgram) this.#receiveKeepalive(frame);
		else if (frame.type === messageType.reply) this.#receiveReply(frame);
		else if (frame.type === messageType.message) this.#options.onMessage?.(frame.procedure, frame.payload);
		else if (frame.type === messageType.stream) this.#receiveStream(frame);
		else throw new ProtocolError("a call to us");
	}

	#receiveKeepalive(frame: Frame): void {
		if (frame.type !== messageType.message) throw new ProtocolError("a keepalive message of another type");
		if (frame.procedure === keepalivePing) this.#sendKeepalive(keepalivePong);
		else if (frame.procedure !== keepalivePong) throw new ProtocolError("an unknown keepalive message");
	}

	#receiveReply(frame: Frame): void {
		const pending = this.#inFlight.get(frame.serial);
		if (!pending || procedures[pending.procedure] !== frame.procedure)
			throw new ProtocolError(`an answer that nobody asked for (${frame.procedure}, serial ${frame.serial})`);
		if (frame.status === messageStatus.continue) throw new ProtocolError("an answer that goes on");
		this.#inFlight.delete(frame.serial);
		this.#stuckTimer?.cancel();
		this.#stuckTimer = null;
		if (frame.status === messageStatus.error) this.#streams.delete(frame.serial);
		if (!pending.abandoned) this.#settleWithAnswer(pending, frame);
		const ended = this.#endedEarly.get(frame.serial);
		if (ended === undefined) this.#sendQueued();
		else this.#tearDown(ended);
	}

	/** The caller hears of an answer that makes no sense before the connection goes for it. */
	#settleWithAnswer(pending: PendingCall, frame: Frame): void {
		const reader = new XdrReader(frame.payload);
		try {
			if (frame.status === messageStatus.error)
				pending.settle(new LibvirtError(readRemoteError(reader), pending.procedure), null);
			else pending.settle(null, reader);
		} catch (error) {
			pending.settle(toAppError(error), null);
			throw error;
		}
	}

	#receiveStream(frame: Frame): void {
		const stream = this.#streams.get(frame.serial);
		if (!stream) throw new ProtocolError(`data of an unknown stream (serial ${frame.serial})`);
		const data = frame.payload.slice();
		stream.received(frame.status, data, () => new XdrReader(data));
	}

	#sendKeepalive(procedure: number): void {
		this.#transport?.write(
			encodeFrame({
				program: keepaliveProgram,
				procedure,
				type: messageType.message,
				serial: 0,
				status: messageStatus.ok,
			}),
		);
	}

	#carrier(serial: number, procedure: ProcedureName) {
		const header = { program: remoteProgram, procedure: procedures[procedure], type: messageType.stream, serial };
		const bufferedBytes = () => this.#transport?.bufferedBytes ?? 0;
		return {
			send: (status: number, data: Uint8Array) =>
				this.#transport?.write(encodeStreamFrame({ ...header, status }, data)),
			get bufferedBytes() {
				return bufferedBytes();
			},
			drained: () => this.#transport?.drained() ?? Promise.resolve(),
			// libvirt may send the data, even all of it, before its answer to the call that opened the stream: until then
			// reading must go on, and the connection must stay.
			pause: () => {
				if (!this.#inFlight.has(serial)) this.#transport?.pause();
			},
			resume: () => this.#transport?.resume(),
			close: (reason: string) => {
				if (this.#inFlight.get(serial)?.abandoned === false) this.#endedEarly.set(serial, reason);
				else this.#tearDown(reason);
			},
		};
	}

	#nextSerial(): number {
		do this.#serial = this.#serial >= 0xffffffff ? 1 : this.#serial + 1;
		while (this.#inFlight.has(this.#serial) || this.#streams.has(this.#serial));
		return this.#serial;
	}

	#tearDown(reason: string, cause?: unknown): void {
		if (this.#closeReason !== null) return;
		this.#closeReason = reason;
		this.#keepalive?.stop();
		this.#stuckTimer?.cancel();
		const calls = [...this.#inFlight.values(), ...this.#queue];
		const streams = [...this.#streams.values()];
		this.#inFlight.clear();
		this.#streams.clear();
		this.#queue = [];
		this.#transport?.close(reason);
		for (const call of calls)
			if (!call.abandoned) call.settle(disconnected(reason, call.sent, retryAfterMs, cause), null);
		for (const stream of streams) stream.closed(disconnected(reason, true, retryAfterMs, cause));
		this.#resolveClosed(reason);
	}
}

const emptyFrame = new Uint8Array(0);

const canceled = (procedure: string, callWasSent: boolean): AppError =>
	new AppError("canceled", `The call ${procedure} was canceled.`, { context: { procedure, callWasSent } });

const timedOut = (procedure: string, timeoutMs: number, callWasSent: boolean): AppError =>
	new AppError("timeout", `libvirt did not answer ${procedure} within ${timeoutMs} ms.`, {
		context: { procedure, callWasSent },
	});
