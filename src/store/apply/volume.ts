/** Volumes. */
import { AppError } from "../../lib/errors.ts";
import { SnapshotsToGo } from "../../model/pool-orphan.ts";
import { Volume, VolumeResize, VolumeUpdate } from "../../model/storage.ts";
import { copiesStandAlone, needsSource, provisioningObstacle, volumePhaseObstacle } from "../../model/storage-rules.ts";
import { validated } from "../../model/validate.ts";
import { isVmOff, moveTaskOf } from "../../model/vm-rules.ts";
import {
	clonesHolding as clonesOfVolume,
	dependentsObstacle,
	volumeDeletionObstacle,
	volumeResizeObstacle,
	volumeWorkObstacle,
} from "../../model/volume-rules.ts";
import {
	asCreated,
	checkGeneration,
	createFinishedTask,
	createTask,
	endTasksOf,
	isOnLostNode,
	nameTaken,
} from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { checkPoolUsable, volumeMovesInto } from "./pool.ts";
import { checkNotAdopting, checkStays } from "./pool-orphans.ts";
import { holdersOf } from "./snapshot.ts";

export const volumeHandlers: Handlers<
	"volumeCreate" | "volumeUpdate" | "volumeResize" | "volumeDelete" | "volumeStatus" | "volumeUsage" | "volumeGone"
> = {
	volumeCreate(context, body) {
		checkOneCopies(context, body.volume, body.task.nodeId);
		insertVolume(context, body.volume, { vmId: null, phase: "pending" });
		const { task, snapshotIds } = body;
		if (snapshotIds === undefined) return createTask(context, task, ["volume.create"]);
		const input = { ...task.input, snapshotIds: validated(SnapshotsToGo, snapshotIds, "The list of snapshots") };
		return createTask(context, { ...task, input }, ["volume.create"]);
	},

	volumeUpdate(context, body) {
		const volume = context.need("volume", body.id);
		checkGeneration(volume, body.expectedGeneration, "volume");
		checkNotDeleting(volume);
		checkNoWork(context, volume);
		validated(VolumeUpdate, { name: body.name }, "The change");
		checkVolumeName(context, volume.poolId, body.name, volume.id);
		context.updateSpec("volume", volume, { name: body.name });
		return null;
	},

	volumeResize(context, body) {
		const volume = context.need("volume", body.id);
		validated(VolumeResize, { sizeBytes: body.sizeBytes }, "The size");
		checkNotDeleting(volume);
		if (volume.phase !== "ready")
			throw new AppError(
				"wrong-state",
				`The volume ${volume.name} is ${volume.phase}; it can be resized when it is ready.`,
			);
		if (body.sizeBytes < volume.sizeBytes && !canShrink(context, volume)) {
			const message = `The volume ${volume.name} cannot be made smaller: its end may hold data.`;
			throw new AppError("invalid", message, { fields: [{ path: "/sizeBytes", message }] });
		}
		checkNotMoving(context, volume);
		refuseInUse(volumeResizeObstacle(volume, dependentsOf(context, volume), poolOfCopies(context, volume)));
		context.update("volume", volume, { ...volume, phase: "resizing" });
		return createTask(context, body.task, ["volume.resize"]);
	},

	volumeDelete(context, body) {
		const volume = context.need("volume", body.id);
		if (
			volume.phase === "deleting" &&
			context.state.unfinishedTasksOf(volume.id).some((task) => task.kind === "volume.delete")
		)
			throw new AppError("wrong-state", `The volume ${volume.name} is being deleted already.`);
		checkVolumeUnused(context, volume);
		if (!isOnLostNode(context, volume)) checkNoWork(context, volume);
		if (isOnLostNode(context, volume)) {
			endTasksOf(context, volume.id, "volume.delete", "volume");
			context.remove("volume", volume);
			return createFinishedTask(context, body.task, ["volume.delete"]);
		}
		context.update("volume", volume, { ...volume, phase: "deleting" });
		return createTask(context, body.task, ["volume.delete"]);
	},

	volumeStatus(context, body) {
		const volume = context.need("volume", body.id);
		const obstacle = volumePhaseObstacle(volume.phase, body.phase);
		if (obstacle !== null) throw new AppError("wrong-state", obstacle);
		const after: Volume = {
			...volume,
			phase: body.phase,
			...(body.sizeBytes === undefined ? {} : { sizeBytes: body.sizeBytes }),
			...(body.allocatedBytes === undefined ? {} : { allocatedBytes: body.allocatedBytes }),
			...(body.format === undefined ? {} : { format: body.format }),
			...(body.error === undefined ? {} : { error: body.error }),
		};
		context.update("volume", volume, validated(Volume, after, "The volume"));
		return null;
	},

	volumeUsage(context, body) {
		for (const { id, allocatedBytes } of body.volumes) {
			const volume = context.get("volume", id);
			// Others say it themselves when they are done.
			if (volume?.phase !== "ready" || volume.poolId !== body.poolId) continue;
			context.update("volume", volume, validated(Volume, { ...volume, allocatedBytes }, "The volume"));
		}
		return null;
	},

	volumeGone(context, body) {
		const volume = context.need("volume", body.id);
		if (volume.phase !== "deleting") throw new AppError("wrong-state", "Nobody asked to delete this volume.");
		endTasksOf(context, volume.id, "volume.delete", "volume");
		context.remove("volume", volume);
		return null;
	},
};

