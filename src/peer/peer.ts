/**
 * Links between the nodes of a cluster: mutual TLS 1.3 with the cluster's own CA, each certificate pinned to a node id, protobuf in
 * length-prefixed frames, versions negotiated (docs/decisions/0041-peer-links.md). Everything about one node's links is here.
 *
 * The caller's duties
 *
 *  1. `PeerNode.open` with the identity (identity.ts; at `cluster init` from makeAuthority and signNode, else from `join`).
 *  2. `setMembership` at once, and whenever it changes: members with their addresses, and the ids that were removed. Who is in
 *     neither is refused; who is removed is told so and cut off.
 *  3. `sendRaft` each message of a Ready. They may be lost. What comes goes to `onRaftMessage`: well-formed, and from
 *     the node that it says it is from; whether it makes sense is for the core. Never throw there.
 *  4. On `snapshots` of a Ready: `openSnapshot`, then drive a SnapshotSender with it, and call `openSnapshot` again after it
 *     was closed. `onSnapshot` calls `channel.handle` before it returns, and drives a SnapshotReceiver.
 *  5. `call` for what another node has to do or answer, `openStream` for anything long or large. `onRequest` and `onStream`
 *     check permissions anew: that a node asks does not mean that its user may. They read nothing from the host by a name
 *     that came over the link.
 *  6. When `renewalDueMs` is past: make a key and a request, sign it (signNode) with the CA, which is in each node's copy of the state,
 *     `saveIdentity`, `setIdentity`. To replace the CA: all nodes trust both, then all get new certificates, then all trust the new one only.
 *  7. Use what is new only when all members announce its feature: `status().peer.features`.
 *  8. `close` at the end; it lets last words out.
 */
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { type Random, randomHex } from "../lib/random.ts";
import { MiB } from "../lib/units.ts";
import type { Message } from "../raft/messages.ts";
import { type Address, formatAddress } from "./address.ts";
import type { AdmissionLimits } from "./admission.ts";
import { type Connection, calmPace, type Pace, raftPace } from "./connection.ts";
import { type Dialled, dial, dialAny } from "./dial.ts";
import { type Membership, type Peer, type Purpose, protocolVersions, type Self } from "./hello.ts";
import type { Identity } from "./identity.ts";
import { type JoinHandler, serveJoin } from "./join-server.ts";
import { type Accepted, PeerListener } from "./listener.ts";
import type { Close } from "./peer-error.ts";
import { decodeRaftMessage } from "./raft-codec.ts";
import { RaftLink, type RaftLinkStatus } from "./raft-link.ts";
import { RefusalLog } from "./refusal-log.ts";
import { type RequestHandler, serveRequests } from "./request-server.ts";
import { type CallOptions, RequestClient } from "./requests.ts";
import type { QueueLimits } from "./send-queue.ts";
import {
	receiverChannel,
	type SnapshotReceiverChannel,
	type SnapshotSenderChannel,
	senderChannel,
} from "./snapshot-channel.ts";
import type { PeerStream } from "./stream.ts";
import { openStream, type StreamHandler, type StreamRequest, serveStream } from "./stream-open.ts";
import { Whereabouts } from "./whereabouts.ts";

/** `alsoAt`: as an administrator says on this node, beside what the state says. */
export type PeerMember = { nodeId: string; addresses: readonly Address[]; alsoAt?: readonly Address[] };

export type PeerHandlers = {
	onRaftMessage(message: Message): void;
	onSnapshot(channel: SnapshotReceiverChannel): void;
	/** Its side ended this node's link without last words: a process that was killed, most likely. */
	onCutOff?(nodeId: string): void;
	onRequest: RequestHandler;
	onStream: StreamHandler;
	/** Null: this node admits nobody. */
	join: JoinHandler | null;
};

