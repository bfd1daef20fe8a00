/**
 * The task volume.discard, on the node that a VM has left: a disk, or the definition and the folder, that another node has
 * now; and on the node that has moved a volume to another pool: what is left in the old one. What came back meanwhile, or is on its way back, stays.
 */
import { AppError, isAppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import { isFinished, type Task } from "../model/task.ts";
import { limited, type NodeContext } from "./context.ts";
import { deletionIdleOf, limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import { isHere, type Pools } from "./pools.ts";
import { Later, onceHypervisorAnswers, type TaskRun } from "./task-run.ts";
import { isActive } from "./vm-plan.ts";

type DiscardParts = { context: NodeContext; pools: Pick<Pools, "driver"> };
export type Discard = { kind: "volume"; volumeId: string; poolId: string } | { kind: "vm"; vmId: string };

/** What the task is about; null for one that says nothing that this version knows. */
export function discardOf({ kind, input }: Pick<Task, "kind" | "input">): Discard | null {
	if (kind !== "volume.discard") return null;
	const { volumeId, poolId, vmId } = input;
	if (typeof volumeId === "string" && typeof poolId === "string" && isUuid(volumeId) && isUuid(poolId))
		return { kind: "volume", volumeId, poolId };
	return typeof vmId === "string" && isUuid(vmId) ? { kind: "vm", vmId } : null;
}

const stays = "It is back on this node, and stays.";

/** A pool or libvirt that is away comes back; what moved away is not forgotten for that. */
async function orLater<T>(work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		const away = (["unavailable", "timeout", "storage"] as const).some((code) => isAppError(error, code));
		throw away ? new Later("What has moved away cannot be removed now.", { cause: error }) : error;
	}
}

/** In the pool's part of this node. Missing is done. */
export const discardVolume = (parts: DiscardParts, run: TaskRun): Promise<string | null> =>
	orLater(() => removeVolume(parts, run));

async function removeVolume({ context, pools }: DiscardParts, run: TaskRun): Promise<string | null> {
	const { store, nodeId, locks } = context;
	const discard = discardOf(run.task);
	if (discard?.kind !== "volume") throw new AppError("internal", "The task does not say which volume.");
	const { volumeId, poolId } = discard;
	return locks.run(`volume:${volumeId}`, async () => {
		// A copy of the state that is behind may not know yet that it came back.
		await store.readIndex();
		const volume = store.get("volume", volumeId);
		const isBack = volume?.poolId === poolId && (volume.nodeId === nodeId || volume.nodeId === null);
		if (isBack || (volume?.vmId && movesHere(context, volume.vmId))) return stays;
		const pool = store.get("pool", poolId);
		if (!pool || !isHere(pool, nodeId)) return "Its pool has no part on this node any more.";
		const driver = await pools.driver(poolId);
		await longStep(context, "Deleting a volume that has moved", { run, idleMs: deletionIdleOf(driver) }, (options) =>
			driver.deleteVolume(volumeId, options),
		);
		return null;
	});
}

/** The definition with what libvirt keeps beside it, and the folder. Called in the VM's queue. */
export const discardVm = ({ context }: DiscardParts, vmId: string, run: TaskRun): Promise<string | null> =>
	orLater(() => removeVm(context, vmId, run));

async function removeVm(context: NodeContext, vmId: string, run: TaskRun): Promise<string | null> {
	const { store, nodeId, hypervisor, vmState } = context;
	await store.readIndex();
	if (store.get("vm", vmId)?.nodeId === nodeId || movesHere(context, vmId)) return stays;
	await onceHypervisorAnswers(context, run, async () => {
		const domain = await limited(context, "Reading the VM's state", limits.readMs, () => hypervisor.getDomain(vmId));
		if (domain === null || !domain.ours) return;
		if (isActive(domain))
			throw new AppError("wrong-state", "The VM runs here although it has moved to another node. Stop it with virsh.");
		await limited(context, "Removing the VM's definition", limits.controlMs, () => hypervisor.undefine(vmId));
	});
	await limited(context, "Removing the VM's folder", limits.removeFolderMs, () => vmState.remove(vmId));
	return null;
}

const movesHere = ({ store, nodeId }: NodeContext, vmId: string): boolean =>
	store
		.all("task", { kind: "vm.move", targetId: vmId })
		.some((task) => task.nodeId === nodeId && !isFinished(task.state));
