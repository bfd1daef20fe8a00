/** What tasks about content that no record names are to do, as their input says. Pure, and without schemas. */
import type { PoolOrphanDelete } from "./pool-orphan.ts";
import type { Task } from "./task.ts";

/** What a task "pool.deleteOrphans" deletes; nothing for other tasks. The command that made it has seen to its input. */
export function deletedOrphans({ kind, input }: Pick<Task, "kind" | "input">): PoolOrphanDelete {
	if (kind !== "pool.deleteOrphans") return { volumeIds: [], imageIds: [] };
	return { volumeIds: texts(input.volumeIds), imageIds: texts(input.imageIds) };
}

/** Snapshots that go before the volume that the task makes is anybody's: it is adopted. Empty for other tasks. */
export const snapshotsToGo = ({ kind, input }: Pick<Task, "kind" | "input">): string[] =>
	kind === "volume.create" ? texts(input.snapshotIds) : [];

const texts = (given: unknown): string[] =>
	Array.isArray(given) ? given.filter((one): one is string => typeof one === "string") : [];
