/** Snapshots of several VMs, loaded one VM after the other and changed by events. */
import { expect, test } from "bun:test";
import { fixtureSnapshot } from "../../../src/testing/fixtures.ts";
import { SnapshotsByVm } from "./snapshots-by-vm.ts";

const snapshot = (id: string, vmId: string, name = id) => fixtureSnapshot({ id, vmId, name });

function open() {
	const loads: string[] = [];
	const all = new SnapshotsByVm(
		async (vmId) => {
			loads.push(vmId);
			return { items: [snapshot(`${vmId}-1`, vmId)], nextPageToken: null };
		},
		{ schedule: (flush) => flush() },
	);
	const names = (vmId: string) => all.of(vmId).items.value.map(({ name }) => name);
	return { all, loads, names };
}

test("each VM's are read once, when they are asked for", async () => {
	const { all, loads, names } = open();
	await Promise.all([all.of("a").ensure(), all.of("a").ensure()]);
	await all.of("b").ensure();
	expect(loads).toEqual(["a", "b"]);
	expect([names("a"), names("b")]).toEqual([["a-1"], ["b-1"]]);
});

test("events go to the VM that they are about; a deletion does not say which", async () => {
	const { all, loads, names } = open();
	await all.of("a").ensure();
	await all.of("b").ensure();
	all.apply("a-2", snapshot("a-2", "a"));
	all.apply("b-1", snapshot("b-1", "b", "renamed"));
	all.apply("c-1", snapshot("c-1", "c"));
	expect([names("a"), names("b")]).toEqual([["a-1", "a-2"], ["renamed"]]);
	all.apply("a-1", null);
	expect([names("a"), names("b")]).toEqual([["a-2"], ["renamed"]]);
	expect(loads).toEqual(["a", "b"]);
	expect(all.known()).toHaveLength(2);
});

test("of a VM that is gone nothing is left", async () => {
	const { all, names } = open();
	await all.of("a").ensure();
	const before = all.of("a");
	all.forget("a");
	expect([before.items.value, before.state.value]).toEqual([[], "idle"]);
	expect(all.known()).toEqual([]);
	await all.of("b").ensure();
	all.clear();
	expect([all.known(), names("b")]).toEqual([[], []]);
});
