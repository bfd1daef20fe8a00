/**
 * Work on a volume that goes on while the volume stays what it is: moving it to another pool, checking it, making a copy stand alone. The phase stays `ready` and
 * its VM may run; that work is under way is said by the task, and whatever would get in its way asks for that here.
 */
import { AppError } from "../../lib/errors.ts";
import { snapshotWorkOf } from "../../model/snapshot-rules.ts";
import { type Pool, Volume, type VolumeSource } from "../../model/storage.ts";
import {
	flattenObstacle,
	flattensOffline,
	formatsOf,
	isShared,
	needsSource,
	provisioningKept,
} from "../../model/storage-rules.ts";
import type { Task } from "../../model/task.ts";
import { validated } from "../../model/validate.ts";
import { isVmOff } from "../../model/vm-rules.ts";
import { sourceVolumeOf } from "../../model/volume-rules.ts";
import type { BodyOf } from "../codec/values.ts";
import { checkNotFlattening, createTask, unfinishedTasks } from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { checkPoolUsable } from "./pool.ts";
import { checkStays } from "./pool-orphans.ts";
import { snapshotsHolding } from "./snapshot.ts";
import { checkNoDependents, checkNotMoving, checkVolumeName, hasCopyOnWriteClones } from "./volume.ts";

export const volumeWorkHandlers: Handlers<
	"volumeMove" | "volumeMoved" | "volumeCheck" | "volumeFlatten" | "volumeFlattened"
> = {
	volumeMove(context, body) {
		const volume = context.need("volume", body.id);
		checkAtRest(context, volume, "moved");
		const pool = checkTarget(context, volume, body);
		if (hasCopyOnWriteClones(context, volume.id))
			throw new AppError("in-use", `Other volumes share data with ${volume.name}: they would be cut off.`);
		checkNoDependents(context, volume);
		checkNoSnapshots(context, volume);
		const { poolId, nodeId, format } = body;
		// Thick, or thin, it stays where the pool can.
		const provisioning = provisioningKept(pool, volume, body.task.nodeId);
		const way = provisioning === undefined ? {} : { provisioning };
		const input = { poolId, nodeId, format, ...way, fromPoolId: volume.poolId, fromNodeId: volume.nodeId };
		return createTask(context, { ...body.task, input }, ["volume.move"]);
	},

	volumeMoved(context, body) {
		const volume = context.need("volume", body.id);
		const task = context.need("task", body.taskId);
		const to = unfinishedMove(unfinishedTasks(context, volume.id));
		if (to === null || to.task.id !== task.id)
			throw new AppError("wrong-state", `Nobody asked to move the volume ${volume.name}.`);
		if (volume.phase !== "ready")
			throw new AppError("wrong-state", `The volume ${volume.name} is ${volume.phase}; it stays where it is.`);
		const { sizeBytes, allocatedBytes } = body;
		const { task: _work, ...where } = to;
		const { provisioning: _before, ...rest } = volume;
		const moved = { ...rest, ...where, sizeBytes, allocatedBytes, source: wholeSource(volume.source), error: null };
		context.update("volume", volume, validated(Volume, moved, "The volume"));
		discardOld(context, volume, task, body.discardTaskId);
		return null;
	},

	volumeCheck(context, body) {
		const volume = context.need("volume", body.id);
		checkAtRest(context, volume, "checked");
		return createTask(context, { ...body.task, input: { repair: body.repair } }, ["volume.check"]);
	},

	volumeFlatten(context, body) {
		const volume = context.need("volume", body.id);
		checkAtRest(context, volume, "made to stand alone");
		const pool = context.need("pool", volume.poolId);
		const obstacle = flattenObstacle(volume, pool, isOff(context, volume));
		if (obstacle !== null) throw new AppError("wrong-state", obstacle);
		checkNoSnapshotWork(context, volume);
		checkCopiesAtRest(context, volume, flattensOffline(pool));
		return createTask(context, { ...body.task, input: {} }, ["volume.flatten"]);
	},

	volumeFlattened(context, body) {
		const volume = context.need("volume", body.id);
		const tasks = unfinishedTasks(context, volume.id);
		if (!tasks.some(({ id, kind }) => id === body.taskId && kind === "volume.flatten"))
			throw new AppError("wrong-state", `Nobody asked to make the volume ${volume.name} stand alone.`);
		const { allocatedBytes } = body;
		const alone = { ...volume, source: wholeSource(volume.source), allocatedBytes };
		context.update("volume", volume, validated(Volume, alone, "The volume"));
		return null;
	},
};

const isOff = (context: ApplyContext, { vmId }: Volume): boolean =>
	vmId === null || isVmOff(context.get("vm", vmId)?.status.powerState ?? "stopped");

/**
 * Copies that rest on it read what it gets. One that is being made changes its files, where pools keep files; and where a VM must not have
 * the volume open, its copies must not be open either.
 */
function checkCopiesAtRest(context: ApplyContext, { id, name }: Volume, why: string | undefined): void {
	const seen = new Set<string>();
	const below = [id];
	for (let next = below.pop(); next !== undefined; next = below.pop()) {
		for (const copy of context.state.linked("volume", "sourceVolumeId", next).filter(needsSource)) {
			if (seen.has(copy.id)) continue;
			seen.add(copy.id);
			below.push(copy.id);
			if (copy.phase === "pending" || copy.phase === "creating")
				throw new AppError("wrong-state", `The volume ${copy.name} is being made from ${name}.`);
			if (why !== undefined && !isOff(context, copy))
				throw new AppError("in-use", `The volume ${copy.name} rests on ${name}, and its VM runs. ${why}`);
		}
	}
}

