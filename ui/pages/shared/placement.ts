/**
 * On which nodes a VM can be, and how much room they have: for choosing one, whether the VM is new or moves. The API checks
 * all of it again where the command applies. Pure.
 */
import { mayWorkOn } from "../../../src/model/pool-parts.ts";
import type { Network, Node, Pool, Vm } from "../../api/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { byName } from "../../lib/sort.ts";
import { move as t } from "../../strings/move.ts";
import { states } from "../../strings/states.ts";

export type Wanted = { memoryBytes: number; vcpus: number; networkIds: readonly string[] };
export type Surroundings = {
	nodes: readonly Node[];
	vms: readonly Vm[];
	pools: readonly Pool[];
	networks: readonly Network[];
};
export type Target = {
	node: Node;
	/** Why it cannot be there, as a sentence. */
	obstacle: string | null;
	/** After it, when all VMs there run; less than nothing when they want more than there is. */
	memoryLeftBytes: number;
	/** With it. */
	vcpus: number;
};

/** `but`: a VM that does not count, since it is the one that moves. Members by name. */
export function targetsFor(wanted: Wanted, around: Surroundings, but: string | null = null): Target[] {
	return around.nodes
		.filter(({ status }) => status.phase !== "left")
		.sort(byName)
		.map((node) => {
			const there = around.vms.filter(({ id, nodeId }) => nodeId === node.id && id !== but);
			const memory = there.reduce((sum, { spec }) => sum + spec.memory.sizeBytes, wanted.memoryBytes);
			const vcpus = there.reduce((sum, { spec }) => sum + spec.cpu.vcpus, wanted.vcpus);
			const memoryLeftBytes = node.status.memoryBytes - memory;
			return { node, obstacle: obstacleOn(node, wanted, around), memoryLeftBytes, vcpus };
		});
}

function obstacleOn(node: Node, wanted: Wanted, { pools, networks }: Surroundings): string | null {
	const { phase, reason, memoryBytes, bridges } = node.status;
	if (node.witness) return t.obstacles.witness;
	if (phase !== "ready") return t.obstacles.phase(states.node[phase], reason);
	if (memoryBytes > 0 && memoryBytes < wanted.memoryBytes)
		return t.obstacles.memory(formatBytes(memoryBytes), formatBytes(wanted.memoryBytes));
	for (const { id, name, config } of networks) {
		if (config.kind !== "bridge" || !wanted.networkIds.includes(id)) continue;
		if (!bridges.includes(config.bridge)) return t.obstacles.bridge(config.bridge, name);
	}
	return pools.some((pool) => isUsable(pool, node.id)) ? null : t.obstacles.pool;
}

const isUsable = (pool: Pool, nodeId: string): boolean =>
	pool.nodeIds.includes(nodeId) && (pool.phase === "ready" || pool.phase === "degraded") && mayWorkOn(pool, nodeId);

export const roomText = ({ memoryLeftBytes }: Pick<Target, "memoryLeftBytes">): string =>
	memoryLeftBytes >= 0 ? t.left(formatBytes(memoryLeftBytes)) : t.over(formatBytes(-memoryLeftBytes));

/** The one with the most room that it fits on; undefined when it fits nowhere. */
export const roomiest = (targets: readonly Target[]): Target | undefined =>
	targets
		.filter(({ obstacle }) => obstacle === null)
		.sort((a, b) => b.memoryLeftBytes - a.memoryLeftBytes || byName(a.node, b.node))[0];