/** A copy-on-write copy changes the files of what it is made of: where nodes share them, one node does that at a time. */
function checkOneCopies(context: ApplyContext, { nodeId, source }: Volume, worker: string | null): void {
	if (nodeId !== null || source.kind !== "clone" || source.fullCopy) return;
	for (const copy of clonesOf(context, source.volumeId)) {
		if (copy.source.kind !== "clone" || copy.source.fullCopy || copy.phase === "ready") continue;
		const tasks = context.state.unfinishedTasksOf(copy.id);
		if (tasks.some((task) => task.kind === "volume.create" && task.nodeId !== worker))
			throw new AppError(
				"wrong-state",
				`Another node is making the copy ${copy.name} of this volume. Try again when it is there.`,
			);
	}
}

/** Checks a new volume and adds it. */
export function insertVolume(context: ApplyContext, given: unknown, fixed: Pick<Volume, "vmId" | "phase">): Volume {
	const volume: Volume = { ...validated(Volume, given, "The volume"), ...fixed };
	const pool = checkPoolUsable(context, volume.poolId, volume.nodeId);
	checkStays(context, volume.id, { pool, nodeId: volume.nodeId });
	if (volume.nodeId !== null) context.needReferenced("node", volume.nodeId, "/nodeId");
	checkVolumeName(context, volume.poolId, volume.name, null);
	checkSource(context, volume);
	if (volume.provisioning !== undefined) checkProvisioning(context, volume);
	const created = { ...asCreated(context, volume), error: null };
	context.insert("volume", created);
	return created;
}

export function checkVolumeName(context: ApplyContext, poolId: string, name: string, ownId: string | null): void {
	const row = context.state.row<{ id: string }>("SELECT id FROM volume WHERE pool_id = ? AND name = ?", poolId, name);
	if (row !== null && row.id !== ownId) throw nameTaken("volume", name);
	// One that is on its way there has its place already.
	const comes = volumeMovesInto(context, poolId).flatMap(({ targets }) => targets.map((target) => target.id));
	if (comes.some((id) => id !== ownId && context.get("volume", id)?.name.toLowerCase() === name.toLowerCase()))
		throw nameTaken("volume", name);
}

