/** Why a snapshot is not taken, reverted to or deleted, as far as the objects say it. */
import { describe, expect, test } from "bun:test";
import {
	fixturePool,
	fixtureSnapshot,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
	fixtureVolume,
} from "../testing/fixtures.ts";
import {
	beingCopiedObstacle,
	halfRevertedDeletionObstacle,
	liveDeletionObstacle,
	maxSnapshotsOfVm,
	noDisksObstacle,
	revertDiskObstacle,
	revertPhaseObstacle,
	snapshotCopyObstacle,
	snapshotCountObstacle,
	snapshotWorkObstacle,
} from "./snapshot-rules.ts";
import type { Pool, Volume } from "./storage.ts";
import type { PowerState } from "./vm.ts";

const disk = { id: "disk-0", volumeId: "v", bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
const vm = (powerState: PowerState, disks: (typeof disk)[] = [disk]) =>
	fixtureVm({ id: "m", name: "web", spec: fixtureVmSpec({ disks }), status: fixtureVmStatus({ powerState }) });
const volume = (changes: Partial<Volume> = {}) =>
	fixtureVolume({ id: "v", name: "root", vmId: "m", phase: "ready", ...changes });
const taken = fixtureSnapshot({
	...{ id: "s", name: "before", phase: "ready" },
	disks: [{ diskId: "disk-0", volumeId: "v", sizeBytes: 1 }],
});
const one =
	<T>(object: T | undefined) =>
	(): T | undefined =>
		object;

describe("taking one", () => {
	test("needs a disk that can be written to", () => {
		expect(noDisksObstacle(vm("running"))).toBeNull();
		expect(noDisksObstacle(vm("running", []))).toContain("no disk");
		expect(
			noDisksObstacle({ ...vm("running"), spec: fixtureVmSpec({ disks: [{ ...disk, readOnly: true }] }) }),
		).toContain("no disk");
	});

	test("ends at some number, and waits for other work on them", () => {
		expect(snapshotCountObstacle(vm("stopped"), maxSnapshotsOfVm - 1)).toBeNull();
		expect(snapshotCountObstacle(vm("stopped"), maxSnapshotsOfVm)).toContain("Delete some first.");
		const task = (kind: "vm.start" | "vm.revert") => fixtureTask(kind, { kind: "vm", id: "m" });
		expect(snapshotWorkObstacle(vm("stopped"), [task("vm.start")])).toBeNull();
		expect(snapshotWorkObstacle(vm("stopped"), [task("vm.revert")])).toContain("under way");
	});
});

describe("reverting to one", () => {
	test("needs it whole, or half reverted to", () => {
		for (const phase of ["ready", "reverting"] as const) expect(revertPhaseObstacle({ ...taken, phase })).toBeNull();
		for (const phase of ["creating", "deleting", "error"] as const)
			expect(revertPhaseObstacle({ ...taken, phase })).toBe(`The snapshot before is ${phase}.`);
	});

	test("needs each of its disks attached, and at rest", () => {
		const obstacle = (of: ReturnType<typeof vm>, known: Volume | undefined) =>
			revertDiskObstacle(of, taken, "v", known);
		expect(obstacle(vm("stopped"), volume())).toBeNull();
		expect(obstacle(vm("stopped", []), volume())).toContain("disk root of the snapshot before");
		expect(obstacle(vm("stopped"), undefined)).toContain("disk v of the snapshot before");
		expect(obstacle(vm("stopped"), volume({ phase: "resizing" }))).toContain("resizing, not ready");
	});
});

describe("deleting one", () => {
	const pool = (type: Pool["type"]) => one(fixturePool({ name: "fast", type }));

	const obstacle = (state: PowerState, type: Pool["type"], merging: boolean, known: Volume | undefined = volume()) =>
		liveDeletionObstacle(vm(state), taken, one(known), pool(type), merging);

	test("in files needs the VM off where QEMU is not told to merge them, of logical volumes always, of RBD never", () => {
		for (const state of ["running", "paused"] as const) {
			expect(obstacle(state, "nfs", false)).toContain("Shut the VM down first.");
			expect(obstacle(state, "iscsi-lvm", true)).toContain("Shut the VM down first.");
			for (const type of ["local", "nfs"] as const) expect(obstacle(state, type, true)).toBeNull();
			expect(obstacle(state, "ceph-rbd", false)).toBeNull();
		}
		for (const state of ["stopped", "failed"] as const) expect(obstacle(state, "iscsi-lvm", false)).toBeNull();
	});

	test("is possible while the VM runs when nothing of it is in use, or known", () => {
		expect(obstacle("running", "nfs", false, volume({ vmId: null }))).toBeNull();
		const running = vm("running");
		expect(liveDeletionObstacle(running, taken, one(undefined), pool("nfs"), false)).toBeNull();
		expect(liveDeletionObstacle(running, { ...taken, phase: "error" }, one(volume()), pool("nfs"), false)).toBeNull();
	});

	test("waits while the VM runs for copies that are being made of any of its snapshots", () => {
		const copies = (phase: Volume["phase"]) => (id: string) =>
			id === "other" ? [volume({ name: "copy", phase })] : [];
		const snapshots = [{ id: "s" }, { id: "other" }];
		for (const phase of ["pending", "creating"] as const)
			expect(beingCopiedObstacle(vm("running"), snapshots, copies(phase))).toContain("The volume copy is being made");
		expect(beingCopiedObstacle(vm("running"), snapshots, copies("ready"))).toBeNull();
		expect(beingCopiedObstacle(vm("stopped"), snapshots, copies("creating"))).toBeNull();
	});

	test("waits for what rests on it, and for a revert that is half done", () => {
		const copy = (fullCopy: boolean, phase: Volume["phase"], snapshotId = "s") =>
			volume({ name: "copy", phase, source: { kind: "snapshot", snapshotId, volumeId: "v", fullCopy } });
		expect(snapshotCopyObstacle(taken, [volume(), copy(true, "ready"), copy(false, "ready", "other")])).toBeNull();
		expect(snapshotCopyObstacle(taken, [copy(false, "ready")])).toBe(
			"The volume copy is made from the snapshot before.",
		);
		expect(snapshotCopyObstacle(taken, [copy(true, "creating")])).toContain("copy");
		expect(halfRevertedDeletionObstacle(vm("stopped"), taken)).toBeNull();
		expect(halfRevertedDeletionObstacle(vm("stopped"), { ...taken, phase: "reverting" })).toContain("Revert it first.");
	});
});
