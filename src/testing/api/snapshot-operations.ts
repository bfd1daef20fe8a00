/** Each operation on snapshots does its work once; part of api/operations.test.ts. */
import { expect } from "bun:test";
import type { OperationTypes } from "../../gen/api.ts";
import type { ApiClient } from "../../lib/api-client.ts";
import { MiB } from "../../lib/units.ts";
import type { ApiHarness } from "./api-harness.ts";

type Parts = {
	admin: ApiClient<OperationTypes>;
	harness: ApiHarness;
	finish(taskLocation: string | null): Promise<void>;
	readyVolume(id: string): Promise<unknown>;
	reportVm(id: string, powerState: "stopped"): Promise<unknown>;
};

export async function snapshotOperations({ admin, harness, finish, readyVolume, reportVm }: Parts): Promise<void> {
	const body = { name: "kept", start: false, disks: [{ sizeBytes: 64 * MiB }] };
	const { body: vm, taskLocation } = await admin.call("vmCreate", { body });
	await readyVolume(vm.spec.disks[0]?.volumeId ?? "");
	await reportVm(vm.id, "stopped");
	await finish(taskLocation);
	const made = await admin.call("snapshotCreate", { path: { id: vm.id }, body: { name: "first" } });
	const path = { id: made.body.id };
	await harness.store.proposer.proposeSystem({ kind: "snapshotStatus", id: path.id, phase: "ready" });
	await finish(made.taskLocation);
	expect((await admin.call("snapshotGet", { path })).body).toMatchObject({ current: true, vmId: vm.id });
	expect((await admin.call("snapshotUpdate", { path, body: { name: "1st" } })).body.name).toBe("1st");
	expect((await admin.call("snapshotList", { path: { id: vm.id } })).body.items).toHaveLength(1);
	const volume = { id: vm.spec.disks[0]?.volumeId ?? "" };
	const holding = (await admin.call("volumeSnapshotList", { path: volume })).body.items;
	expect(holding.map(({ id }) => id)).toEqual([path.id]);
	const revert = await admin.call("snapshotRevert", { path });
	expect(revert.body.kind).toBe("vm.revert");
	await finish(revert.taskLocation);
	expect((await admin.call("snapshotDelete", { path })).body.kind).toBe("snapshot.delete");
}
