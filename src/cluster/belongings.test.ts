/** What of its copy of the state is a node's own when it joins. */
import { expect, test } from "bun:test";
import {
	fixtureId,
	fixtureImage,
	fixtureNfs,
	fixtureNode,
	fixturePool,
	fixtureVm,
	fixtureVmSpec,
	fixtureVolume,
} from "../testing/fixtures.ts";
import { broughtBy, ownPools } from "./belongings.ts";

const [a, b] = [fixtureId(0xa), fixtureId(0xb)];

function reader(tables: Record<string, unknown[]>): Parameters<typeof broughtBy>[0] {
	const all = (table: string, filter: { nodeId?: string } = {}) =>
		(tables[table] ?? []).filter((row) => !filter.nodeId || (row as { nodeId: string }).nodeId === filter.nodeId);
	return { all, get: () => fixtureNode({ id: a }) } as unknown as Parameters<typeof broughtBy>[0];
}
const pool = (id: string, nodeIds: string[]) => fixturePool({ id, name: id, nodeIds });
const ids = (objects: readonly { id: string }[]) => objects.map(({ id }) => id);

test("a node that comes back brings what is its own", () => {
	const store = reader({
		pool: [pool("mine", [a]), pool("others", [b]), pool("used", [b])],
		image: [
			fixtureImage({ id: "image", nodeId: a, poolId: "used" }),
			fixtureImage({ id: "image-b", nodeId: b, poolId: "others" }),
		],
		volume: [fixtureVolume({ id: "volume-b", nodeId: b, poolId: "others" })],
		vm: [fixtureVm({ id: "vm", nodeId: a }), fixtureVm({ id: "vm-b", nodeId: b })],
	});
	const brought = broughtBy(store, a, new Set());
	expect(ids(brought.pools)).toEqual(["mine", "used"]);
	expect([brought.images.length, brought.volumes.length, brought.vms.length]).toEqual([1, 0, 1]);
});

test("shared pools are all a lone node's; of a cluster's, those that its VMs have disks or discs in, in its copy or not", () => {
	const shared = (id: string, nodeIds: string[]) => ({
		...pool(id, nodeIds),
		type: "nfs" as const,
		config: fixtureNfs,
	});
	const cdrom = { id: "cdrom-0", imageId: "iso" };
	const tables = {
		node: [fixtureNode({ id: a })],
		pool: [shared("disks", []), shared("discs", [b]), shared("idle", [a])],
		image: [fixtureImage({ id: "iso", nodeId: null, poolId: "discs" })],
		volume: [
			fixtureVolume({ id: "disk", nodeId: null, poolId: "disks", vmId: "vm" }),
			fixtureVolume({ id: "free", nodeId: null, poolId: "idle" }),
		],
		vm: [fixtureVm({ id: "vm", nodeId: a, spec: fixtureVmSpec({ cdroms: [cdrom] }) })],
	};
	expect(ids(broughtBy(reader(tables), a, new Set()).pools)).toEqual(["disks", "discs", "idle"]);
	const others = reader({ ...tables, node: [fixtureNode({ id: a }), fixtureNode({ id: b })] });
	expect(ids(broughtBy(others, a, new Set()).pools)).toEqual(["disks", "discs"]);
	// It was in that one: where the cluster has it still, it is again.
	expect(ids(ownPools(others, a, new Set()))).toEqual(["disks", "discs", "idle"]);
});