/** Only of a volume that says how it gets its space: others are as they always were. */
function checkProvisioning(context: ApplyContext, { provisioning, poolId, nodeId, source }: Volume): void {
	const pool = context.needReferenced("pool", poolId, "/poolId");
	const shares = source.kind !== "empty" && source.fullCopy === false;
	const message = provisioningObstacle(pool, provisioning, { shares, ...(nodeId === null ? {} : { nodeId }) });
	if (message !== null) throw new AppError("invalid", message, { fields: [{ path: "/provisioning", message }] });
}

function checkSource(context: ApplyContext, volume: Volume): void {
	const { source } = volume;
	if (source.kind === "empty") return;
	const [origin, noun, sizeBytes] = originOf(context, source);
	const refuse = (path: string, message: string): never => {
		throw new AppError("invalid", message, { fields: [{ path, message }] });
	};
	if (source.kind === "snapshot" && origin.poolId !== volume.poolId)
		refuse("/poolId", `A volume that is made of a snapshot lies in the pool of ${noun}.`);
	if (!source.fullCopy && origin.poolId !== volume.poolId)
		refuse("/source", `A copy-on-write volume lies in the pool of its source, ${noun}. Ask for a full copy.`);
	// Images are fetched from the node that has them.
	if (source.kind !== "image" && origin.nodeId !== null && volume.nodeId !== null && origin.nodeId !== volume.nodeId)
		refuse("/nodeId", `A clone lies on the node of its source, ${noun}.`);
	if (sizeBytes !== null && volume.sizeBytes < sizeBytes)
		refuse("/sizeBytes", `The volume is smaller than its source, ${noun}.`);
}

type Origin = [{ poolId: string; nodeId: string | null }, string, number | null];

function originOf(context: ApplyContext, source: Exclude<Volume["source"], { kind: "empty" }>): Origin {
	if (source.kind === "image") return imageOrigin(context, source.imageId);
	return source.kind === "clone"
		? volumeOrigin(context, source.volumeId, source.fullCopy)
		: snapshotOrigin(context, source.snapshotId, source.volumeId);
}

function imageOrigin(context: ApplyContext, id: string): Origin {
	const image = context.needReferenced("image", id, "/source/imageId");
	if (image.phase !== "ready" && image.phase !== "importing")
		throw new AppError("wrong-state", `The image ${image.name} is ${image.phase}; a volume needs it ready.`);
	return [image, `the image ${image.name}`, image.virtualSizeBytes];
}

function volumeOrigin(context: ApplyContext, id: string, fullCopy: boolean): Origin {
	const origin = context.needReferenced("volume", id, "/source/volumeId");
	if (origin.phase !== "ready")
		throw new AppError("wrong-state", `The volume ${origin.name} is ${origin.phase}; a clone needs it ready.`);
	const vm = origin.vmId === null ? null : context.get("vm", origin.vmId);
	checkNotMoving(context, origin);
	// Elsewhere the source stays what it is: written to, it would get a layer more with each copy.
	if (vm !== null && !fullCopy && !standAlone(context, origin))
		throw new AppError("in-use", `The volume ${origin.name} is attached to the VM ${vm.name}. Ask for a full copy.`);
	if (vm !== null && !isVmOff(vm.status.powerState))
		throw new AppError("wrong-state", `The VM ${vm.name} uses the volume ${origin.name}. Stop it first.`);
	return [origin, `the volume ${origin.name}`, origin.sizeBytes];
}

