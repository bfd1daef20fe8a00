/** What deleting VMs loses, and what of it only the cluster forgets. */
import { expect, test } from "bun:test";
import { fixtureId, fixtureVm, fixtureVolume } from "../../../src/testing/fixtures.ts";
import { deletionOf } from "./deletion.ts";

const [here, gone] = [fixtureId(1), fixtureId(2)];
const [one, two] = [fixtureVm({ id: fixtureId(0x10), nodeId: here }), fixtureVm({ id: fixtureId(0x11), nodeId: gone })];
const [diskHere, diskGone, shared, sharedOfGone] = [
	fixtureVolume({ id: fixtureId(0x20), nodeId: here, vmId: one.id }),
	fixtureVolume({ id: fixtureId(0x21), nodeId: gone, vmId: two.id }),
	fixtureVolume({ id: fixtureId(0x22), nodeId: null, vmId: one.id }),
	fixtureVolume({ id: fixtureId(0x23), nodeId: null, vmId: two.id }),
];
const volumes = [diskHere, diskGone, shared, sharedOfGone];

test("what is on hosts that were removed is forgotten, and not lost; what is on none of them stays", () => {
	const removed = new Set([gone]);
	expect(deletionOf([one, two], volumes, removed)).toEqual({
		lost: { vms: [one], volumes: [diskHere, shared] },
		forgotten: { vms: [two], volumes: [diskGone] },
		kept: [sharedOfGone],
	});
	expect(deletionOf([two], [], removed)).toEqual({
		lost: { vms: [], volumes: [] },
		forgotten: { vms: [two], volumes: [] },
		kept: [],
	});
});

test("with all nodes there everything is lost", () => {
	expect(deletionOf([one, two], volumes, new Set())).toEqual({
		lost: { vms: [one, two], volumes },
		forgotten: { vms: [], volumes: [] },
		kept: [],
	});
});
