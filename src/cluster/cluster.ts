/**
 * This node's part in the cluster, put together: its identity, the links, the consensus behind them, who the members are, and
 * what an administrator does with them (service.ts). docs/decisions/0043-cluster.md says how it all works.
 */

import { startMembership } from "../control/membership.ts";
import { type Clock, delay, type Timer, toRfc3339 } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { IdSource } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { ClusterJoin, ClusterStatus, JoinPreview, NodeCertificateInfo } from "../model/cluster.ts";
import { type Address, formatAddress } from "../peer/address.ts";
import { raftPaceFor } from "../peer/connection.ts";
import { PeerNode } from "../peer/peer.ts";
import type { StreamHandler } from "../peer/stream-open.ts";
import { onlyVotes } from "../store/apply/checks.ts";
import { features } from "../store/command-features.ts";
import type { StoreIdentity } from "../store/open-store.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { notLeading, removed } from "../store/raft/refusals.ts";
import type { Proposer, Store } from "../store/store.ts";
import { createAdmission } from "./admission.ts";
import { answerCall } from "./answers.ts";
import { arrivingWith } from "./arrival.ts";
import { keepAskingAround } from "./asking-around.ts";
import { knownPastMs, OwnCertificate } from "./certificates.ts";
import type { ClusterSecrets } from "./cluster-secrets.ts";
import type { ClusterTime } from "./cluster-time.ts";
import { whoHears } from "./hearing.ts";
import type { PoolFolders } from "./importing.ts";
import { LeaderViews } from "./leader-view.ts";
import { Leaving } from "./leaving.ts";
import type { ClusterLinks } from "./links.ts";
import { type LocalAddresses, readLocalAddresses, withLocalAddresses } from "./local-addresses.ts";
import { freeFormerPools } from "./marked-pools.ts";
import type { MemberFeatures } from "./member-features.ts";
import { decodeJson, encodeJson, methods } from "./methods.ts";
import { newJoinToken } from "./new-join-token.ts";
import { clusterPathsOf } from "./node-file.ts";
import { ownAddresses } from "./own-addresses.ts";
import { OwnJoin } from "./own-join.ts";
import { peerMembers } from "./peer-members.ts";
import { whyUnreached } from "./reachability.ts";
import type { ClusterFigures, ClusterService, NewJoinToken } from "./service.ts";
import { clusterStatus, isRefused, recoveredElsewhere } from "./status.ts";
import type { JoinHints, MemberHint } from "./switch.ts";
import { Turns } from "./turns.ts";
import { reportWitness } from "./witness.ts";

export type ClusterDeps = {
	dataDir: string;
	node: StoreIdentity;
	nodeName: string;
	version: string;
	/** `--peer-listen`. */
	peerListen: { host: string; port: number };
	/** Of the consensus, in milliseconds. */
	tickMs: number;
	links: ClusterLinks;
	consensus: RaftConsensus;
	store: Store;
	proposer: Proposer;
	hints: JoinHints | null;
	poolFolders: PoolFolders;
	/** Ids of the VMs that run on this host and were started by this node, whoever's they are now; null when libvirt does not say. */
	runningHere: () => Promise<string[] | null>;
	memberFeatures: MemberFeatures;
	secrets: ClusterSecrets;
	/** By kind. */
	streams: Readonly<Record<string, StreamHandler>>;
	/** The node is another one from now on, or has to begin anew: the daemon does. */
	onRestart: () => void;
	/** This node was removed: nothing on this host may be changed any more. */
	onRemoved: () => Promise<void>;
	/** Of this host. */
	clock: Clock;
	time: ClusterTime;
	random: Random;
	ids: IdSource;
	logger: Logger;
};

const watchMs = 500;
const witnessReportMs = 10_000;
const renewalCheckMs = 6 * 3_600_000;
const callLimitMs = 5_000;
const waitingIsNewsMs = 5_000;
/** What a request that ends with a new beginning still has to say. */
const lastWordsMs = 300;

