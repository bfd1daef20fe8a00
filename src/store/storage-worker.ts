/**
 * Which node does what has to be done with a volume or an image: its own, where the pool is not shared; else one that uses it
 * already, else the first one on which the pool works best. Pure. All nodes give the same answer for the same state; what is done by two
 * at once all the same is kept apart by the phase of the volume and by the driver.
 */
import { isLost } from "../model/lost-node.ts";
import { bestNode } from "../model/pool-parts.ts";
import type { Image, Pool, Volume } from "../model/storage.ts";
import type { StoreReader } from "./store.ts";

type State = Pick<StoreReader, "get" | "all">;

/** Null when no node can: the pool is on none. */
export function workerOfPool(state: State, pool: Pool): string | null {
	const nodes = pool.nodeIds.flatMap((id) => state.get("node", id) ?? []).filter((node) => !node.witness);
	const heard = nodes.filter((node) => !isLost(node)).map(({ id }) => id);
	return bestNode(heard, [pool]) ?? nodes[0]?.id ?? null;
}

/** A shared volume that belongs to a VM is that VM's node's to work on. */
export function workerOfVolume(state: State, { nodeId, vmId, poolId }: Volume): string | null {
	if (nodeId !== null) return nodeId;
	const vm = vmId === null ? null : state.get("vm", vmId);
	if (vm) return vm.nodeId;
	const pool = state.get("pool", poolId);
	return pool && workerOfPool(state, pool);
}

/** While it is being made, the node that makes it: what was received is there. */
export function workerOfImage(state: State, { id, nodeId, poolId, phase }: Image): string | null {
	if (nodeId !== null) return nodeId;
	if (phase === "uploading" || phase === "importing") {
		const tasks = state.all("task", { kind: "image.import", targetId: id, state: ["pending", "running"] });
		const [task] = tasks;
		if (task) return task.nodeId;
	}
	const pool = state.get("pool", poolId);
	return pool && workerOfPool(state, pool);
}
