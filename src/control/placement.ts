/**
 * On which node something new goes, when nobody said. Pure. A VM goes where its networks and pools are ready, there to the node
 * with the most memory left after it, then to the one with the fewest vCPUs for each CPU; a volume or an image where its pool works without
 * a warning, there to the one with the most room. Names break ties, so that the same state gives the same answer. Whatever fits nowhere is
 * refused, with the reason for each node.
 *
 * The memory of all VMs of a node counts, of those that are off too: they will be started. That a node has less than
 * nothing left does not rule it out, since not all of them run at once; that it has less in all than the VM wants does.
 */
import { AppError } from "../lib/errors.ts";
import { formatBytes } from "../lib/units.ts";
import type { Network } from "../model/network.ts";
import type { Node } from "../model/node.ts";
import { availableOn, mayWorkOn, partRank } from "../model/pool-parts.ts";
import type { Pool, Volume } from "../model/storage.ts";
import type { VmLoad } from "../store/store.ts";
import { type Readiness, readinessOn } from "./readiness.ts";

export type PlacementState = {
	nodes: readonly Node[];
	/** What the VMs of each node want in all; nodes without VMs may be left out. */
	loads: readonly VmLoad[];
	pools: readonly Pool[];
};

export type WantedVm = {
	memoryBytes: number;
	vcpus: number;
	/** Those that it has NICs in. */
	networks: readonly Pick<Network, "name" | "config" | "nodes">[];
	/** Pools that it needs a part of on its node. Null: any that can be used. */
	pools: readonly (Pick<Pool, "id"> | null)[];
	/** Volumes that it has already: it goes where they are. */
	volumes: readonly Pick<Volume, "name" | "nodeId">[];
};

/** `reason`: a sentence for whoever asked; null when there was nothing to choose. */
export type Placement = { nodeId: string; reason: string | null };

/** Why the node takes nothing new now, as the end of "NAME: …"; null when it does. */
function nodeObstacle({ status, witness }: Node): string | null {
	if (witness) return "is a witness and runs no VMs";
	if (status.phase !== "ready") return `is ${status.phase}${status.reason ? ` (${status.reason})` : ""}`;
	return null;
}

const isUsable = (pool: Pool, nodeId: string): boolean =>
	pool.nodeIds.includes(nodeId) && (pool.phase === "ready" || pool.phase === "degraded") && mayWorkOn(pool, nodeId);

function poolObstacle(state: PlacementState, nodeId: string, wanted: Pick<Pool, "id"> | null): string | null {
	const usable = state.pools.filter((pool) => isUsable(pool, nodeId));
	if (wanted === null) return usable.length > 0 ? null : "has no storage pool that can be used";
	if (usable.some(({ id }) => id === wanted.id)) return null;
	const name = state.pools.find(({ id }) => id === wanted.id)?.name ?? "that was asked for";
	return `has no usable part of the storage pool ${name}`;
}

const sourceObstacle = (nodeId: string, source: Pool | null): string | null =>
	source === null || isUsable(source, nodeId)
		? null
		: `has no usable part of the storage pool ${source.name}, where the source is`;

/** Why a VM cannot be on this node, whatever runs there; also asked before one is moved. */
export function vmObstacle(state: PlacementState, node: Node, wanted: WantedVm): string | null {
	const ofNode = nodeObstacle(node);
	if (ofNode !== null) return ofNode;
	const { memoryBytes, bridges } = node.status;
	if (memoryBytes > 0 && memoryBytes < wanted.memoryBytes)
		return `has ${formatBytes(memoryBytes)} of memory, and ${formatBytes(wanted.memoryBytes)} are wanted`;
	for (const { name, config } of wanted.networks)
		if (config.kind === "bridge" && !bridges.includes(config.bridge))
			return `has no bridge ${config.bridge}, which the network ${name} is on`;
	for (const { name, nodeId } of wanted.volumes)
		if (nodeId !== null && nodeId !== node.id) return `does not have the volume ${name}`;
	for (const pool of wanted.pools) {
		const obstacle = poolObstacle(state, node.id, pool);
		if (obstacle !== null) return obstacle;
	}
	return null;
}

type Load = { node: Node; readiness: Readiness; memoryLeftBytes: number; vcpusPerCpu: number };

function vmReadiness(state: PlacementState, { id }: Node, { networks, pools }: WantedVm): Readiness {
	const usable = state.pools.filter((pool) => isUsable(pool, id));
	const needed = pools.map((wanted) => ({ anyOf: usable.filter((pool) => wanted === null || pool.id === wanted.id) }));
	return readinessOn(id, { networks, pools: needed });
}

export function placeVm(state: PlacementState, wanted: WantedVm): Placement {
	const { fitting, members } = choose(state, "The VM", (node) => vmObstacle(state, node, wanted));
	const loads = fitting.map((node): Load => {
		const load = state.loads.find(({ nodeId }) => nodeId === node.id);
		const memoryLeftBytes = node.status.memoryBytes - (load?.memoryBytes ?? 0) - wanted.memoryBytes;
		const vcpusPerCpu = ((load?.vcpus ?? 0) + wanted.vcpus) / Math.max(1, node.status.cpuCount);
		return { node, readiness: vmReadiness(state, node, wanted), memoryLeftBytes, vcpusPerCpu };
	});
	const [best] = loads.sort(
		(a, b) =>
			a.readiness.rank - b.readiness.rank ||
			b.memoryLeftBytes - a.memoryLeftBytes ||
			a.vcpusPerCpu - b.vcpusPerCpu ||
			compareText(a.node.name, b.node.name),
	);
	if (best === undefined) throw new AppError("internal", "None of the nodes that fit was chosen.");
	return { nodeId: best.node.id, reason: members === 1 ? null : sentence(best, loads) };
}

