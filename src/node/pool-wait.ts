/**
 * What a VM needs of storage, and whether it is there yet. Making a pool ready may take minutes (a lock that has to run out, a server that
 * hangs), most of all when the daemon starts. What waits for that holds no slot meanwhile, so that VMs on other pools go on.
 */
import type { VmSpec } from "../model/vm.ts";
import type { NodeContext } from "./context.ts";
import type { Pools } from "./pools.ts";
import { untilStopping } from "./stillness.ts";
import type { TaskRun } from "./task-run.ts";
import type { VmStep } from "./vm-plan.ts";

const nothing = () => {};

type Store = Pick<NodeContext["store"], "get">;

/** Ids of the pools of its disks, and of the images in its drives. */
export function poolsOf(store: Store, { disks, cdroms }: Pick<VmSpec, "disks" | "cdroms">): string[] {
	const volumes = disks.flatMap(({ volumeId }) => store.get("volume", volumeId) ?? []);
	const images = cdroms.flatMap(({ imageId }) => (imageId === null ? [] : (store.get("image", imageId) ?? [])));
	return [...new Set([...volumes, ...images].map(({ poolId }) => poolId))];
}

/** Steps that ask pools for what QEMU is to open. */
const needsStorage: readonly VmStep["kind"][] = ["define", "start", "apply-live", "take-snapshot"];

/**
 * Before such a step takes a slot: resolves when each pool of the VM has become ready, or has not, which the step then says. Fails with the
 * signal's reason.
 */
export async function poolsSettled(
	{ store }: { store: Store },
	pools: Pick<Pools, "isAwaited" | "driver">,
	spec: VmSpec,
	step: Pick<VmStep, "kind">,
	run: Pick<TaskRun, "say" | "signal">,
): Promise<void> {
	if (!needsStorage.includes(step.kind)) return;
	for (const poolId of poolsOf(store, spec)) {
		if (!pools.isAwaited(poolId)) continue;
		run.say(`Waits for storage pool "${store.get("pool", poolId)?.name ?? "?"}" to become ready on this node`);
		// Why it is not, the step says.
		const settled = pools.driver(poolId).then(nothing, nothing);
		await untilStopping(settled, run.signal);
	}
}
