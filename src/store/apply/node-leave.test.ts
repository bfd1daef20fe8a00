/** Nodes that go: what is asked before, what becomes of what they had, and when their records go. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Pool } from "../../model/storage.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureImage,
	fixtureMember,
	fixturePool,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { CommandBody } from "../command.ts";

let store: MemoryStore;
const clock = new ManualClock();
let nextTask = 0x1000;
const second = fixtureId(0x998);
const vmId = fixtureId(0x100);
const volumeId = fixtureId(0x200);
const imageId = fixtureId(0x300);
const poolId = fixtureId(0x500);
beforeEach(async () => {
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	await join();
});
afterEach(() => store.close());

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const refused = (body: CommandBody, code: string) => expect(apply(body)).rejects.toMatchObject({ code });
const join = async (id = second, name = "node-2") => {
	for (const body of fixtureMember({ id, name }, clock.nowMs())) await apply(body);
};
const task = (
	kind: Parameters<typeof fixtureTask>[0],
	target: { kind: "vm" | "volume" | "image" | "pool"; id: string },
) => fixtureTask(kind, target, { id: fixtureId(nextTask++), nodeId: second });
const report = (nodeId: string): Pool["nodes"][number] => ({
	...{ nodeId, health: "healthy", reason: null, totalBytes: null, usedBytes: null, availableBytes: null },
	...{ capabilities: null, updatedAt: "2026-01-01T00:00:00.000Z" },
});
const remove = (changes: Partial<Extract<CommandBody, { kind: "nodeRemove" }>> = {}): CommandBody => ({
	kind: "nodeRemove",
	id: second,
	leaving: false,
	confirmName: "node-2",
	...changes,
});
const leave = (id = second): CommandBody => remove({ id, leaving: true, confirmName: null });
/** A VM with a disk, and an image, on the second node and in a pool of its own. */
const fill = async () => {
	const pool = fixturePool({ id: poolId, name: "fast", config: { path: "/fast" }, nodeIds: [second] });
	await apply({ kind: "poolCreate", pool, task: task("pool.create", { kind: "pool", id: poolId }) });
	const disk = { id: "disk-0", volumeId, bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
	await apply({
		kind: "vmCreate",
		vm: fixtureVm({ nodeId: second, spec: fixtureVmSpec({ disks: [disk], bootOrder: ["disk-0"] }) }),
		volumes: [fixtureVolume({ nodeId: second, poolId })],
		task: task("vm.create", { kind: "vm", id: vmId }),
	});
	await apply({
		kind: "imageCreate",
		image: fixtureImage({ id: imageId, nodeId: second, poolId }),
		task: task("image.import", { kind: "image", id: imageId }),
	});
};

describe("leaving", () => {
	test("is refused while something is on the node, and says what", async () => {
		await fill();
		await expect(apply(leave())).rejects.toMatchObject({
			code: "in-use",
			message: "On the node node-2 are vm-1, volume-1, image-1. Move or delete them first.",
		});
		for (let number = 1; number < 12; number++)
			await apply({
				kind: "volumeCreate",
				volume: fixtureVolume({ id: fixtureId(0x210 + number), name: `v-${number}`, nodeId: second, poolId }),
				task: task("volume.create", { kind: "volume", id: fixtureId(0x210 + number) }),
			});
		await expect(apply(leave())).rejects.toThrow(/^On the node node-2 are vm-1(, [\w-]+){9} and others\./);
	});

	test("takes the node out of pools and networks; a pool that is nowhere any more goes", async () => {
		const pool = fixturePool({ id: poolId, name: "fast", config: { path: "/fast" }, nodeIds: [second] });
		await apply({ kind: "poolCreate", pool, task: task("pool.create", { kind: "pool", id: poolId }) });
		const both = fixturePool({ id: fixtureId(0x501), name: "both", config: { path: "/both" } });
		both.nodeIds = [clusterIds.node, second];
		await apply({ kind: "poolCreate", pool: both, task: task("pool.create", { kind: "pool", id: both.id }) });
		for (const nodeId of both.nodeIds) await apply({ kind: "poolNodeStatus", id: both.id, status: report(nodeId) });
		await apply({
			kind: "networkNodeStatus",
			id: clusterIds.network,
			status: { nodeId: second, health: "healthy", bridge: "br0", error: null },
		});
		await apply(leave());
		expect(store.get("node", second)?.status).toMatchObject({ phase: "left", reason: "It left the cluster." });
		expect(store.get("pool", poolId)).toBeNull();
		expect(store.get("pool", both.id)).toMatchObject({
			...{ nodeIds: [clusterIds.node], nodes: [report(clusterIds.node)], phase: "ready" },
		});
		expect(store.get("network", clusterIds.network)?.nodes).toEqual([]);
	});

	test("is not for the last node, however many have left", async () => {
		await apply(leave());
		await refused(leave(clusterIds.node), "wrong-state");
		await refused(remove({ id: clusterIds.node, confirmName: "node-1" }), "wrong-state");
		await refused(leave(), "wrong-state");
	});
});

describe("removing a node that is gone", () => {
	test("wants its name", async () => {
		for (const confirmName of [null, "", "Node-2", "node-1"])
			await expect(apply(remove({ confirmName }))).rejects.toMatchObject({
				...{ code: "invalid", fields: [{ path: "/confirmName" }] },
			});
		await apply(remove());
		expect(store.get("node", second)?.status).toMatchObject({
			...{ phase: "left", reason: "It was removed from the cluster." },
		});
	});

	test("makes its VMs unknown and ends its tasks, and nobody else's", async () => {
		await fill();
		const status = fixtureVmStatus({ powerState: "running", taskId: fixtureId(0x1001), observedGeneration: 1 });
		await apply({ kind: "vmStatus", id: vmId, nodeId: second, status });
		const other = fixtureTask("network.delete", { kind: "network", id: clusterIds.network }, { id: fixtureId(0x5000) });
		await apply({ kind: "networkDelete", id: clusterIds.network, task: other });
		await apply(remove());
		expect(store.get("vm", vmId)?.status).toMatchObject({
			...{ powerState: "unknown", taskId: null, observedGeneration: 1 },
			reason: "Its node, node-2, was removed from the cluster.",
		});
		const ended = store.all("task", { nodeId: second });
		expect(ended).toHaveLength(3);
		for (const { state, error, cancelable, finishedAt } of ended)
			expect({ state, code: error?.code, cancelable, finished: finishedAt !== null }).toEqual({
				...{ state: "failed", code: "unavailable", cancelable: false, finished: true },
			});
		expect(store.get("task", other.id)?.state).toBe("pending");
		expect(store.get("pool", poolId)).toMatchObject({ nodeIds: [], nodes: [], phase: "pending" });
	});

	test("leaves an audit record with what was confirmed", async () => {
		const meta = {
			...{
				requester: { kind: "local" as const, id: null, name: "root" },
				remoteAddress: null,
				operation: "nodeRemove",
			},
			...{ idempotencyKey: null, credential: null },
		} as const;
		await expect(store.proposer.propose(remove({ confirmName: "x".repeat(999) }), meta)).rejects.toThrow();
		clock.advance(1);
		await store.proposer.propose(remove(), meta);
		expect(store.list("audit", { limit: 10, sort: "time" }).items).toMatchObject([
			{ outcome: "rejected", confirmation: `${"x".repeat(128)} is off` },
			{ outcome: "accepted", confirmation: "node-2 is off", targets: [{ kind: "node", id: second, name: "node-2" }] },
		]);
	});

	test("ends all that it may say and do", async () => {
		await fill();
		await apply(remove());
		await refused({ kind: "nodeStatus", id: second, status: store.all("node")[0]?.status as never }, "wrong-state");
		await refused({ kind: "nodeUpdate", id: second, name: "other" }, "wrong-state");
		await refused({ kind: "nodeAddresses", id: second, peerAddresses: [] }, "wrong-state");
		await refused({ kind: "vmStatus", id: vmId, nodeId: second, status: fixtureVmStatus() }, "wrong-state");
		await refused({ kind: "poolNodeStatus", id: clusterIds.pool, status: report(second) }, "wrong-state");
		const networkStatus = { nodeId: second, health: "healthy", bridge: null, error: null } as const;
		await refused({ kind: "networkNodeStatus", id: clusterIds.network, status: networkStatus }, "wrong-state");
		const vm = fixtureVm({ id: fixtureId(0x101), name: "late", nodeId: second });
		const create = task("vm.create", { kind: "vm", id: vm.id });
		await refused({ kind: "vmCreate", vm, volumes: [], task: create }, "wrong-state");
	});
});

describe("the record of a node that has left", () => {
	const gone: CommandBody = { kind: "nodeGone", id: second };

	test("goes when nothing refers to it", async () => {
		await refused(gone, "wrong-state");
		await apply(leave());
		await apply(gone);
		expect(store.get("node", second)).toBeNull();
		await refused(gone, "not-found");
	});

	test("stays while a VM, a volume or an image does; these are deleted at once, since nobody is there to do it", async () => {
		await fill();
		await apply(remove());
		await refused(gone, "in-use");
		const { taskId } = await apply({
			...{ kind: "vmDelete", id: vmId, deleteVolumes: false },
			task: fixtureTask("vm.delete", { kind: "vm", id: vmId }, { id: fixtureId(0x6000) }),
		});
		expect(store.get("task", taskId ?? "")).toMatchObject({ state: "succeeded", progress: 100 });
		expect([store.get("vm", vmId), store.get("volume", volumeId)?.vmId]).toEqual([null, null]);
		await refused(gone, "in-use");
		await apply({
			...{ kind: "volumeDelete", id: volumeId },
			task: fixtureTask("volume.delete", { kind: "volume", id: volumeId }, { id: fixtureId(0x6001) }),
		});
		await refused(gone, "in-use");
		await apply({
			...{ kind: "imageDelete", id: imageId },
			task: fixtureTask("image.delete", { kind: "image", id: imageId }, { id: fixtureId(0x6002) }),
		});
		await apply(gone);
		expect([store.count("volume"), store.count("image"), store.get("pool", poolId)]).toEqual([0, 0, null]);
		expect(store.get("pool", clusterIds.pool)).not.toBeNull();
	});

	test("a VM of it goes with its disks when that is asked for", async () => {
		await fill();
		await apply(remove());
		await apply({
			...{ kind: "vmDelete", id: vmId, deleteVolumes: true },
			task: fixtureTask("vm.delete", { kind: "vm", id: vmId }, { id: fixtureId(0x6000) }),
		});
		expect([store.count("vm"), store.count("volume")]).toEqual([0, 0]);
	});
});
