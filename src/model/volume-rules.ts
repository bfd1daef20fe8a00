/** Rules of a volume and of what rests on it, holds it or works on it: copies, images, snapshots, tasks. Pure; imported by the browser. */
import { listNames, subjectOf } from "../lib/list-names.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Image, Pool, Volume } from "./storage.ts";
import { copiesStandAlone, isBeingMade, needsSource } from "./storage-rules.ts";
import type { Task } from "./task.ts";

type Named = Pick<Volume, "id" | "name">;
type Copy = Pick<Volume, "name" | "source" | "phase">;
type Made = Pick<Image, "name" | "source" | "phase">;

/** Lists may hold others as well: what has nothing to do with the volume is passed over. */
export type AroundVolume = {
	volumes: readonly Copy[];
	images: readonly Made[];
	/** Of all VMs. */
	snapshots: readonly Pick<Snapshot, "name" | "vmId" | "disks">[];
	vmNameOf: (vmId: string) => string | undefined;
};

/** The volume that it was made of, or of a snapshot of which. */
export const sourceVolumeOf = ({ source }: Pick<Volume, "source">): string | null =>
	source.kind === "clone" || source.kind === "snapshot" ? (source.volumeId ?? null) : null;

const namesOf = (objects: readonly { name: string }[]): string[] => objects.map(({ name }) => name).sort();

const copiesNeeding = (volumeId: string, volumes: readonly Copy[]): Copy[] =>
	volumes.filter((copy) => sourceVolumeOf(copy) === volumeId && needsSource(copy));

const imagesBeingMadeOf = (volumeId: string, images: readonly Made[]): Made[] =>
	images.filter((image) => image.source.kind === "volume" && image.source.volumeId === volumeId && isBeingMade(image));

/** Why the volume stays where it is: volumes and images were made of it and rest on it, or are being made of it. */
export function dependentsObstacle(
	{ id, name }: Named,
	{ volumes, images }: Pick<AroundVolume, "volumes" | "images">,
): string | null {
	const copies = namesOf(copiesNeeding(id, volumes));
	const made = namesOf(imagesBeingMadeOf(id, images));
	if (copies.length + made.length === 0) return null;
	const which = subjectOf([
		{ noun: "volume", names: copies },
		{ noun: "image", names: made },
	]);
	return `${which} made from the volume ${name}.`;
}

/** Names of the snapshots that hold the volume, each with its VM's: deleting the volume alone would take a part of them. */
export const snapshotsHolding = (
	volumeId: string,
	{ snapshots, vmNameOf }: Pick<AroundVolume, "snapshots" | "vmNameOf">,
): string[] =>
	snapshots
		.filter(({ disks }) => disks.some((disk) => disk.volumeId === volumeId))
		.map(({ name, vmId }) => `${name} of the VM ${vmNameOf(vmId) ?? vmId}`);

/** Why it is not deleted although no VM has it; work on it is asked for by `volumeWorkObstacle`. */
export function volumeDeletionObstacle(volume: Named, around: AroundVolume): string | null {
	const dependents = dependentsObstacle(volume, around);
	if (dependents !== null) return dependents;
	const snapshots = snapshotsHolding(volume.id, around);
	return snapshots.length === 0
		? null
		: `The volume ${volume.name} is a part of snapshots: ${listNames(snapshots)}. Delete them first.`;
}

/** Copies for whose sake the volume stays what it is: where they stand alone in its pool, those that are being made. */
export function clonesHolding<T extends Copy>(
	volumeId: string,
	volumes: readonly T[],
	pool: Pick<Pool, "type" | "config"> | null | undefined,
): T[] {
	const alone = pool ? copiesStandAlone(pool) : false;
	const isMade = ({ phase }: Copy) => phase !== "pending" && phase !== "creating";
	return volumes.filter(
		(copy) =>
			copy.source.kind === "clone" &&
			copy.source.volumeId === volumeId &&
			needsSource(copy) &&
			!(alone && isMade(copy)),
	);
}

/** Why its size stays what it is. */
export function volumeResizeObstacle(
	{ id, name }: Named,
	{ volumes, images }: Pick<AroundVolume, "volumes" | "images">,
	pool: Pick<Pool, "type" | "config"> | null | undefined,
): string | null {
	const clones = namesOf(clonesHolding(id, volumes, pool));
	if (clones.length > 0) return `Copy-on-write copies rest on the volume ${name}: ${listNames(clones)}.`;
	const made = namesOf(imagesBeingMadeOf(id, images));
	return made.length === 0 ? null : `${subjectOf([{ noun: "image", names: made }])} being made from this volume.`;
}

const work: Partial<Record<Task["kind"], string>> = {
	"volume.move": "being moved to another storage pool",
	"volume.check": "being checked",
	"volume.flatten": "being made to stand alone",
};

/** Why other work on the volume has to wait. `tasks`: those of the volume that are not finished. */
export function volumeWorkObstacle(
	{ name }: Pick<Volume, "name">,
	tasks: readonly Pick<Task, "kind">[],
): string | null {
	const [kind] = Object.keys(work).filter((one) => tasks.some((task) => task.kind === one)) as Task["kind"][];
	return kind === undefined ? null : `The volume ${name} is ${work[kind]}.`;
}
