/**
 * The connections behind a LibvirtClient, and which call goes over which: the main one with events, one for statistics
 * (so that a domain that hangs cannot hold back everything else), those of the network and secret daemons where libvirt
 * is modular, and one for each stream. All but the main one are opened when first needed.
 */
import { AppError } from "../../../lib/errors.ts";
import type { Call, Caller, Route } from "./caller.ts";
import type { LibvirtClientOptions } from "./client.ts";
import type { RpcConnection } from "./connection.ts";
import { isLibvirtError } from "./errors.ts";
import { EventPump } from "./event-pump.ts";
import { domainEventIds, type LibvirtDomainEvent, readDomainEvent } from "./events.ts";
import { defaultKeepalive } from "./keepalive.ts";
import { type ConnectionState, defaultBackoff, Link } from "./link.ts";
import { openSession } from "./session.ts";
import type { ByteStream } from "./stream.ts";
import { connectUnix } from "./transport.ts";
import type { CallOptions } from "./types.ts";
import { type Endpoint, type LibvirtUri, mainEndpoints, parseLibvirtUri, sideEndpoint } from "./uri.ts";
import { XdrReader } from "./xdr-reader.ts";

const defaultOpenLimitMs = 10_000;
const defaultMaxStreams = 256;

export class Connections implements Caller {
	readonly events: EventPump<LibvirtDomainEvent>;
	readonly states: EventPump<ConnectionState>;
	readonly #options: LibvirtClientOptions;
	readonly #uri: LibvirtUri;
	readonly #links: Record<Route, Link>;
	readonly #streams = new Set<RpcConnection>();
	readonly #closing = new AbortController();
	#streamCount = 0;
	/** Where the main connection was opened last. */
	#mainEndpoint: Endpoint | null = null;