export type PeerNodeOptions = {
	/** `--peer-listen`. */
	host: string;
	port: number;
	identity: Identity;
	nodeName: string;
	build: string;
	/** Where this node is reached, as far as it knows: said to those it connects to (whereabouts.ts). */
	ownAddresses?: () => readonly Address[];
	/** What this build can do that an older one may not. */
	features: readonly string[];
	handlers: PeerHandlers;
	/** From raftPaceFor, with the tick of the consensus. */
	raftPace?: Pace;
	clock: Clock;
	random: Random;
	logger: Logger;
	/** For tests. */
	versions?: { min: number; max: number };
	limits?: { helloTimeoutMs?: number; admission?: AdmissionLimits; queue?: Partial<QueueLimits> };
};

export type PeerStatus = {
	nodeId: string;
	/** As it last said about itself; null before it was heard of. */
	peer: Peer | null;
	/** This node's link to it. */
	link: RaftLinkStatus;
	/** Its connections to this node, by purpose. */
	incoming: Record<Purpose, number>;
};

type Remote = { whereabouts: Whereabouts; link: RaftLink; requests: RequestClient; peer: Peer | null };

const dialTimeoutMs = 3000;
const maxQueuedBytes = { raft: 64 * MiB, snapshot: 8 * MiB, request: 64 * MiB, stream: 8 * MiB };

export class PeerNode {
	readonly #options: PeerNodeOptions;
	readonly #instance: string;
	readonly #remotes = new Map<string, Remote>();
	readonly #dialled = new Set<Connection>();
	readonly #refusals: RefusalLog;
	#listener: PeerListener | null = null;
	#identity: Identity;
	#nodeName: string;
	#removed: ReadonlySet<string> = new Set();
	#closed = false;

