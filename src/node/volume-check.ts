/**
 * Holds what the records of a pool's volumes claim against what the pool has: a volume that says `ready` while its file
 * is gone (removed by hand, a file system that lost it) becomes an error before a VM fails on it, and is ready again when
 * the file is back. Volumes that anything works on are left to that work.
 */
import { toErrorInfo } from "../lib/errors.ts";
import type { Volume } from "../model/storage.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";

export async function checkVolumes(context: NodeContext, poolId: string, driver: StorageDriver): Promise<void> {
	const { store, nodeId } = context;
	const isBusy = (id: string) => store.count("task", { targetId: id, state: ["pending", "running"] }) > 0;
	const isQuiet = (volume: Volume) => !isBusy(volume.id) && (volume.vmId === null || !isBusy(volume.vmId));
	const candidates = store
		.all("volume", { poolId, phase: ["ready", "error"] })
		.filter((volume) => volume.nodeId === null || volume.nodeId === nodeId)
		// One that was never made has nothing to be compared with.
		.filter((volume) => volume.phase === "ready" || volume.allocatedBytes !== null)
		.filter(isQuiet);
	if (candidates.length === 0) return;
	const damaged = await limited(context, "Looking at the volumes of a pool", limits.poolCheckMs, () =>
		driver.damagedVolumes(candidates.map((volume) => volume.id)),
	);
	const errors = new Map(damaged.map(({ id, error }) => [id, error]));
	for (const { id, phase } of candidates) {
		const error = errors.get(id);
		const now = store.get("volume", id);
		// What was seen may be the doing of work that has begun since.
		if (now?.phase !== phase || !isQuiet(now)) continue;
		if (phase === "ready" && error) {
			context.logger.warn("a volume is not whole any more", { volumeId: id, error });
			await context.propose({ kind: "volumeStatus", id, phase: "error", error: toErrorInfo(error) });
		}
		if (phase === "error" && !error) {
			context.logger.info("a volume is whole again", { volumeId: id });
			await context.propose({ kind: "volumeStatus", id, phase: "ready", error: null });
		}
	}
}
