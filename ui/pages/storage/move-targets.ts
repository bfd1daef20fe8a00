/** Where volumes can be moved to: every pool, those that can take them first, and why others cannot. Pure; the node decides again (src/api/volumes/plan-move.ts). */
import { availableOn, bestNode, isWorking } from "../../../src/model/pool-parts.ts";
import { isShared } from "../../../src/model/storage-rules.ts";
import type { Pool, Vm, Volume } from "../../api/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { byName } from "../../lib/sort.ts";
import { storage as t } from "../../strings/storage.ts";
import { currentSpace } from "./choices.ts";

export type MoveTarget = {
	pool: Pool;
	obstacle: string | null;
	/** Left for them now, on the node that copies; null while it is not known. */
	availableBytes: number | null;
};
type World = { pools: readonly Pool[]; vms: readonly Vm[]; nameOf: (nodeId: string) => string };

export function moveTargets(volumes: readonly Volume[], world: World): MoveTarget[] {
	const bytes = volumes.reduce((sum, { allocatedBytes }) => sum + (allocatedBytes ?? 0), 0);
	const targets = [...world.pools].sort(byName).map((pool): MoveTarget => {
		const nodes = volumes.map((volume) => nodeOfMove(volume, pool, world));
		const [first] = nodes;
		const there = first ? availableOn(pool, first) : null;
		const availableBytes = there ?? (isShared(pool) ? currentSpace(pool) : null);
		return { pool, availableBytes, obstacle: obstacleOf() };

		function obstacleOf(): string | null {
			if (volumes.every(({ poolId }) => poolId === pool.id)) return t.moveThere;
			if (volumes.some(({ poolId }) => poolId === pool.id)) return t.moveSomeThere;
			if (pool.phase !== "ready" && pool.phase !== "degraded") return t.movePhases[pool.phase];
			if (nodes.includes(null)) return unreachedBy(volumes[nodes.indexOf(null)] as Volume, world);
			for (const nodeId of nodes) {
				const there = pool.nodes.find((one) => one.nodeId === nodeId);
				if (there && !isWorking(there)) return t.moveFails(world.nameOf(there.nodeId), there.reason);
			}
			if (availableBytes !== null && availableBytes < bytes)
				return t.moveNoRoom(formatBytes(availableBytes), formatBytes(bytes));
			return null;
		}
	});
	return [
		...targets.filter(({ obstacle }) => obstacle === null),
		...targets.filter(({ obstacle }) => obstacle !== null),
	];
}

/** The node that it has to be copied on; null when any will do. */
const fixedNode = ({ nodeId, vmId }: Volume, vms: readonly Vm[]): string | null =>
	nodeId ?? vms.find(({ id }) => id === vmId)?.nodeId ?? null;

/** Where it is copied: a node that has both pools; null when there is none. */
function nodeOfMove(volume: Volume, pool: Pool, { pools, vms }: World): string | null {
	const from = pools.find(({ id }) => id === volume.poolId);
	const fixed = fixedNode(volume, vms);
	const possible = pool.nodeIds.filter(
		(id) => (from?.nodeIds.includes(id) ?? false) && (fixed === null || fixed === id),
	);
	return bestNode(possible, from === undefined ? [pool] : [pool, from]);
}

function unreachedBy(volume: Volume, { vms, nameOf }: World): string {
	const fixed = fixedNode(volume, vms);
	return fixed === null ? t.moveNoNode : t.moveNotOn(nameOf(fixed));
}