	static async open(options: PeerNodeOptions): Promise<PeerNode> {
		const node = new PeerNode(options);
		const { host, port, clock, logger, limits } = options;
		node.#listener = await PeerListener.open({
			host,
			port,
			identity: () => node.#identity,
			self: () => node.#self(),
			membership: (nodeId) => node.#membership(nodeId),
			serve: {
				raft: (accepted) => node.#serveRaft(accepted),
				snapshot: (accepted) => node.#heard(accepted, () => options.handlers.onSnapshot(receiverChannel(accepted))),
				request: (accepted) =>
					node.#heard(accepted, () => serveRequests(accepted, { handler: options.handlers.onRequest, clock, logger })),
				stream: (accepted) =>
					node.#heard(accepted, () => serveStream(accepted, { handler: options.handlers.onStream, clock, logger })),
				join: (accepted) => node.#serveJoin(accepted),
			},
			clock,
			logger,
			refusals: node.#refusals,
			...(options.raftPace === undefined ? {} : { raftPace: options.raftPace }),
			...(limits?.helloTimeoutMs === undefined ? {} : { helloTimeoutMs: limits.helloTimeoutMs }),
			...(limits?.admission === undefined ? {} : { admission: limits.admission }),
		});
		return node;
	}

	private constructor(options: PeerNodeOptions) {
		this.#options = options;
		this.#identity = options.identity;
		this.#nodeName = options.nodeName;
		this.#instance = randomHex(options.random, 16);
		this.#refusals = new RefusalLog(options.clock, options.logger);
	}

	get nodeId(): string {
		return this.#identity.nodeId;
	}

	get identity(): Identity {
		return this.#identity;
	}

	/** Where it listens; of use when 0 was asked for. */
	get port(): number {
		return this.#listener?.port ?? 0;
	}

	/** This node itself may be among the members, or not. */
	setMembership(members: readonly PeerMember[], removed: readonly string[]): void {
		this.#removed = new Set(removed);
		const others = members.filter(({ nodeId }) => nodeId !== this.nodeId && !this.#removed.has(nodeId));
		const ids = new Set(others.map(({ nodeId }) => nodeId));
		for (const [nodeId, remote] of this.#remotes) {
			if (ids.has(nodeId)) continue;
			this.#remotes.delete(nodeId);
			remote.link.close(notNeeded);
			remote.requests.close();
		}
		for (const member of others) {
			const { nodeId, addresses, alsoAt = [] } = member;
			const known = this.#remotes.get(nodeId);
			const remote = known ?? this.#newRemote(nodeId);
			this.#remotes.set(nodeId, remote);
			if (remote.whereabouts.set(addresses, alsoAt) && known !== undefined) wake(remote);
		}
		this.#listener?.recheck();
	}

	/** Where it is looked for, in this order. */
	addressesOf(nodeId: string): Address[] {
		return this.#remotes.get(nodeId)?.whereabouts.all ?? [];
	}

	/** Where it is as far as this node knows by itself, for others that do not reach it; nothing while it is not there. */
	foundAt(nodeId: string): readonly Address[] {
		const remote = this.#remotes.get(nodeId);
		if (remote === undefined) return [];
		const there = remote.link.peer !== null || (this.#listener?.connections(nodeId) ?? []).length > 0;
		return there ? remote.whereabouts.seen : [];
	}

	/** Where others say that they have found it. */
	heardAt(nodeId: string, addresses: readonly Address[]): void {
		const remote = this.#remotes.get(nodeId);
		if (remote?.whereabouts.heard(addresses)) wake(remote);
	}

	/** To a node that is not a member, or while this one is closing, it is lost. */
	sendRaft(message: Message): void {
		this.#remotes.get(message.to)?.link.send(message);
	}

	call(nodeId: string, method: string, payload: Uint8Array, options: CallOptions): Promise<Uint8Array> {
		const remote = this.#remotes.get(nodeId);
		return remote === undefined ? Promise.reject(noSuchNode()) : remote.requests.call(method, payload, options);
	}

	/** Rejects with the other node's error, or a PeerError. */
	async openStream(nodeId: string, request: StreamRequest, signal?: AbortSignal): Promise<PeerStream> {
		const dialled = await this.#dial(nodeId, "stream", signal);
		return openStream(dialled, request, { clock: this.#options.clock });
	}

	async openSnapshot(nodeId: string, signal?: AbortSignal): Promise<SnapshotSenderChannel> {
		return senderChannel(await this.#dial(nodeId, "snapshot", signal));
	}

	/** The same node's, with a new certificate, or other authorities. Nothing pauses: new connections take over from old ones. */
	setIdentity(identity: Identity): void {
		assert(identity.nodeId === this.nodeId, "a node keeps its id");
		assert(identity.clusterId === this.#identity.clusterId, "a node stays in its cluster");
		this.#identity = identity;
		for (const { link, requests } of this.#remotes.values()) {
			link.renew();
			requests.renew();
		}
		this.#listener?.recheck();
	}

	/** As others see it from their next connection on. */
	setNodeName(name: string): void {
		this.#nodeName = name;
	}

	status(): PeerStatus[] {
		return [...this.#remotes].map(([nodeId, { link, peer }]) => {
			const incoming: Record<Purpose, number> = { raft: 0, snapshot: 0, request: 0, stream: 0, join: 0 };
			for (const { purpose } of this.#listener?.connections(nodeId) ?? []) incoming[purpose] += 1;
			return { nodeId, peer, link: link.status(), incoming };
		});
	}

	/** How long ago a node that was removed last asked this one; null: never, as far as this process knows. */
	sinceRemovedMs(nodeId: string): number | null {
		return this.#listener?.sinceRemovedMs(nodeId) ?? null;
	}

	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		for (const { link, requests } of this.#remotes.values()) {
			link.close(closing);
			requests.close();
		}
		for (const connection of this.#dialled) connection.end(closing);
		await this.#listener?.close();
		this.#refusals.close();
	}

	#membership(nodeId: string): Membership {
		if (this.#removed.has(nodeId)) return "removed";
		return this.#remotes.has(nodeId) || nodeId === this.nodeId ? "member" : "unknown";
	}

	#self(): Self {
		const { build, features, versions = protocolVersions } = this.#options;
		const { clusterId, nodeId } = this.#identity;
		return { clusterId, nodeId, nodeName: this.#nodeName, build, instance: this.#instance, features, versions };
	}

	#newRemote(nodeId: string): Remote {
		const { clock, random, logger, limits } = this.#options;
		const onConnected = (peer: Peer) => {
			remote.peer = peer;
			remote.requests.wake();
		};
		const dialFor = (purpose: "raft" | "request") => (signal: AbortSignal) => this.#dial(nodeId, purpose, signal);
		const requests = new RequestClient({ dial: dialFor("request"), clock, random, logger });
		const queue = limits?.queue === undefined ? {} : { queue: limits.queue };
		// Connects by itself, but not before it is known here.
		const later = (signal: AbortSignal) => Promise.resolve().then(() => dialFor("raft")(signal));
		const onCutOff = () => this.#options.handlers.onCutOff?.(nodeId);
		const link = new RaftLink({ nodeId, dial: later, clock, random, logger, onConnected, onCutOff, ...queue });
		const remote: Remote = { whereabouts: new Whereabouts(), link, requests, peer: null };
		return remote;
	}

	async #dial(nodeId: string, purpose: Exclude<Purpose, "join">, signal?: AbortSignal): Promise<Dialled> {
		const { clock, logger, ownAddresses = () => [] } = this.#options;
		const remote = this.#remotes.get(nodeId);
		if (remote === undefined || this.#closed) throw noSuchNode();
		const common = {
			purpose,
			toNodeId: nodeId,
			identity: this.#identity,
			self: { ...this.#self(), addresses: ownAddresses() },
			pace: purpose === "raft" ? (this.#options.raftPace ?? raftPace) : calmPace,
			clock,
			logger,
			timeoutMs: dialTimeoutMs,
			maxQueuedBytes: maxQueuedBytes[purpose],
			...(signal === undefined ? {} : { signal }),
		};
		const dialled = await dialAny(
			remote.whereabouts.all,
			(address) => dial({ ...common, address }),
			() => signal?.aborted !== true,
		);
		if (this.#closed || this.#remotes.get(nodeId) !== remote) {
			dialled.connection.end(notNeeded);
			throw noSuchNode();
		}
		remote.peer = dialled.peer;
		if (remote.whereabouts.reached(dialled.address))
			logger.warn(movedAway, { nodeId, address: formatAddress(dialled.address) });
		this.#dialled.add(dialled.connection);
		dialled.connection.gone.then(() => this.#dialled.delete(dialled.connection));
		return dialled;
	}

	/** Whoever connects can be connected to. */
	#heard({ peer }: Accepted, serve: () => void): void {
		const remote = this.#remotes.get(peer.nodeId);
		if (remote !== undefined) {
			remote.peer = peer;
			remote.whereabouts.announced(peer.addresses ?? []);
			wake(remote);
		}
		serve();
	}

	#serveRaft(accepted: Accepted): void {
		const { connection, peer } = accepted;
		this.#heard(accepted, () =>
			connection.handle(["raft"], {
				onFrame: ({ payload }) => {
					const message = decodeRaftMessage(payload);
					const { clusterId, nodeId } = this.#identity;
					const honest = message?.from === peer.nodeId && message.to === nodeId && message.clusterId === clusterId;
					if (message !== null && honest) this.#options.handlers.onRaftMessage(message);
					else
						connection.end({
							code: "protocol",
							message: "A message cannot be read, or is not from this node to that.",
						});
				},
				onClose() {},
			}),
		);
	}

	#serveJoin(accepted: Accepted): void {
		const { handlers, clock, logger } = this.#options;
		if (handlers.join === null) accepted.connection.end({ code: "unavailable", message: "This node admits nobody." });
		else serveJoin(accepted, { handler: handlers.join, clock, logger, refusals: this.#refusals });
	}
}

function wake({ link, requests }: Remote): void {
	link.wake();
	requests.wake();
}

const movedAway =
	"a node is not reached where the cluster's state says, but where it or another node says that it is, or as was said on this node; `limiquantix cluster readdress` records it for all";
const closing: Close = { code: "closing", message: "The node is stopping." };
const notNeeded: Close = { code: "closing", message: "The node is no member any more." };
const noSuchNode = (): AppError => new AppError("not-found", "There is no such node in the cluster.");