/**
 * For a VM that is to have these volumes open: what they rest on is not being made to stand alone, where that needs its files for itself. Tasks of
 * that kind are there only once all members know them ("flatten-1"), so members of before decide the same.
 */
export function checkSourcesAtRest(context: ApplyContext, volumes: readonly Volume[]): void {
	const seen = new Set<string>();
	const above = volumes.filter(needsSource);
	for (let next = above.pop(); next !== undefined; next = above.pop()) {
		const id = sourceVolumeOf(next);
		const below = id === null || seen.has(id) ? null : context.get("volume", id);
		if (below === null) continue;
		seen.add(below.id);
		if (flattensOffline(context.get("pool", below.poolId)) !== undefined) checkNotFlattening(context, below);
		if (needsSource(below)) above.push(below);
	}
}

function checkAtRest(context: ApplyContext, volume: Volume, done: string): void {
	if (volume.phase !== "ready")
		throw new AppError(
			"wrong-state",
			`The volume ${volume.name} is ${volume.phase}; it can be ${done} when it is ready.`,
		);
	checkNotMoving(context, volume);
}

/** They would stay behind. */
function checkNoSnapshots(context: ApplyContext, { id, name, vmId }: Volume): void {
	const [held] = snapshotsHolding(context, id);
	if (held) throw new AppError("in-use", `The snapshot ${held} holds the volume ${name}. Delete its snapshots first.`);
	checkNoSnapshotWork(context, { name, vmId });
}

function checkNoSnapshotWork(context: ApplyContext, { name, vmId }: Pick<Volume, "name" | "vmId">): void {
	if (vmId !== null && snapshotWorkOf(unfinishedTasks(context, vmId)))
		throw new AppError("wrong-state", `Work on snapshots of the VM of ${name} is under way.`);
}

function checkTarget(context: ApplyContext, volume: Volume, body: BodyOf<"volumeMove">): Pool {
	const refuse = (path: string, message: string): never => {
		throw new AppError("invalid", message, { fields: [{ path, message }] });
	};
	const pool = checkPoolUsable(context, body.poolId, body.nodeId);
	if (pool.id === volume.poolId) refuse("/poolId", `The volume ${volume.name} is in the storage pool ${pool.name}.`);
	if (isShared(pool) !== (body.nodeId === null))
		refuse("/nodeId", `The storage pool ${pool.name} is ${isShared(pool) ? "shared by" : "of single"} nodes.`);
	if (!formatsOf(pool).includes(body.format))
		refuse("/format", `The storage pool ${pool.name} has no volumes of format ${body.format}.`);
	const worker = body.task.nodeId;
	const vm = volume.vmId === null ? null : context.get("vm", volume.vmId);
	if (body.nodeId !== null && body.nodeId !== worker)
		refuse("/nodeId", "A volume is copied on one node: it cannot be moved to another one on the way.");
	if (volume.nodeId !== null && volume.nodeId !== worker) refuse("/nodeId", "The volume lies on another node.");
	if (vm !== null && vm.nodeId !== worker) refuse("/nodeId", `The VM ${vm.name} of the volume is on another node.`);
	if (!pool.nodeIds.includes(worker) || context.get("pool", volume.poolId)?.nodeIds.includes(worker) === false)
		refuse("/poolId", `No node of the volume has both storage pools: ${pool.name} is not where the volume is.`);
	checkVolumeName(context, pool.id, volume.name, volume.id);
	checkStays(context, volume.id, { pool, nodeId: body.nodeId });
	if (unfinishedTasks(context, volume.id).some((task) => leavesIn(task, pool)))
		throw new AppError(
			"wrong-state",
			`What the volume ${volume.name} left in the storage pool ${pool.name} is still being removed.`,
		);
	return pool;
}

const leavesIn = ({ kind, input }: Task, { id }: Pool): boolean => kind === "volume.discard" && input.poolId === id;

/** What was copied shares its data with nothing. */
function wholeSource(source: VolumeSource): VolumeSource {
	return source.kind === "empty" ? source : { ...source, fullCopy: true };
}

function discardOld(context: ApplyContext, { id, name, poolId }: Volume, move: Task, taskId: string): void {
	const untouched = { startedAt: null, finishedAt: null, cancelable: false, cancelRequested: false, error: null };
	context.insert("task", {
		...{ id: taskId, kind: "volume.discard", state: "pending", progress: null, message: null },
		targets: [{ kind: "volume", id, name }],
		requester: context.command.requester,
		...{ nodeId: move.nodeId, parentId: null, createdAt: context.time, ...untouched },
		input: { poolId, volumeId: id },
	});
}

/** What is under way makes no sense any more. */
export function cancelWorkOn(context: ApplyContext, { id }: Volume): void {
	for (const task of unfinishedTasks(context, id)) {
		const isWork = ["volume.move", "volume.check", "volume.flatten"].includes(task.kind);
		if (isWork && task.cancelable) context.update("task", task, { ...task, cancelRequested: true });
	}
}

type Move = { task: Task } & Pick<Volume, "poolId" | "nodeId" | "format" | "provisioning">;

/** Where a volume is being moved to. The command that made the task has seen to what is in its input. */
export function unfinishedMove(tasks: readonly Task[]): Move | null {
	const task = tasks.find(({ kind }) => kind === "volume.move");
	if (!task) return null;
	const { poolId, nodeId, format, provisioning } = task.input;
	if (typeof poolId !== "string" || (format !== "qcow2" && format !== "raw")) return null;
	const way: Pick<Volume, "provisioning"> = provisioning === "thin" || provisioning === "thick" ? { provisioning } : {};
	return { task, poolId, nodeId: typeof nodeId === "string" ? nodeId : null, format, ...way };
}
