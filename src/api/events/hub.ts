/**
 * The event streams of this node (`GET /v1/events`, server-sent events). An event is serialized once for all clients
 * that see the same of it. A client has no queue of its own beyond its connection's buffer: one that reads too slowly
 * falls behind, and goes on from the store where it was as soon as it reads again; one that does not read at all for
 * a minute is cut, and resumes by Last-Event-ID. A stream ends with the credential it was opened with.
 */

import type { Identity } from "../../auth/identity.ts";
import type { AuthService } from "../../auth/service.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { Event } from "../../model/event.ts";
import type { Network } from "../../model/network.ts";
import type { Pool } from "../../model/storage.ts";
import type { Task } from "../../model/task.ts";
import type { Vm } from "../../model/vm.ts";
import type { Store } from "../../store/store.ts";
import { knownNetwork, knownPool, knownTask } from "../as-known.ts";
import { vmFor } from "../vms/redact.ts";
import { isVisible, Ownership } from "./visibility.ts";

const bufferBytes = 256 * 1024;
const pageSize = 256;
const maxClients = 1000;
const maxClientsOfOne = 64;
export const heartbeatMs = 15_000;
const stalledLimitMs = 60_000;

type Client = {
	identity: Identity;
	controller: ReadableStreamDefaultController<Uint8Array>;
	/** Id of the last event that it was given (or that it may not see). */
	cursor: string;
	/** Null while it keeps up; else since when it does not read (monotonic). */
	behindSinceMs: number | null;
	endWatch: () => void;
};

type Deps = { store: Store; auth: AuthService; clock: Clock };

const encoder = new TextEncoder();
const frame = (event: string, id: string, data: string): Uint8Array =>
	encoder.encode(`id: ${id}\nevent: ${event}\ndata: ${data}\n\n`);
const heartbeat = encoder.encode(": still here\n\n");

export class EventHub {
	readonly #deps: Deps;
	readonly #clients = new Set<Client>();
	readonly #owners: Ownership;
	readonly #unsubscribe: () => void;
	#timer: Timer | null = null;
	#closed = false;

	constructor(deps: Deps) {
		this.#deps = deps;
		this.#owners = new Ownership(deps.store);
		this.#unsubscribe = deps.store.subscribe((events) => this.#publish(events));
	}

	get size(): number {
		return this.#clients.size;
	}

