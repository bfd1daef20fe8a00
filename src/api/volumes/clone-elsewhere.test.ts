/** A copy of a volume in another pool is made where both pools are and work; of a VM's disk, on the VM's node. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock, toRfc3339 } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { GiB } from "../../lib/units.ts";
import type { PoolNodeStatus } from "../../model/storage.ts";
import { createTwoNodes, otherId, type TwoNodes } from "../../testing/api/two-nodes.ts";
import {
	clusterIds,
	fixtureId,
	fixtureJoinToken,
	fixtureNfs,
	fixtureNode,
	fixturePool,
	fixtureTask,
	fixtureVm,
	fixtureVmStatus,
	fixtureVolume,
} from "../../testing/fixtures.ts";

const [nas, fast, volumeId, thirdId, vmId] = [0x31, 0x32, 0x210, 0x21, 0x110].map(fixtureId) as [
	...[string, string, string, string, string],
];
let nodes: TwoNodes;
const propose: TwoNodes["store"]["proposer"]["proposeSystem"] = (body) => nodes.store.proposer.proposeSystem(body);
let taskNumber = 0x600;
const newTask = (kind: "pool.create" | "volume.create" | "vm.adopt", target: "pool" | "volume" | "vm", id: string) =>
	fixtureTask(kind, { kind: target, id }, { id: fixtureId(taskNumber++) });

const addPool = (id: string, name: string, nodeIds: string[]) =>
	propose({
		kind: "poolCreate",
		pool: fixturePool({ id, name, type: "nfs", config: { ...fixtureNfs, server: name }, nodeIds }),
		task: newTask("pool.create", "pool", id),
	});

const part = (poolId: string, nodeId: string, availableBytes: number, health: PoolNodeStatus["health"] = "healthy") =>
	propose({
		...{ kind: "poolNodeStatus", id: poolId },
		status: {
			...{ nodeId, health, reason: null, capabilities: null, updatedAt: "2026-01-02T03:04:06Z" },
			...{ totalBytes: 100 * GiB, usedBytes: 100 * GiB - availableBytes, availableBytes },
		},
	});

async function addThirdNode(): Promise<void> {
	const now = systemClock.nowMs();
	const token = fixtureJoinToken({ id: fixtureId(0x700), expiresAt: toRfc3339(now + 3_600_000) });
	const secretHash = "c".repeat(64);
	const node = fixtureNode({ id: thirdId, name: "node-3" });
	await propose({ kind: "joinTokenCreate", token, secretHash });
	await propose({ kind: "nodeAdmit", tokenId: token.id, secretHash, keyFingerprint: "d".repeat(64), node });
	await propose({ kind: "nodeStatus", id: thirdId, status: { ...node.status, updatedAt: toRfc3339(now) } });
}

beforeEach(async () => {
	nodes = await createTwoNodes();
	await addThirdNode();
	await addPool(nas, "nas", [clusterIds.node, otherId]);
	for (const id of [clusterIds.node, otherId]) await part(nas, id, 50 * GiB);
	const volume = fixtureVolume({ id: volumeId, name: "data", poolId: nas, nodeId: null });
	await propose({ kind: "volumeCreate", volume, task: newTask("volume.create", "volume", volumeId) });
	await propose({ kind: "volumeStatus", id: volumeId, phase: "ready", sizeBytes: GiB });
});
afterEach(() => nodes.close());

/** A stopped VM of the other node that has the volume. */
async function attach(): Promise<void> {
	const disk = { id: "disk-0", volumeId, bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
	const spec = { ...fixtureVm().spec, disks: [disk], bootOrder: ["disk-0"] };
	const vm = fixtureVm({ id: vmId, name: "web", nodeId: otherId, spec });
	await propose({ kind: "vmAdopt", vm, volumes: [], task: { ...newTask("vm.adopt", "vm", vmId), nodeId: otherId } });
	const status = fixtureVmStatus({ powerState: "stopped" });
	await propose({ kind: "vmStatus", id: vmId, nodeId: otherId, status });
	expect(nodes.store.get("volume", volumeId)?.vmId).toBe(vmId);
}

async function madeOn(call: Promise<{ body: { id: string } }>): Promise<string | null | undefined> {
	const { body } = await call;
	return nodes.store.all("task").find(({ targets }) => targets.some(({ id }) => id === body.id))?.nodeId;
}
const clone = (poolId?: string) =>
	nodes.client("operator").call("volumeClone", {
		path: { id: volumeId },
		body: { name: "copy", ...(poolId === undefined ? {} : { poolId }) },
	});
const create = (poolId: string, nodeId: string) =>
	nodes.client("operator").call("volumeCreate", {
		body: { name: "copy", poolId, nodeId, source: { kind: "clone", volumeId, fullCopy: true } },
	});
async function problem(call: Promise<unknown>) {
	const error = await call.then(
		() => null,
		(failure: unknown) => failure,
	);
	if (!(error instanceof AppError)) throw new Error(`no problem: ${error}`);
	return { code: error.code, message: error.fields?.[0]?.message ?? error.message, path: error.fields?.[0]?.path };
}

test("not where the most room is, but where both pools are", async () => {
	await addPool(fast, "fast", [otherId, thirdId]);
	await part(fast, otherId, 10 * GiB);
	await part(fast, thirdId, 90 * GiB);
	expect(await madeOn(clone(fast))).toBe(otherId);
});

test("where the other pool works, though another node works on the volume otherwise", async () => {
	await addPool(fast, "fast", [clusterIds.node, otherId]);
	await part(fast, clusterIds.node, 90 * GiB, "error");
	await part(fast, otherId, 10 * GiB);
	expect(await madeOn(clone(fast))).toBe(otherId);
	expect(await madeOn(clone())).toBe(clusterIds.node);
});

test("where no node has both it is refused, with the reason for each node", async () => {
	await addPool(fast, "fast", [thirdId]);
	await part(fast, thirdId, 90 * GiB);
	expect(await problem(clone(fast))).toMatchObject({
		code: "wrong-state",
		message: expect.stringContaining("node-3 has no usable part of the storage pool nas, where the source is"),
	});
	expect(await problem(create(fast, thirdId))).toEqual({
		...{ code: "invalid", path: "/source/volumeId" },
		message: "The volume data is in the pool nas, which is not on this node.",
	});
});

test("of the disk of a VM on the VM's node, and on no other", async () => {
	await attach();
	await addPool(fast, "fast", [clusterIds.node, otherId]);
	await part(fast, clusterIds.node, 90 * GiB);
	await part(fast, otherId, 10 * GiB);
	expect(await madeOn(clone(fast))).toBe(otherId);
	expect(await problem(create(fast, clusterIds.node))).toEqual({
		...{ code: "invalid", path: "/source/volumeId" },
		message: "The volume is the disk of a VM on another node, and is copied there.",
	});
	const here = fixtureId(0x33);
	await addPool(here, "here", [clusterIds.node]);
	await part(here, clusterIds.node, 90 * GiB);
	expect(await problem(clone(here))).toEqual({
		...{ code: "invalid", path: "/poolId" },
		message: "The pool here is not on node-2, where the volume is copied.",
	});
});
