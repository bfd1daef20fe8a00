/**
 * One event stream for all tabs of a browser. The tab that holds the Web Lock runs it and repeats what it hears on a
 * BroadcastChannel; when that tab closes, the lock passes to another, which resumes after the last event that it saw.
 * A visible tab that hears nothing for long takes the lock away: its holder may be frozen. Without Web Locks (plain
 * HTTP on an address that is not loopback) each tab runs a stream of its own.
 */
import { compareEventIds } from "../../lib/event-id.ts";
import type { Event } from "../types.ts";
import { EventStream, type StreamState } from "./stream.ts";

export type ShareHandlers = {
	onState(state: StreamState, retryAtMs: number | null): void;
	onHeard(atMs: number): void;
	/** In order, each once. */
	onEvents(events: Event[]): void;
	/** Everything may have changed: read it anew. */
	onReset(): void;
	onSignedOut(): void;
	onLeader(leader: boolean): void;
};

type Message =
	| { type: "events"; events: Event[]; lastId: string | null }
	| { type: "reset"; lastId: string | null }
	| { type: "state"; state: StreamState; retryAtMs: number | null; lastId: string | null; heardAtMs: number }
	| { type: "heard"; atMs: number }
	| { type: "signed-out" }
	| { type: "hello" }
	| { type: "retry" };

const name = "lqx-events";
const heardEveryMs = 5000;
const stealAfterMs = 60_000;
const watchEveryMs = 10_000;

export class SharedStream {
	private readonly channel: BroadcastChannel | null =
		typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(name);
	private stream: EventStream | null = null;
	private lastId: string | null = null;
	private state: StreamState = "connecting";
	private retryAtMs: number | null = null;
	private heardAtMs = Date.now();
	private heardSentMs = 0;
	private stopped = false;
	/** True until this tab has heard from another or has led before. */
	private fresh = true;
	private readonly request = new AbortController();
	private watch: ReturnType<typeof setInterval> | null = null;

	constructor(private readonly handlers: ShareHandlers) {}

	start(): void {
		if (this.channel) {
			this.channel.onmessage = ({ data }: MessageEvent<Message>) => this.receive(data);
			this.send({ type: "hello" });
		}
		if (!navigator.locks || !this.channel) {
			void this.lead();
			return;
		}
		this.queue(false);
		this.watch = setInterval(() => this.takeOverFromSilent(), watchEveryMs);
	}

	stop(): void {
		this.stopped = true;
		this.request.abort();
		this.stream?.stop();
		if (this.watch) clearInterval(this.watch);
		this.channel?.close();
	}

	retryNow(): void {
		if (this.stream) this.stream.retryNow();
		else this.send({ type: "retry" });
	}

	get leading(): boolean {
		return this.stream !== null;
	}

	private queue(steal: boolean): void {
		const options = steal ? { steal: true } : { signal: this.request.signal };
		navigator.locks
			.request(name, options, () => this.lead())
			.catch(() => {
				// Aborted by stop(), or another tab took the lock: hand over and wait in line again.
				this.stream?.stop();
				this.stream = null;
				if (this.stopped) return;
				this.handlers.onLeader(false);
				this.queue(false);
			});
	}

	private takeOverFromSilent(): void {
		if (this.stream || document.hidden || Date.now() - this.heardAtMs < stealAfterMs) return;
		if (this.state === "reconnecting" && this.retryAtMs !== null && this.retryAtMs > Date.now()) return;
		this.heardAtMs = Date.now();
		this.queue(true);
	}

	private async lead(): Promise<void> {
		if (this.stopped) return;
		const stream = new EventStream(
			{
				onState: (state, retryAtMs) => {
					this.noteState(state, retryAtMs);
					this.sendState();
				},
				onHeard: () => this.heard(),
				onEvents: (events) => {
					const fresh = this.note(events);
					if (fresh.length === 0) return;
					this.send({ type: "events", events: fresh, lastId: this.lastId });
					this.handlers.onEvents(fresh);
				},
				onLastId: (id) => {
					this.lastId = id;
				},
				onReset: (lastId) => {
					this.lastId = lastId;
					this.send({ type: "reset", lastId });
					this.handlers.onReset();
				},
				onSignedOut: () => {
					this.send({ type: "signed-out" });
					this.handlers.onSignedOut();
				},
			},
			this.lastId,
			this.fresh,
		);
		this.fresh = false;
		this.stream = stream;
		this.handlers.onLeader(true);
		await stream.run();
	}

	private receive(message: Message): void {
		if (this.stream) {
			if (message.type === "hello") this.sendState();
			else if (message.type === "retry") this.stream.retryNow();
			return;
		}
		if (message.type !== "hello") this.fresh = false;
		switch (message.type) {
			case "state":
				this.noteState(message.state, message.retryAtMs);
				this.lastId ??= message.lastId;
				this.setHeard(message.heardAtMs);
				return;
			case "heard":
				this.setHeard(message.atMs);
				return;
			case "events": {
				this.setHeard(Date.now());
				const fresh = this.note(message.events);
				if (fresh.length > 0) this.handlers.onEvents(fresh);
				return;
			}
			case "reset":
				this.lastId = message.lastId;
				this.handlers.onReset();
				return;
			case "signed-out":
				this.handlers.onSignedOut();
				return;
			default:
		}
	}

	/** Drops what was seen already, remembers where we are. */
	private note(events: Event[]): Event[] {
		const fresh = events.filter(({ id }) => this.lastId === null || compareEventIds(id, this.lastId) > 0);
		this.lastId = fresh.at(-1)?.id ?? this.lastId;
		return fresh;
	}

	private noteState(state: StreamState, retryAtMs: number | null): void {
		this.state = state;
		this.retryAtMs = retryAtMs;
		this.handlers.onState(state, retryAtMs);
	}

	private heard(): void {
		const now = Date.now();
		this.setHeard(now);
		if (now - this.heardSentMs < heardEveryMs) return;
		this.heardSentMs = now;
		this.send({ type: "heard", atMs: now });
	}

	private setHeard(atMs: number): void {
		this.heardAtMs = atMs;
		this.handlers.onHeard(atMs);
	}

	private sendState(): void {
		const { state, retryAtMs, lastId, heardAtMs } = this;
		this.send({ type: "state", state, retryAtMs, lastId, heardAtMs });
	}

	private send(message: Message): void {
		this.channel?.postMessage(message);
	}
}