	/**
	 * A stream for `identity`, from behind the event `after` on, or from now. Its first event, `ready`, carries the id
	 * that it starts from: lists read after it miss nothing.
	 */
	open(identity: Identity, after: string | null, signal: AbortSignal): ReadableStream<Uint8Array> {
		if (this.#closed) throw new AppError("unavailable", "The node is shutting down.", { retryAfterMs: 5000 });
		this.#checkRoom(identity);
		let client: Client | null = null;
		return new ReadableStream<Uint8Array>(
			{
				start: (controller) => {
					client = this.#join(identity, after, controller);
					const leave = () => client && this.#leave(client);
					if (signal.aborted) leave();
					else signal.addEventListener("abort", leave, { once: true });
				},
				pull: () => {
					if (client) this.#catchUp(client);
				},
				cancel: () => {
					if (client) this.#leave(client);
				},
			},
			new ByteLengthQueuingStrategy({ highWaterMark: bufferBytes }),
		);
	}

	/** Ends all streams; clients come back by themselves. */
	close(): void {
		this.#closed = true;
		this.#unsubscribe();
		this.#timer?.cancel();
		for (const client of [...this.#clients]) this.#leave(client);
	}

	#checkRoom({ credential }: Identity): void {
		const own = [...this.#clients].filter((client) => client.identity.credential?.id === credential?.id);
		if (this.#clients.size >= maxClients || own.length >= maxClientsOfOne)
			throw new AppError("too-many-requests", "Too many event streams are open.", { retryAfterMs: 5000 });
	}

	#join(identity: Identity, after: string | null, controller: Client["controller"]): Client {
		const { store, auth, clock } = this.#deps;
		const last = store.lastEventId();
		const known = after !== null && store.eventsAfter(after, 1) !== null;
		const client: Client = {
			identity,
			controller,
			cursor: known ? after : last,
			// Behind until a page of the store says otherwise.
			behindSinceMs: known ? clock.monotonicMs() : null,
			endWatch: () => {},
		};
		this.#clients.add(client);
		client.endWatch = auth.watchCredential(identity, () => this.#leave(client));
		controller.enqueue(encoder.encode("retry: 2000\n"));
		if (after !== null && !known) controller.enqueue(frame("reset", last, "{}"));
		controller.enqueue(frame("ready", client.cursor, "{}"));
		this.#timer ??= clock.schedule(heartbeatMs, () => this.#beat());
		return client;
	}

	#leave(client: Client): void {
		if (!this.#clients.delete(client)) return;
		client.endWatch();
		try {
			client.controller.close();
		} catch {
			// The connection is gone, and the stream with it.
		}
	}

	#publish(events: readonly Event[]): void {
		if (events.length === 0) return;
		this.#owners.learn(events);
		const frames = new FrameCache(this.#deps.store);
		for (const client of this.#clients) {
			if (client.behindSinceMs === null) this.#send(client, events, frames);
		}
		this.#owners.forget(events);
	}

	/** Gives the client the events, until its buffer is full. */
	#send(client: Client, events: readonly Event[], frames: FrameCache): void {
		for (const event of events) {
			if ((client.controller.desiredSize ?? 0) <= 0) {
				client.behindSinceMs ??= this.#deps.clock.monotonicMs();
				return;
			}
			client.cursor = event.id;
			if (isVisible(event, client.identity, this.#owners))
				client.controller.enqueue(frames.of(event, client.identity.role === "viewer"));
		}
	}

	/** Called when the client's buffer has room: reads on from where it is, page by page. */
	#catchUp(client: Client): void {
		if (client.behindSinceMs === null) return;
		const { store, clock } = this.#deps;
		client.behindSinceMs = clock.monotonicMs();
		const frames = new FrameCache(this.#deps.store);
		while ((client.controller.desiredSize ?? 0) > 0) {
			const page = store.eventsAfter(client.cursor, pageSize);
			if (page === null) {
				client.cursor = store.lastEventId();
				client.controller.enqueue(frame("reset", client.cursor, "{}"));
			} else this.#send(client, page, frames);
			if (page === null || (page.length < pageSize && page.at(-1)?.id === client.cursor) || page.length === 0) {
				client.behindSinceMs = null;
				return;
			}
		}
	}

	#beat(): void {
		const now = this.#deps.clock.monotonicMs();
		for (const client of [...this.#clients]) {
			if (client.behindSinceMs !== null && now - client.behindSinceMs > stalledLimitMs) this.#leave(client);
			else if ((client.controller.desiredSize ?? 0) > 0) client.controller.enqueue(heartbeat);
		}
		this.#timer = this.#clients.size > 0 ? this.#deps.clock.schedule(heartbeatMs, () => this.#beat()) : null;
	}
}

/** Each event once as bytes, and once more for viewers where they see less. */
class FrameCache {
	readonly #store: Pick<Store, "get" | "all">;
	readonly #full = new Map<string, Uint8Array>();
	readonly #forViewers = new Map<string, Uint8Array>();

	constructor(store: Pick<Store, "get" | "all">) {
		this.#store = store;
	}

	of(event: Event, viewer: boolean): Uint8Array {
		const hides = viewer && event.target.kind === "vm" && event.object !== null;
		const cache = hides ? this.#forViewers : this.#full;
		const cached = cache.get(event.id);
		if (cached) return cached;
		const bytes = frame("change", event.id, JSON.stringify({ ...event, object: this.#shown(event, viewer) }));
		cache.set(event.id, bytes);
		return bytes;
	}

	#shown({ target, object }: Event, viewer: boolean): Event["object"] {
		if (object === null) return null;
		if (target.kind === "vm") return vmFor(this.#store, viewer ? "viewer" : "admin", object as Vm);
		if (target.kind === "pool") return knownPool(this.#store, object as Pool);
		if (target.kind === "network") return knownNetwork(this.#store, object as Network);
		return target.kind === "task" ? knownTask(this.#store, object as Task) : object;
	}
}
