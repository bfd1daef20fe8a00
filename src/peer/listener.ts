/**
 * The peer port: accepts, finds out who it is and what for, and hands the connection to whoever serves that purpose. Until
 * then a connection has a time limit for all of it, whatever trickles in, and a place in a bounded crowd (admission.ts). One that
 * wants to join has no id that could be counted by: it stays in the crowd until its token was found good, and is in another one then.
 *
 * A new identity is used for each connection accepted after it; those that are there go on. `recheck` ends the ones that
 * would not be accepted any more: call it when a node was removed, or an authority is not trusted any longer.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { Admission, type AdmissionLimits, defaultAdmission } from "./admission.ts";
import { Connection, calmPace, type Pace, raftPace } from "./connection.ts";
import {
	decodeHello,
	encodeWelcome,
	type Hello,
	isClose,
	judgeHello,
	type Membership,
	memberOfBefore,
	type Peer,
	type Purpose,
	type Self,
} from "./hello.ts";
import type { Identity } from "./identity.ts";
import type { Close } from "./peer-error.ts";
import type { RefusalLog } from "./refusal-log.ts";
import { acceptTls, judgeCertificate, shownChain } from "./tls.ts";
import { type CertificateFault, checkCertificate, claimsOf, faultText } from "./trust.ts";

export type Accepted = {
	connection: Connection;
	peer: Peer;
	/** Of a join: who connected has shown a good token, and is not one of the crowd any more. */
	known(): void;
};
export type ListenerOptions = {
	host: string;
	port: number;
	identity(): Identity;
	self(): Self;
	membership(nodeId: string): Membership;
	serve: Readonly<Record<Purpose, (accepted: Accepted) => void>>;
	/** How soon a link of Raft that is silent counts as dead; `raftPace` when it is not said. */
	raftPace?: Pace;
	clock: Clock;
	logger: Logger;
	refusals: RefusalLog;
	/** For TLS and hello together. */
	helloTimeoutMs?: number;
	admission?: AdmissionLimits;
};

const defaultHelloTimeoutMs = 5000;
const closingMs = 3000;
/** Of so many nodes of other clusters it is said in the log that they came. */
const maxStrangers = 64;
/** Connections of one node. Beyond that the newest is refused; of "raft" the oldest is taken to be dead. */
const maxOfNode: Readonly<Record<Exclude<Purpose, "join">, number>> = { raft: 2, snapshot: 4, request: 4, stream: 256 };
/** Those with a good token that are being admitted. */
const maxJoining: AdmissionLimits = { total: 64, perAddress: 8 };
const maxQueuedBytes: Readonly<Record<Purpose, number>> = {
	raft: 1 << 20,
	snapshot: 8 << 20,
	request: 64 << 20,
	stream: 8 << 20,
	join: 2 << 20,
};

/** Of a connection that has not said yet who it is, or not shown that it may join. `joins`: it has said that it wants to. */
type Stranger = { settle: () => void; joins: boolean };
type Known = { connection: Connection; peer: Peer; purpose: Purpose; certificate: Uint8Array | null };

export class PeerListener {
	readonly #options: ListenerOptions;
	readonly #server: Server;
	readonly #admission: Admission;
	readonly #joining = new Admission(maxJoining);
	readonly #known = new Set<Known>();
	readonly #sockets = new Set<Socket>();
	readonly #strangers = new Set<string>();
	/** When nodes that were removed last asked, by their certificates. */
	readonly #removedHeardMs = new Map<string, number>();
	#closing = false;
	/** Refused, or gone before they had said who they are. */
	refused = 0;

	/** Rejects with `unavailable` when it cannot listen there. */
	static open(options: ListenerOptions): Promise<PeerListener> {
		const listener = new PeerListener(options);
		return new Promise((resolve, reject) => {
			const server = listener.#server;
			server.once("error", (cause) => {
				const where = `${options.host} port ${options.port}`;
				reject(new AppError("unavailable", `Other nodes cannot be listened to on ${where}.`, { cause }));
			});
			server.listen({ host: options.host, port: options.port }, () => {
				server.on("error", (error) => options.logger.error("the peer listener failed", { error }));
				resolve(listener);
			});
		});
	}

