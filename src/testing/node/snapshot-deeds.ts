/** What tests of snapshots do again and again. */
import { expect } from "bun:test";
import type { Snapshot } from "../../model/snapshot.ts";
import type { TaskKind } from "../../model/task.ts";
import { fixtureSnapshot } from "../fixtures.ts";
import type { NodeWorld } from "./node-world.ts";

const taskFor = (world: NodeWorld, kind: TaskKind, vmId: string, snapshotId: string) => ({
	...world.task(
		"vm.update",
		vmId,
		{ snapshotId, wasReady: world.store.get("snapshot", snapshotId)?.phase === "ready" },
		false,
	),
	kind,
});

/** Asks for one; returns the ids of snapshot and task. */
export async function askSnapshot(world: NodeWorld, vmId: string, name: string) {
	const id = world.ids.newId();
	const task = taskFor(world, "vm.snapshot", vmId, id);
	await world.propose({ kind: "snapshotCreate", snapshot: fixtureSnapshot({ id, name, vmId }), task });
	return { id, taskId: task.id };
}

export async function takeSnapshot(world: NodeWorld, vmId: string, name: string): Promise<string> {
	const { id, taskId } = await askSnapshot(world, vmId, name);
	await world.settle();
	expect(world.taskOf(taskId)).toMatchObject({ state: "succeeded" });
	return id;
}

export async function askRevert(world: NodeWorld, id: string): Promise<string> {
	const task = taskFor(world, "vm.revert", snapshotIn(world, id).vmId, id);
	await world.propose({ kind: "snapshotRevert", id, task, partly: true });
	return task.id;
}

/** `merging`: as all members know it. */
export async function askDeletion(world: NodeWorld, id: string, { merging = true } = {}): Promise<string> {
	const task = taskFor(world, "snapshot.delete", snapshotIn(world, id).vmId, id);
	await world.propose({ kind: "snapshotDelete", id, task, ...(merging ? { merging: true as const } : {}) });
	return task.id;
}

export function snapshotIn(world: NodeWorld, id: string): Snapshot {
	const snapshot = world.store.get("snapshot", id);
	if (!snapshot) throw new Error("there is no such snapshot");
	return snapshot;
}