	constructor(options: LibvirtClientOptions) {
		this.#options = options;
		this.#uri = parseLibvirtUri(options.uri);
		this.events = new EventPump(options.logger);
		this.states = new EventPump(options.logger);
		this.#links = {
			main: this.#link("main", (signal) => this.#openMain(signal)),
			statistics: this.#link("statistics", (signal) => this.#openFirst(signal)),
			network: this.#link("network", (signal) => this.#openSide("network", signal)),
			secret: this.#link("secret", (signal) => this.#openSide("secret", signal)),
		};
	}

	get state(): ConnectionState {
		return this.#links.main.state;
	}

	open(): Promise<void> {
		return this.#links.main.start();
	}

	async close(): Promise<void> {
		this.#closing.abort();
		for (const connection of this.#streams) connection.close("closed by us");
		await Promise.all(Object.values(this.#links).map((link) => link.close()));
	}

	async call<T>(call: Call<T>, options?: CallOptions): Promise<T> {
		const link = await this.#linkFor(call.route ?? "main");
		const connection = await link.connection();
		return connection.call(call, options);
	}

	async openStream<T>(call: Call<T>, options: CallOptions = {}): Promise<{ result: T; stream: ByteStream }> {
		await this.#links.main.connection();
		const limit = this.#options.maxStreams ?? defaultMaxStreams;
		if (this.#streamCount >= limit)
			throw new AppError("unavailable", `${limit} streams from libvirt are open already.`, { retryAfterMs: 5_000 });
		this.#streamCount += 1;
		const signals = [this.#closing.signal, ...(options.signal ? [options.signal] : [])];
		const connection = await this.#openFirst(AbortSignal.any(signals), { lasting: false }).catch((error: unknown) => {
			this.#streamCount -= 1;
			throw error;
		});
		this.#streams.add(connection);
		connection.closed.then(() => {
			this.#streams.delete(connection);
			this.#streamCount -= 1;
		});
		try {
			return await connection.openStream(call, options);
		} catch (error) {
			connection.close("the stream could not be opened");
			throw error;
		}
	}

	#link(name: Route, open: (signal: AbortSignal) => Promise<RpcConnection>): Link {
		const { clock, random, logger, backoff = defaultBackoff } = this.#options;
		let told = "";
		const onState = (state: ConnectionState) => {
			if (state.state === "connected") logger.info("Connected to libvirt.", { connection: name });
			if (state.state === "disconnected" && !this.#closing.signal.aborted) {
				// Once for each reason, not once for each attempt.
				const level = state.reason === told ? "debug" : "warn";
				logger[level]("Not connected to libvirt.", { connection: name, reason: state.reason });
			}
			if (state.state !== "connecting") told = state.reason;
			if (name !== "main") return;
			this.states.push(state);
			if (state.state === "connected")
				for (const side of ["statistics", "network", "secret"] as const) this.#links[side].wake();
		};
		return new Link({ clock, random, backoff, open, onState });
	}

	/** Networks and secrets go to daemons of their own where there are any. */
	async #linkFor(route: Route): Promise<Link> {
		if (route === "main" || route === "statistics") return this.#links[route];
		if (!this.#mainEndpoint) await this.#links.main.connection();
		const side = this.#mainEndpoint && sideEndpoint(this.#uri, this.#mainEndpoint, route);
		return side ? this.#links[route] : this.#links.main;
	}

	async #openMain(signal: AbortSignal): Promise<RpcConnection> {
		const connection = await this.#openFirst(signal, {
			onMessage: (procedure, payload) => this.#note(procedure, payload),
		});
		try {
			await this.#registerEvents(connection);
		} catch (error) {
			connection.close("events could not be registered");
			throw error;
		}
		return connection;
	}

	#openSide(what: "network" | "secret", signal: AbortSignal): Promise<RpcConnection> {
		const side = this.#mainEndpoint && sideEndpoint(this.#uri, this.#mainEndpoint, what);
		if (!side) throw new AppError("unavailable", `The daemon for ${what}s has gone.`);
		return this.#open(side, signal, {});
	}

	/** The hypervisor's connection on the first socket that answers; the first failure when none does. */
	async #openFirst(signal: AbortSignal, how: OpenHow = {}): Promise<RpcConnection> {
		const endpoints = mainEndpoints(this.#uri, this.#options.socketFolder);
		let failure: unknown;
		for (const endpoint of endpoints) {
			try {
				const connection = await this.#open(endpoint, signal, how);
				this.#mainEndpoint = endpoint;
				return connection;
			} catch (error) {
				failure ??= error;
			}
		}
		throw failure;
	}

	#open(endpoint: Endpoint, signal: AbortSignal, how: OpenHow): Promise<RpcConnection> {
		const { clock, connect = connectUnix, keepalive = defaultKeepalive } = this.#options;
		return openSession({
			connect,
			clock,
			endpoint,
			limitMs: this.#options.openLimitMs ?? defaultOpenLimitMs,
			// A stream's connection is not read while its reader is slow, and would seem dead to both sides.
			keepalive: (how.lasting ?? true) ? keepalive : null,
			signal,
			...(how.onMessage ? { connection: { onMessage: how.onMessage } } : {}),
		});
	}

	async #registerEvents(connection: RpcConnection): Promise<void> {
		const results = await Promise.allSettled(domainEventIds.map((eventId) => registerEvent(connection, eventId)));
		for (const [index, result] of results.entries()) {
			if (result.status === "fulfilled") continue;
			// An older libvirt does not know every event, and some drivers have none.
			if (!isLibvirtError(result.reason)) throw result.reason;
			this.#options.logger.debug("libvirt does not offer an event.", {
				eventId: domainEventIds[index],
				error: result.reason,
			});
		}
	}

	/** Runs while the connection reads: only decodes and queues. */
	#note(procedure: number, payload: Uint8Array): void {
		const event = readDomainEvent(procedure, new XdrReader(payload));
		if (event) this.events.push(event);
	}
}

type OpenHow = { lasting?: boolean; onMessage?: (procedure: number, payload: Uint8Array) => void };

const registerEvent = (connection: RpcConnection, eventId: number): Promise<number> =>
	connection.call({
		procedure: "connectDomainEventCallbackRegisterAny",
		write: (w) => {
			w.int(eventId);
			w.bool(false); // of every domain
		},
		read: (r) => r.int(),
		timeoutMs: 10_000,
	});