	private constructor(options: ListenerOptions) {
		this.#options = options;
		this.#admission = new Admission(options.admission ?? defaultAdmission);
		this.#server = createServer((socket) => this.#accepted(socket));
	}

	get port(): number {
		const address = this.#server.address();
		return typeof address === "object" && address !== null ? address.port : 0;
	}

	get unknownConnections(): number {
		return this.#admission.size;
	}

	/** Those of a node, or all, that were accepted. */
	connections(nodeId?: string): { peer: Peer; purpose: Purpose; remoteAddress: string; rttMs: number | null }[] {
		return [...this.#known]
			.filter(({ peer }) => nodeId === undefined || peer.nodeId === nodeId)
			.map(({ peer, purpose, connection }) => ({
				peer,
				purpose,
				remoteAddress: connection.remoteAddress,
				rttMs: connection.rttMs,
			}));
	}

	/** How long ago a node that was removed last asked this one; null: never. */
	sinceRemovedMs(nodeId: string): number | null {
		const heardMs = this.#removedHeardMs.get(nodeId);
		return heardMs === undefined ? null : this.#options.clock.monotonicMs() - heardMs;
	}

	recheck(): void {
		const { identity, membership, clock } = this.#options;
		for (const { connection, peer, purpose, certificate } of this.#known) {
			if (purpose === "join") continue;
			const nowMs = clock.nowMs();
			const judged = checkCertificate(certificate, identity().trust, nowMs);
			if (typeof judged === "string")
				connection.end({ code: "bad-certificate", message: faultText(judged, certificate, nowMs) });
			else if (membership(peer.nodeId) !== "member") connection.end(notMember(membership(peer.nodeId)));
		}
	}

	/** Says so to everybody, and waits until what was written is out, or for a while. */
	async close(): Promise<void> {
		if (this.#closing) return;
		this.#closing = true;
		this.#server.close();
		const known = [...this.#known];
		for (const { connection } of known) connection.end({ code: "closing", message: "The node is stopping." });
		const late = Promise.withResolvers<void>();
		const timer = this.#options.clock.schedule(closingMs, late.resolve);
		await Promise.race([Promise.all(known.map(({ connection }) => connection.gone)), late.promise]);
		timer.cancel();
		for (const socket of this.#sockets) socket.destroy();
	}

	#accepted(raw: Socket): void {
		if (this.#closing) return void raw.destroy();
		const { clock, logger, identity } = this.#options;
		let connection: Connection | null = null;
		const giveUp = (close: Close) => {
			this.refused += 1;
			if (connection === null) raw.destroy();
			else if (stranger.joins) connection.end(close);
			else connection.fail(close);
		};
		const release = this.#admission.admit(raw.remoteAddress ?? "", () => giveUp(tooMany));
		const timer = clock.schedule(this.#options.helloTimeoutMs ?? defaultHelloTimeoutMs, () => giveUp(tooSlow));
		const settle = () => {
			timer.cancel();
			release();
		};
		const stranger: Stranger = { settle, joins: false };
		this.#sockets.add(raw);
		raw.once("close", () => {
			this.#sockets.delete(raw);
			settle();
		});
		raw.on("error", () => {});
		const socket = acceptTls(raw, identity(), () => {
			connection = new Connection({ socket, clock, logger, maxQueuedBytes: maxQueuedBytes.join });
			this.#greet(connection, socket, stranger);
		});
		socket.on("error", (error) => logger.debug("a peer connection failed", { address: raw.remoteAddress, error }));
		socket.once("close", () => raw.destroy());
	}

	/** Waits for the hello. After `settle` the limits of strangers do not apply any more. */
	#greet(connection: Connection, socket: TLSSocket, stranger: Stranger): void {
		const { identity, self, membership, clock } = this.#options;
		const nowMs = clock.nowMs();
		const certificate = judgeCertificate(socket, identity().trust, nowMs);
		const der = shownChain(socket)[0] ?? null;
		const inWords = (fault: CertificateFault) => faultText(fault, der, nowMs);
		let greeted = false;
		const onHello = (payload: Uint8Array) => {
			greeted = true;
			const hello = decodeHello(payload);
			const judged = judgeHello(hello, { self: self(), certificate, faultText: inWords, membership });
			if (isClose(judged)) {
				if (judged.code === "removed-node" && typeof certificate !== "string")
					this.#removedHeardMs.set(certificate.nodeId, clock.monotonicMs());
				return this.#refuse(connection, judged);
			}
			const purpose = hello?.purpose as Purpose;
			const ends = typeof certificate === "string" ? {} : { certificateNotAfterMs: certificate.notAfterMs };
			const peer: Peer = { ...(hello as Hello).peer, version: judged, ...ends };
			const known = { connection, peer, purpose, certificate: der };
			const full = this.#makeRoom(known);
			if (full !== null) return this.#refuse(connection, full);
			this.#known.add(known);
			connection.setMaxQueuedBytes(maxQueuedBytes[purpose]);
			connection.send("welcome", encodeWelcome(self(), judged, purpose));
			connection.startPings(purpose === "raft" ? (this.#options.raftPace ?? raftPace) : calmPace);
			if (purpose === "join") stranger.joins = true;
			else stranger.settle();
			connection.gone.then(() => this.#known.delete(known));
			this.#options.serve[purpose]({ connection, peer, known: () => this.#mayJoin(connection, stranger) });
		};
		connection.handle(["hello"], {
			onFrame: ({ payload }) => onHello(payload),
			onClose: () => {
				if (!greeted) this.#wentSilently(connection, der);
			},
		});
	}

	#mayJoin(connection: Connection, { settle }: Stranger): void {
		settle();
		const release = this.#joining.admit(connection.remoteAddress, () => connection.end(tooMany));
		connection.gone.then(release);
	}

	/** Who does not trust this node's certificate says no hello; a member of before a recovery tries for ever. Said once. */
	#wentSilently({ remoteAddress }: Connection, certificate: Uint8Array | null): void {
		const { logger, self, membership } = this.#options;
		const claims = claimsOf(certificate);
		if (claims === null || claims.clusterId === self().clusterId) return;
		if (this.#strangers.has(claims.nodeId) || this.#strangers.size >= maxStrangers) return;
		this.#strangers.add(claims.nodeId);
		const reason =
			membership(claims.nodeId) === "removed"
				? memberOfBefore
				: "Its certificate says that it is a member of another cluster.";
		logger.info("a node does not take this one for a member of its cluster", {
			address: remoteAddress,
			...claims,
			reason,
		});
	}

	#refuse(connection: Connection, close: Close): void {
		this.refused += 1;
		this.#options.refusals.refused("a node was refused", connection.remoteAddress, close);
		connection.end(close);
	}

	/** Null when there is room for this one. Who joins has no id yet: the crowd that it is in has its bounds. */
	#makeRoom({ peer, purpose }: Known): Close | null {
		if (purpose === "join") return null;
		const live = [...this.#known].filter(({ connection }) => connection.closed === null);
		const same = live.filter((other) => other.purpose === purpose && other.peer.nodeId === peer.nodeId);
		const others = live.filter((other) => other.peer.nodeId === peer.nodeId && other.peer.instance !== peer.instance);
		// A link of Raft is known to be alive within a second; anything else of a former process is over.
		if (others.some((other) => other.purpose === "raft")) return duplicate;
		for (const { connection } of others) connection.end(replaced);
		if (same.length < maxOfNode[purpose]) return null;
		if (purpose !== "raft")
			return { code: "too-many-connections", message: "This node has too many connections here." };
		same[0]?.connection.end(replaced);
		return null;
	}
}

const replaced: Close = { code: "replaced", message: "A newer connection of this node took over." };
const tooMany: Close = {
	code: "too-many-connections",
	message: "Too many connections from this address, or from everywhere, want to join here. Try again in a moment.",
};
const tooSlow: Close = { code: "timeout", message: "It did not say in time who it is." };
const duplicate: Close = {
	code: "duplicate-node",
	message: "Another process with the id of this node is connected. Was its data folder copied?",
};
const notMember = (membership: Membership): Close =>
	membership === "removed"
		? { code: "removed-node", message: "This node was removed from the cluster. It can join again as a new one." }
		: { code: "unknown-node", message: "This node is not known to be a member." };
