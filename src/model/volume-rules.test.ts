/** Why a volume is not deleted, resized or worked on, by what is around it. */
import { expect, test } from "bun:test";
import {
	fixtureImage,
	fixtureNfs,
	fixturePool,
	fixtureSnapshot,
	fixtureVmStatus,
	fixtureVolume,
} from "../testing/fixtures.ts";
import { diskReadObstacle } from "./actions.ts";
import type { Volume, VolumeSource } from "./storage.ts";
import { powerStates } from "./vm.ts";
import {
	type AroundVolume,
	clonesHolding,
	volumeDeletionObstacle,
	volumeResizeObstacle,
	volumeWorkObstacle,
} from "./volume-rules.ts";

const data = { id: "v", name: "data" };
const made = (name: string, source: VolumeSource, phase: Volume["phase"] = "ready") =>
	fixtureVolume({ id: name, name, source, phase });
const clone = (name: string, fullCopy: boolean, phase?: Volume["phase"]) =>
	made(name, { kind: "clone", volumeId: "v", fullCopy }, phase);
const image = (name: string, volumeId: string, phase: "importing" | "ready") =>
	fixtureImage({ id: name, name, source: { kind: "volume", volumeId }, phase });
const snapshot = (name: string, vmId: string, volumeId = "v") =>
	fixtureSnapshot({ id: name, name, vmId, disks: [{ diskId: "disk-0", volumeId, sizeBytes: 1 }] });
const nothing: AroundVolume = {
	...{ volumes: [], images: [], snapshots: [] },
	vmNameOf: (id) => (id === "m" ? "web" : undefined),
};
const deletion = (around: Partial<AroundVolume>) => volumeDeletionObstacle(data, { ...nothing, ...around });

test("a volume on which nothing rests is deleted; others' copies, images and snapshots do not matter", () => {
	expect(deletion({})).toBeNull();
	const volumes = [clone("full", true), made("other", { kind: "clone", volumeId: "w", fullCopy: false })];
	const images = [image("done", "v", "ready"), image("theirs", "w", "importing")];
	expect(deletion({ volumes, images, snapshots: [snapshot("before", "m", "w")] })).toBeNull();
});

test("copies that share its data keep it, and what is being made of it or of a snapshot of it", () => {
	const message = (names: string) => `The ${names} made from the volume data.`;
	expect(deletion({ volumes: [clone("copy", false)] })).toBe(message("volume copy is"));
	const ofSnapshot = made("old", { kind: "snapshot", snapshotId: "s", volumeId: "v", fullCopy: false });
	const volumes = [ofSnapshot, clone("full", true, "creating"), clone("b", true, "pending")];
	expect(deletion({ volumes, images: [image("golden", "v", "importing")] })).toBe(
		message("volumes b, full and old, and the image golden are"),
	);
});

test("snapshots keep it, whichever VM they are of", () => {
	const snapshots = [snapshot("before", "m"), snapshot("theirs", "w", "w"), snapshot("left", "x")];
	expect(deletion({ snapshots })).toBe(
		"The volume data is a part of snapshots: before of the VM web and left of the VM x. Delete them first.",
	);
});

test("its size stays while copies rest on it: where they stand alone, while they are being made", () => {
	const nfs = fixturePool({ type: "nfs", config: fixtureNfs });
	const ceph = { monitors: ["10.0.0.1"], user: "vms", cephPool: "rbd", namespace: null, dataPool: null };
	const rbd = fixturePool({ type: "ceph-rbd", config: ceph });
	const volumes = [clone("copy", false), clone("full", true)];
	const resize = (pool: typeof nfs | undefined, around: Partial<AroundVolume>) =>
		volumeResizeObstacle(data, { ...nothing, ...around }, pool);
	expect(resize(nfs, { volumes })).toBe("Copy-on-write copies rest on the volume data: copy.");
	expect(resize(undefined, { volumes })).toContain("copy");
	expect(resize(rbd, { volumes })).toBeNull();
	expect(resize(rbd, { volumes: [clone("new", false, "creating")] })).toContain("new");
	expect(resize(rbd, { images: [image("golden", "v", "importing")] })).toBe(
		"The image golden is being made from this volume.",
	);
	expect(clonesHolding("v", volumes, nfs).map(({ name }) => name)).toEqual(["copy"]);
	const ofSnapshot = made("old", { kind: "snapshot", snapshotId: "s", volumeId: "v", fullCopy: false });
	expect(resize(nfs, { volumes: [ofSnapshot] })).toBeNull();
});

test("work that goes on while it is ready", () => {
	expect(volumeWorkObstacle(data, [])).toBeNull();
	expect(volumeWorkObstacle(data, [{ kind: "volume.resize" }])).toBeNull();
	expect(volumeWorkObstacle(data, [{ kind: "volume.check" }])).toBe("The volume data is being checked.");
	expect(volumeWorkObstacle(data, [{ kind: "volume.flatten" }, { kind: "volume.move" }])).toBe(
		"The volume data is being moved to another storage pool.",
	);
});

test("disks are read from outside while no process has them open: a VM that failed has none", () => {
	const readable = powerStates.filter(
		(powerState) => diskReadObstacle({ name: "web", status: fixtureVmStatus({ powerState }) }) === null,
	);
	expect(readable).toEqual(["stopped", "failed"]);
});
