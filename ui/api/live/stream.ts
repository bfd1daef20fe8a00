/**
 * One event stream: opens it, reads it, opens it again when it breaks, with back-off, until stopped or signed out.
 * It resumes after the last event seen; when the server cannot (event `reset`), or when no event was seen before the
 * break, listeners are told to read everything anew. Fetch rather than EventSource: it shows heartbeats and statuses.
 */
import { SseParser } from "../../lib/sse.ts";
import type { Event } from "../types.ts";

export type StreamState = "connecting" | "live" | "reconnecting";
export type StreamHandlers = {
	onState(state: StreamState, retryAtMs: number | null): void;
	/** Anything heard, heartbeats included. */
	onHeard(): void;
	onEvents(events: Event[]): void;
	onLastId(id: string): void;
	onReset(lastId: string | null): void;
	onSignedOut(): void;
};

/** The server sends a heartbeat every 15 s; this long without any and the connection counts as dead. */
const silenceLimitMs = 40_000;
const openLimitMs = 20_000;
const firstDelayMs = 500;
const longestDelayMs = 30_000;

export class EventStream {
	private controller: AbortController | null = null;
	private stopped = false;
	private wake: (() => void) | null = null;

	constructor(
		private readonly handlers: StreamHandlers,
		private lastId: string | null,
		/** Nothing was read yet, so that there is nothing to read anew when the stream opens without an id. */
		private readonly fresh: boolean,
		private readonly url = "/v1/events",
	) {}

	/** Runs until `stop`, or until the session is over. */
	async run(): Promise<void> {
		let failures = 0;
		let opened = false;
		while (!this.stopped) {
			this.handlers.onState(opened || failures > 0 ? "reconnecting" : "connecting", null);
			const before = this.lastId;
			const result = await this.once(() => {
				if (before === null && (opened || !this.fresh)) this.handlers.onReset(null);
				opened = true;
				failures = 0;
			});
			if (this.stopped) return;
			if (result === "signed-out") {
				this.handlers.onSignedOut();
				return;
			}
			const delay = Math.min(longestDelayMs, firstDelayMs * 2 ** failures) * (0.75 + randomShare() / 2);
			failures = Math.min(failures + 1, 10);
			this.handlers.onState("reconnecting", Date.now() + delay);
			await this.pause(delay);
		}
	}

	stop(): void {
		this.stopped = true;
		this.controller?.abort();
		this.wake?.();
	}

	/** Tries again now rather than at the end of the back-off. */
	retryNow(): void {
		this.wake?.();
	}

	private async once(onOpen: () => void): Promise<"ended" | "signed-out"> {
		const controller = new AbortController();
		this.controller = controller;
		let timer = setTimeout(() => controller.abort(), openLimitMs);
		const heard = () => {
			clearTimeout(timer);
			timer = setTimeout(() => controller.abort(), silenceLimitMs);
			this.handlers.onHeard();
		};
		try {
			const headers: Record<string, string> = { Accept: "text/event-stream" };
			if (this.lastId !== null) headers["Last-Event-ID"] = this.lastId;
			const response = await fetch(this.url, {
				headers,
				signal: controller.signal,
				credentials: "same-origin",
				cache: "no-store",
			});
			if (response.status === 401 || response.status === 403) return "signed-out";
			if (!response.ok || response.body === null) {
				await response.body?.cancel();
				return "ended";
			}
			onOpen();
			heard();
			this.handlers.onState("live", null);
			await this.readAll(response.body, heard);
			return "ended";
		} catch {
			return "ended";
		} finally {
			clearTimeout(timer);
			controller.abort();
		}
	}

	private async readAll(body: ReadableStream<Uint8Array>, heard: () => void): Promise<void> {
		let events: Event[] = [];
		const parser = new SseParser({
			onComment: () => {},
			onId: (id) => this.noteId(id),
			onMessage: (message) => {
				if (message.event === "reset") {
					events = [];
					this.lastId = message.id;
					this.handlers.onReset(message.id);
				} else if (message.event === "change") {
					events.push(JSON.parse(message.data) as Event);
					if (message.id !== null) this.lastId = message.id;
				} else if (message.id !== null) {
					// `ready`: where the stream starts.
					this.noteId(message.id);
				}
			},
		});
		const decoder = new TextDecoder();
		const reader = body.getReader();
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			heard();
			parser.feed(decoder.decode(value, { stream: true }));
			if (events.length === 0) continue;
			this.handlers.onEvents(events);
			events = [];
		}
	}

	private noteId(id: string): void {
		this.lastId = id;
		this.handlers.onLastId(id);
	}

	private pause(ms: number): Promise<void> {
		return new Promise((resolve) => {
			const timer = setTimeout(done, ms);
			const online = () => done();
			function done() {
				clearTimeout(timer);
				removeEventListener("online", online);
				resolve();
			}
			addEventListener("online", online);
			this.wake = done;
		});
	}
}

/** From 0 to 1, so that not all browsers come back at once. */
function randomShare(): number {
	return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) / 2 ** 32;
}