export class Cluster implements ClusterService {
	readonly #deps: ClusterDeps;
	readonly #ends: (() => void)[] = [];
	readonly #certificate: OwnCertificate;
	#peers: PeerNode | null = null;
	#leader: string | null = null;
	#leaderChanges = 0;
	#configurationIndex = -1;
	#saidElsewhere = false;
	#waitsSinceMs: number | null = null;
	#saidWaiting = false;
	readonly #turns = new Turns();
	readonly #ownJoin: OwnJoin;
	readonly #leaderViews: LeaderViews;
	readonly #leaving: Leaving;
	#localAddresses: LocalAddresses = [];
	#confirmed = Promise.withResolvers<void>();

	constructor(deps: ClusterDeps) {
		this.#deps = deps;
		const { clock } = deps;
		this.#certificate = new OwnCertificate({
			...{ ...deps, clock: deps.time },
			path: clusterPathsOf(deps.dataDir).identity,
			pastMs: () => knownPastMs(deps.store),
			onRenewed: (identity) => this.#peers?.setIdentity(identity),
		});
		this.#leaderViews = new LeaderViews(deps.consensus, clock);
		this.#ownJoin = new OwnJoin({
			...{ ...deps, turns: this.#turns },
			isRemoved: () => this.removed,
			identity: () => this.peers.identity,
			ownAddresses: () => this.#ownAddresses(),
			onJoined: () => this.#restartSoon(),
		});
		const { silence } = deps.links;
		this.#leaving = new Leaving({ ...deps, silence, turns: this.#turns, onFresh: () => this.#restartSoon() });
	}

	get nodeId(): string {
		return this.#deps.node.nodeId;
	}

	get removed(): boolean {
		return this.#leaving.removed;
	}

	/** For streams to other nodes; there once it has started. */
	get peers(): PeerNode {
		if (this.#peers === null) throw new AppError("unavailable", "The links to other nodes are not up yet.");
		return this.#peers;
	}

	async start(): Promise<void> {
		const { store, links, clock, logger, peerListen, tickMs, random, streams } = this.#deps;
		const identity = await this.#certificate.open();
		this.#localAddresses = await readLocalAddresses(this.#deps.dataDir, logger);
		const { host, port } = peerListen;
		const peers = await PeerNode.open({
			...{ host: host === "::" ? "::" : host, port, identity, features, clock, random, logger },
			nodeName: this.#deps.nodeName,
			build: this.#deps.version,
			raftPace: raftPaceFor(tickMs),
			ownAddresses: () => this.#ownAddresses(),
			handlers: {
				onRaftMessage: (message) => links.onRaftMessage(message),
				onSnapshot: (channel) => links.onSnapshot(channel),
				onCutOff: (nodeId) => links.onCutOff(nodeId),
				onRequest: async (request) =>
					answerCall(request, { ...this.#deps, leaderViews: this.#leaderViews, peers: this.peers }),
				async onStream(incoming) {
					const handler = Object.hasOwn(streams, incoming.kind) ? streams[incoming.kind] : undefined;
					if (handler === undefined) throw new AppError("unsupported", "This node knows no such stream.");
					await handler(incoming);
				},
				join: createAdmission({
					...{ ...this.#deps, clock: this.#deps.time, hostClock: clock },
					...{ turns: this.#turns, clusterId: this.#deps.node.clusterId, nodeId: this.nodeId },
				}),
			},
		});
		this.#peers = peers;
		this.#setMembership();
		links.usePeers(peers);
		this.#deps.memberFeatures.usePeers(peers);
		this.#deps.time.usePeers(this.nodeId, peers);
		this.#ends.push(
			store.subscribe((events) => {
				if (events.some(({ target }) => target.kind === "node")) this.#setMembership();
			}),
		);
		this.#ends.push(startMembership({ ...this.#deps }));
		this.#every(watchMs, () => this.#watch());
		this.#ends.push(keepAskingAround(peers, clock), this.#deps.secrets.keepFetching());
		this.#every(renewalCheckMs, () => void this.#certificate.renewIfDue());
		void this.#tellAddresses();
		void this.#confirm();
		await this.#leaving.finish(this.#confirmed.promise);
	}

	/** Resolves when a quorum has confirmed that this node is a member; rejects when `signal` ends it. */
	async confirmed(signal: AbortSignal): Promise<void> {
		const { promise, reject } = Promise.withResolvers<never>();
		const onAbort = () => reject(signal.reason);
		signal.addEventListener("abort", onAbort, { once: true });
		try {
			await Promise.race([this.#confirmed.promise, promise]);
		} finally {
			signal.removeEventListener("abort", onAbort);
		}
	}

	status(): ClusterStatus {
		const { store, consensus, version } = this.#deps;
		return clusterStatus({
			nodes: store.all("node"),
			raft: consensus.details(),
			leaderView: this.#leaderViews.get(this.#peers),
			...{ appliedIndex: store.appliedIndex, nowMs: this.#deps.clock.nowMs() },
			...{ removed: this.removed, hindrance: this.#leaving.hindrance },
			links: this.#peers?.status() ?? [],
			arriving: this.#arrivingAs(),
			own: { version, features, certificateExpiresMs: this.#certificate.current?.notAfterMs ?? null },
			clocks: this.#deps.time.verdict(),
		});
	}

	async whoHears(nodeId: string): Promise<string | null> {
		const by = this.#peers === null ? null : await whoHears(nodeId, this.#peers);
		return by === null ? null : (this.#deps.store.get("node", by)?.name ?? by);
	}

	wasMember(nodeId: string): boolean {
		return this.#deps.consensus.details().configuration.removed.includes(nodeId);
	}

	async freshStatus(): Promise<ClusterStatus> {
		await this.#leaderViews.refresh(this.#peers);
		return this.status();
	}

	#arrivingAs(): MemberHint | null {
		const { nodeId } = this;
		const { nodeName: name } = this.#deps;
		const hints = arrivingWith(this.#deps);
		return hints && (hints.members.find((member) => member.nodeId === nodeId) ?? { nodeId, name, addresses: [] });
	}

	figures(): ClusterFigures {
		const dropped = (this.#peers?.status() ?? []).flatMap(({ link }) => Object.values(link.dropped));
		const messagesDropped = dropped.reduce((sum, count) => sum + count, 0);
		return { leaderChanges: this.#leaderChanges, messagesDropped, tickDelays: this.#deps.consensus.tickDelays };
	}

	async transferLeadership(to: string | null): Promise<string> {
		const { consensus } = this.#deps;
		const { role, leader } = consensus.details();
		if (role === "leader") return consensus.transferLeadership(to);
		if (this.removed) throw removed();
		if (leader === null) throw notLeading(null);
		if (leader === to) return leader;
		const options = { timeoutMs: callLimitMs };
		const answer = await this.peers.call(leader, methods.transferLeadership, encodeJson({ to }), options);
		return decodeJson<{ leader: string }>(answer).leader;
	}

	makeJoinToken(tokenId: string): NewJoinToken {
		return newJoinToken(tokenId, this.peers.identity, this.#deps);
	}

	join(request: ClusterJoin): Promise<JoinPreview> {
		return this.#ownJoin.join(request);
	}

	leave(remove: () => Promise<unknown>): Promise<void> {
		return this.#leaving.leave(remove);
	}

	async renewCertificate(): Promise<NodeCertificateInfo> {
		const { fingerprint, notAfterMs } = await this.#certificate.renew();
		return { fingerprint, expiresAt: toRfc3339(notAfterMs) };
	}

	whyUnreached(nodeId: string, addresses: readonly string[]): Promise<string | null> {
		return whyUnreached({ nodeId, addresses }, this.peers, this.#deps.clock);
	}

	everybodyHas(feature: string): boolean {
		return this.lacking(feature).length === 0;
	}

	lacking(feature: string): string[] {
		return this.#deps.memberFeatures.lacking(feature);
	}

	/** A witness runs nothing: it is there, and says so again when the others thought otherwise. Its `service` is one that it has not got. */
	async actAsWitness(service: { failed(error: AppError): void }): Promise<void> {
		const { store, node, nodeName, time: clock } = this.#deps;
		service.failed(onlyVotes(store.get("node", node.nodeId) ?? { name: nodeName }));
		const report = () => reportWitness({ ...this.#deps, clock });
		report();
		this.#every(witnessReportMs, report);
		await freeFormerPools(this.#deps);
	}

	/** Before the store is closed: the loops end, and somebody else leads. Never fails. */
	async handOver(): Promise<void> {
		for (const end of this.#ends.splice(0)) end();
		const { consensus, logger } = this.#deps;
		const { role, configuration } = consensus.details();
		if (role !== "leader" || configuration.voters.length < 2) return;
		await consensus.transferLeadership().catch((error) => logger.info("leadership was not handed over", { error }));
	}

	async stop(): Promise<void> {
		this.#confirmed.reject(new AppError("canceled", "The node is ending."));
		this.#confirmed.promise.catch(() => {});
		await this.#peers?.close();
	}

	#every(periodMs: number, work: () => void): void {
		let timer: Timer;
		const again = () => {
			timer = this.#deps.clock.schedule(periodMs, () => {
				work();
				again();
			});
		};
		again();
		this.#ends.push(() => timer.cancel());
	}

	#setMembership(): void {
		const { store, consensus, hints } = this.#deps;
		const { configuration } = consensus.details();
		const { members, removed } = peerMembers(store.all("node"), hints?.members ?? [], configuration);
		this.#peers?.setMembership(withLocalAddresses(members, this.#localAddresses), removed);
	}

	#watch(): void {
		const { leader, configurationIndex } = this.#deps.consensus.details();
		if (leader !== null && leader !== this.#leader) {
			if (this.#leader !== null) this.#leaderChanges += 1;
			this.#leader = leader;
		}
		if (configurationIndex !== this.#configurationIndex) {
			this.#configurationIndex = configurationIndex;
			this.#setMembership();
		}
		const links = this.#peers?.status() ?? [];
		this.#leaving.watch(links.some(({ link }) => link.lastClose?.code === "removed-node"));
		this.#sayWhenItWaits();
		const refused = links.some(isRefused);
		// Whom others take has time until it is due.
		if (refused || links.every(({ link }) => link.state !== "connected")) void this.#certificate.renewIfBad(refused);
		this.#deps.time.sayWhatIsOff((id) => this.#deps.store.get("node", id)?.name ?? id);
		const elsewhere = links.find(({ link }) => link.lastClose?.code === "wrong-cluster");
		if (elsewhere === undefined || this.#saidElsewhere) return;
		this.#saidElsewhere = true;
		this.#deps.logger.warn(recoveredElsewhere, { peer: elsewhere.nodeId, reason: elsewhere.link.lastClose?.message });
	}

	/** The commands on this node say it, too; whoever started it and went away finds it in the log. */
	#sayWhenItWaits(): void {
		const { store, hints, clock, logger } = this.#deps;
		if (hints === null || this.#saidWaiting || store.count("node") > 0) return;
		this.#waitsSinceMs ??= clock.monotonicMs();
		if (clock.monotonicMs() - this.#waitsSinceMs < waitingIsNewsMs) return;
		this.#saidWaiting = true;
		logger.warn("this node has not arrived in the cluster that it joined", { problem: this.status().problem });
	}

	#restartSoon(): void {
		this.#deps.clock.schedule(lastWordsMs, this.#deps.onRestart);
	}

	async #confirm(): Promise<void> {
		const { store, clock } = this.#deps;
		const ended = new AbortController();
		this.#ends.push(() => ended.abort(new AppError("canceled", "The node is ending.")));
		while (!ended.signal.aborted && !this.removed) {
			try {
				await store.readIndex();
				return this.#confirmed.resolve();
			} catch {
				await delay(clock, watchMs, ended.signal).catch(() => {});
			}
		}
	}

	#ownAddresses(): Address[] {
		const { host, port } = this.#deps.peerListen;
		return ownAddresses({ host, port: port === 0 ? (this.#peers?.port ?? 0) : port });
	}

	/** Of a first node: nobody has said yet where it is reached. */
	async #tellAddresses(): Promise<void> {
		const { store, node, proposer, logger } = this.#deps;
		const known = store.get("node", node.nodeId);
		const addresses = this.#ownAddresses();
		if (known === null || known.peerAddresses.length > 0 || addresses.length === 0) return;
		const peerAddresses = addresses.map(formatAddress);
		await proposer
			.proposeSystem({ kind: "nodeAddresses", id: node.nodeId, peerAddresses })
			.catch((error) => logger.warn("this node's addresses were not recorded", { error }));
	}
}