function sentence(best: Load, fitting: readonly Load[]): string {
	const { node, memoryLeftBytes, readiness } = best;
	const { degraded, unready } = readiness;
	const warns = degraded.length > 0 ? ` Degraded there: ${degraded.join(", ")}.` : "";
	const waits = unready.length > 0 ? ` Not ready there yet: ${unready.join(", ")}.` : "";
	return `Placed on ${node.name}: ${why(memoryLeftBytes, readiness, fitting)}.${warns}${waits}`;
}

function why(memoryLeftBytes: number, { rank }: Readiness, fitting: readonly Load[]): string {
	const count = fitting.length;
	if (count === 1) return "no other node fits";
	const alike = fitting.filter(({ readiness }) => readiness.rank === rank).length;
	const where = `where its networks and storage ${rank === 0 ? "are ready" : rank === 1 ? "work" : "may be ready soon"}`;
	if (alike === 1) return `of ${count} nodes that fit it is the only one ${where}`;
	const left = memoryLeftBytes >= 0 ? formatBytes(memoryLeftBytes) : "none";
	const which = alike === count ? "" : ` and ${where}`;
	return `of ${alike} nodes that fit${which} it has the most memory left after it (${left})`;
}

export type WantedStorage = {
	what: "The volume" | "The image";
	pool: Pick<Pool, "id"> | null;
	bytes: number;
	/** The pool of what it is a copy of: one node reads that and writes the copy, so both have to work there. */
	from?: Pool | null;
};

type Room = { node: Node; rank: number; availableBytes: number | null };

export function placeStorage(state: PlacementState, { what, pool, bytes, from = null }: WantedStorage): Placement {
	const source = from?.id === pool?.id ? null : from;
	const obstacleOf = (node: Node) =>
		nodeObstacle(node) ?? poolObstacle(state, node.id, pool) ?? sourceObstacle(node.id, source);
	const { fitting, members } = choose(state, what, obstacleOf);
	const rooms = fitting.map((node): Room => {
		const parts = state.pools.filter((one) => isUsable(one, node.id) && (pool === null || one.id === pool.id));
		const known = parts.flatMap((one) => availableOn(one, node.id) ?? []);
		const there = Math.min(...parts.map((one) => partRank(one, node.id)));
		const rank = Math.max(there, source ? partRank(source, node.id) : 0);
		return { node, rank, availableBytes: known.length > 0 ? Math.max(...known) : null };
	});
	const lacks = ({ availableBytes }: Room): boolean => availableBytes !== null && availableBytes < bytes;
	const [best] = rooms.sort(
		(a, b) =>
			Number(lacks(a)) - Number(lacks(b)) ||
			a.rank - b.rank ||
			(b.availableBytes ?? 0) - (a.availableBytes ?? 0) ||
			compareText(a.node.name, b.node.name),
	);
	if (best === undefined) throw new AppError("internal", "None of the nodes that fit was chosen.");
	if (lacks(best)) {
		const most = Math.max(...rooms.map(({ availableBytes }) => availableBytes ?? 0));
		const message = `${what} needs ${formatBytes(bytes)}; no node has more than ${formatBytes(most)}.`;
		throw new AppError("no-space", message);
	}
	const enough = rooms.filter((one) => !lacks(one));
	const reason = `Placed on ${best.node.name}: ${whyThere(best, enough, source)}.`;
	return { nodeId: best.node.id, reason: members === 1 ? null : reason };
}

function whyThere({ rank }: Room, enough: readonly Room[], source: Pool | null): string {
	if (enough.length === 1) return "no other node fits";
	if (enough.filter((one) => one.rank === rank).length > 1) return "its pool has the most room";
	return source ? "its pool and that of the source work best there" : "its pool works best there";
}

/**
 * The nodes that fit. The only node of a cluster is not asked whether it is ready: there is nothing to choose, and what it
 * cannot do yet waits for it.
 */
function choose(
	{ nodes }: PlacementState,
	what: string,
	obstacleOf: (node: Node) => string | null,
): { fitting: Node[]; members: number } {
	const members = nodes.filter(({ status }) => status.phase !== "left");
	const [only] = members;
	if (only && members.length === 1) return { fitting: [only], members: 1 };
	const judged = members.map((node) => ({ node, obstacle: obstacleOf(node) }));
	const fitting = judged.filter(({ obstacle }) => obstacle === null).map(({ node }) => node);
	if (fitting.length > 0) return { fitting, members: members.length };
	const reasons = judged
		.sort((a, b) => compareText(a.node.name, b.node.name))
		.map(({ node, obstacle }) => `${node.name} ${obstacle}`);
	throw new AppError("wrong-state", `${what} fits on no node: ${reasons.join("; ")}.`);
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
