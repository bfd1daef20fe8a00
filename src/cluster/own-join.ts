/** `cluster join` on this node: whether it may join at all, and what it has to bring along. How it is done: joining.ts. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { ClusterJoin, JoinPreview } from "../model/cluster.ts";
import type { Brought } from "../model/join-clashes.ts";
import type { Address } from "../peer/address.ts";
import type { Identity } from "../peer/identity.ts";
import { parseToken } from "../peer/join-token.ts";
import type { StoreIdentity } from "../store/open-store.ts";
import type { Store, StoreReader } from "../store/store.ts";
import { arrivingWith } from "./arrival.ts";
import { broughtBy, hasOthers } from "./belongings.ts";
import { checkImportable, withFormerState } from "./importing.ts";
import { hasToLeave, joinCluster, ownToken } from "./joining.ts";
import { markedPools } from "./marked-pools.ts";
import type { JoinHints } from "./switch.ts";
import type { Turns } from "./turns.ts";

export type OwnJoinDeps = {
	dataDir: string;
	node: StoreIdentity;
	nodeName: string;
	version: string;
	store: Store;
	hints: JoinHints | null;
	turns: Turns;
	isRemoved: () => boolean;
	identity: () => Identity;
	ownAddresses: () => Address[];
	/** Ids of the VMs that run on this host, whoever's they are; null when libvirt does not say. */
	runningHere: () => Promise<string[] | null>;
	/** The daemon has to begin anew. */
	onJoined: () => void;
	clock: Clock;
	random: Random;
	logger: Logger;
};

export class OwnJoin {
	readonly #deps: OwnJoinDeps;
	/** Does not change any more once it is read. */
	#former: Promise<Brought> | null = null;

	constructor(deps: OwnJoinDeps) {
		this.#deps = deps;
	}

	async join(request: ClusterJoin): Promise<JoinPreview> {
		const { turns, onJoined } = this.#deps;
		if (request.preview === true) return this.#ask(request);
		turns.beginJoin();
		let joining = false;
		try {
			const joined = await this.#ask(request);
			joining = joined.joining;
			if (joining) onJoined();
			return joined;
		} finally {
			// Else it is this node's turn until it has begun anew.
			if (!joining) turns.endJoin();
		}
	}

	async #ask(request: ClusterJoin): Promise<JoinPreview> {
		const { store, node, dataDir, version, clock, random, logger, identity, ownAddresses } = this.#deps;
		const arriving = arrivingWith(this.#deps);
		const removed = this.#deps.isRemoved();
		const isSameCluster = parseToken(request.token).clusterId === node.clusterId;
		if (isSameCluster && arriving === null && !removed) throw ownToken();
		const isMember = () => !this.#deps.isRemoved() && hasOthers(store, node.nodeId);
		// That it was admitted to the same cluster before does not stand in its way, nor that it arrives while it asks again.
		const asksAgain = arriving !== null && isSameCluster;
		const checkMayJoin = () => {
			if (!asksAgain && isMember() && store.status().quorum) throw hasToLeave();
		};
		checkMayJoin();
		return joinCluster(
			{
				...{ dataDir, nodeId: node.nodeId, build: version, clock, random, logger, checkMayJoin },
				arriving: arriving && { formerNodeId: arriving.formerNodeId, identity: removed ? null : identity() },
				alone: arriving === null && !hasOthers(store, node.nodeId),
				memberOf: isMember() && !asksAgain ? node.clusterId : null,
				nodeName: store.get("node", node.nodeId)?.name ?? this.#deps.nodeName,
				ownAddresses: ownAddresses(),
				belongings: () => this.#belongings(arriving),
				running: this.#deps.runningHere,
			},
			request,
		);
	}

	async #belongings(arriving: JoinHints | null): Promise<Brought> {
		const { store, node, dataDir, logger } = this.#deps;
		const read = (reader: Pick<StoreReader, "all" | "get">, nodeId: string, marked: ReadonlySet<string>) => {
			checkImportable(reader, nodeId, marked);
			return broughtBy(reader, nodeId, marked);
		};
		if (arriving === null) {
			const marked = await markedPools({ dataDir, node, store, logger });
			return read(store, node.nodeId, new Set(marked.map(({ id }) => id)));
		}
		const { formerNodeId } = arriving;
		this.#former ??= withFormerState(
			...([dataDir, formerNodeId, logger] as const),
			(reader, marked) => read(reader, formerNodeId, marked),
			"join.tmp",
		);
		try {
			return await this.#former;
		} catch (error) {
			this.#former = null;
			throw error;
		}
	}
}