/** What the snapshot holds stays as it is, whatever the VM does with the disk. */
function snapshotOrigin(context: ApplyContext, id: string, volumeId: string | undefined): Origin {
	const snapshot = context.needReferenced("snapshot", id, "/source/snapshotId");
	if (snapshot.phase !== "ready")
		throw new AppError("wrong-state", `The snapshot ${snapshot.name} is ${snapshot.phase}; a volume needs it ready.`);
	const disk = snapshot.disks.find((one) => one.volumeId === volumeId);
	const volume = disk && context.get("volume", disk.volumeId);
	if (!disk || !volume) {
		const message = `The snapshot ${snapshot.name} holds no such disk.`;
		throw new AppError("invalid", message, { fields: [{ path: "/source/volumeId", message }] });
	}
	checkNotMoving(context, volume);
	// Layers that a copy would rest on are being merged, perhaps.
	const tasks = volume.vmId === null ? [] : context.state.unfinishedTasksOf(volume.vmId);
	if (tasks.some(({ kind }) => kind === "snapshot.delete"))
		throw new AppError(
			"wrong-state",
			`A snapshot of the disk ${volume.name} is being deleted. Try again when that is done.`,
		);
	return [volume, `the disk ${volume.name} in the snapshot ${snapshot.name}`, disk.sizeBytes];
}

/** What is being copied to another node stays as it is, and where it is, until that is done. */
export function checkNotMoving(context: ApplyContext, volume: Volume): void {
	if (volume.vmId !== null && moveTaskOf(context.state.unfinishedTasksOf(volume.vmId)))
		throw new AppError("wrong-state", `The VM of the volume ${volume.name} is being moved to another node.`);
	checkNoWork(context, volume);
}

/** Work that goes on while the volume is `ready`: see volume-work.ts. */
export function checkNoWork(context: ApplyContext, volume: Volume): void {
	const obstacle = volumeWorkObstacle(volume, context.state.unfinishedTasksOf(volume.id));
	if (obstacle !== null) throw new AppError("wrong-state", obstacle);
	checkNotAdopting(context, volume);
}

/** Of the volume as it is now: what was made of a snapshot does not mind what is written to it. */
const clonesOf = (context: ApplyContext, volumeId: string): Volume[] =>
	context.state.linked("volume", "sourceVolumeId", volumeId).filter(({ source }) => source.kind === "clone");

export const hasCopyOnWriteClones = (context: ApplyContext, volumeId: string): boolean =>
	clonesOf(context, volumeId).some(needsSource);

/** Copies for whose sake the volume stays what it is. */
export const clonesHolding = (context: ApplyContext, volume: Volume): Volume[] =>
	clonesOfVolume(volume.id, clonesOf(context, volume.id), poolOfCopies(context, volume));

/** Null where copies never stand alone: commands of members of before mean what they meant. */
const poolOfCopies = (context: ApplyContext, { poolId }: Volume) =>
	context.freesSources ? context.get("pool", poolId) : null;

function standAlone(context: ApplyContext, volume: Volume): boolean {
	const pool = poolOfCopies(context, volume);
	return pool !== null && copiesStandAlone(pool);
}

const dependentsOf = ({ state }: ApplyContext, { id }: Volume) => ({
	volumes: state.linked("volume", "sourceVolumeId", id),
	images: state.linked("image", "sourceVolumeId", id),
});

function refuseInUse(obstacle: string | null): void {
	if (obstacle !== null) throw new AppError("in-use", obstacle);
}

/** For deleting it, alone or with the VM that it is attached to. */
export const checkNoDependents = (context: ApplyContext, volume: Volume): void =>
	refuseInUse(dependentsObstacle(volume, dependentsOf(context, volume)));

function checkVolumeUnused(context: ApplyContext, volume: Volume): void {
	if (volume.vmId !== null) {
		const vm = context.get("vm", volume.vmId);
		throw new AppError("in-use", `The volume ${volume.name} is attached to the VM ${vm?.name ?? volume.vmId}.`);
	}
	const around = { ...dependentsOf(context, volume), ...holdersOf(context, volume.id) };
	refuseInUse(volumeDeletionObstacle(volume, around));
}

function checkNotDeleting(volume: Volume): void {
	if (volume.phase === "deleting") throw new AppError("wrong-state", `The volume ${volume.name} is being deleted.`);
}

function canShrink(context: ApplyContext, volume: Volume): boolean {
	const pool = context.get("pool", volume.poolId);
	return pool?.nodes.some((node) => node.capabilities?.shrink === true) ?? false;
}
