/** What the API says to moving a VM, and where new things go when nobody says. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { GiB, MiB } from "../../lib/units.ts";
import type { ClusterMember } from "../../model/cluster.ts";
import { localCapabilities } from "../../storage/local/capabilities.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { fixtureMember } from "../../testing/api/fake-cluster.ts";
import { clusterIds, fixtureNode, fixtureVmStatus } from "../../testing/fixtures.ts";
import { admitSecond, secondNodeId } from "../../testing/node/second-node.ts";

let harness: ApiHarness;
const roomy = { ...fixtureNode().status, memoryBytes: 64 * GiB };
beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

const propose: ApiHarness["store"]["proposer"]["proposeSystem"] = (body) => harness.store.proposer.proposeSystem(body);
const second = async (status = roomy) => {
	await admitSecond({ propose, ids: harness.ids, nowMs: systemClock.nowMs() }, { status });
	await propose({
		kind: "poolNodeStatus",
		id: clusterIds.pool,
		status: {
			...{ nodeId: secondNodeId, health: "healthy", reason: null, capabilities: null },
			...{ totalBytes: 900 * GiB, usedBytes: 0, availableBytes: 900 * GiB, updatedAt: "2026-01-02T03:04:05.000Z" },
		},
	});
};
const admin = () => harness.client("admin");

/** Off, and made: its node has reported. */
async function stoppedVm(name = "web", disks: { sizeBytes: number; provisioning?: "thick" }[] = []): Promise<string> {
	const body = { name, nodeId: clusterIds.node, start: false, disks, memoryBytes: 512 * MiB };
	const made = await admin().call("vmCreate", { body });
	const taskId = made.taskLocation?.split("/").at(-1) ?? "";
	for (const state of ["running", "succeeded"] as const) await propose({ kind: "taskUpdate", id: taskId, state });
	const status = fixtureVmStatus({ powerState: "stopped", observedGeneration: 1 });
	await propose({ kind: "vmStatus", id: made.body.id, nodeId: clusterIds.node, status });
	return made.body.id;
}

test("moving a VM is a task of the node that it goes to; meanwhile it is not started", async () => {
	await second();
	const id = await stoppedVm();
	const moved = await admin().call("vmMove", { path: { id }, body: { nodeId: secondNodeId } });
	expect(moved.body).toMatchObject({
		...{ kind: "vm.move", state: "pending", nodeId: secondNodeId, cancelable: true },
		...{ targets: [{ kind: "vm", id, name: "web" }], input: { fromNodeId: clusterIds.node } },
	});
	await expect(admin().call("vmStart", { path: { id } })).rejects.toMatchObject({ code: "wrong-state" });
	const again = admin().call("vmMove", { path: { id }, body: { nodeId: secondNodeId } });
	await expect(again).rejects.toMatchObject({ code: "wrong-state" });
});

test("a repeated request with its key is one move", async () => {
	await second();
	const id = await stoppedVm();
	const ask = () => admin().call("vmMove", { path: { id }, body: { nodeId: secondNodeId }, idempotencyKey: "once" });
	expect((await ask()).body.id).toBe((await ask()).body.id);
});

test("what cannot work there is said before anything begins", async () => {
	await second({ ...roomy, memoryBytes: 256 * MiB });
	const id = await stoppedVm();
	const move = (nodeId: string) => admin().call("vmMove", { path: { id }, body: { nodeId } });
	await expect(move(secondNodeId)).rejects.toMatchObject({
		code: "wrong-state",
		message: "The VM web cannot be moved: the node node-2 has 256 MiB of memory, and 512 MiB are wanted.",
	});
	await expect(move(clusterIds.node)).rejects.toMatchObject({ code: "wrong-state" });
	await expect(move("00000000-0000-7000-8000-000000000abc")).rejects.toMatchObject({ code: "invalid" });
	expect(harness.store.all("task", { kind: "vm.move" })).toEqual([]);
});

test("a thick disk does not go where the pool has thin ones only; what its node has not said is left to it", async () => {
	await second();
	const can = (nodeId: string, provisioning?: ("thin" | "thick")[]) => {
		const { provisioning: _both, reasons, ...others } = localCapabilities;
		const capabilities = provisioning
			? { ...others, reasons: { ...reasons, provisioning: "Thin it is." }, provisioning }
			: null;
		return propose({
			kind: "poolNodeStatus",
			id: clusterIds.pool,
			status: {
				...{ nodeId, health: "healthy", reason: null, capabilities, totalBytes: 900 * GiB, usedBytes: 0 },
				...{ availableBytes: 900 * GiB, updatedAt: "2026-01-02T03:04:05.000Z" },
			},
		});
	};
	await can(clusterIds.node, ["thin", "thick"]);
	const id = await stoppedVm("web", [{ sizeBytes: MiB, provisioning: "thick" }]);
	const move = () => admin().call("vmMove", { path: { id }, body: { nodeId: secondNodeId } });
	await can(secondNodeId, ["thin"]);
	await expect(move()).rejects.toMatchObject({
		code: "wrong-state",
		message: expect.stringMatching(/its disk .* is thick, .* on the node node-2 it cannot be. Thin it is./),
	});
	await can(secondNodeId);
	expect((await move()).body.kind).toBe("vm.move");
});

test("a viewer moves nothing", async () => {
	await second();
	const id = await stoppedVm();
	const asked = harness.client("viewer").call("vmMove", { path: { id }, body: { nodeId: secondNodeId } });
	await expect(asked).rejects.toMatchObject({ code: "forbidden" });
});

test("new VMs and volumes go where there is room, and their tasks say why", async () => {
	const alone = await admin().call("vmCreate", { body: { name: "alone" } });
	expect(harness.store.get("task", alone.taskLocation?.split("/").at(-1) ?? "")?.message).toBeNull();
	await second();
	const { body: vm, taskLocation } = await admin().call("vmCreate", { body: { name: "db" } });
	const task = harness.store.get("task", taskLocation?.split("/").at(-1) ?? "");
	expect([vm.nodeId, task?.nodeId]).toEqual([secondNodeId, secondNodeId]);
	expect(task?.message).toStartWith("Placed on node-2: of 2 nodes that fit it has the most memory left after it");
	const volume = await admin().call("volumeCreate", { body: { name: "data", sizeBytes: GiB } });
	expect(volume.body.nodeId).toBe(secondNodeId);
	const volumeTask = harness.store.get("task", volume.taskLocation?.split("/").at(-1) ?? "");
	expect(volumeTask?.message).toBe("Placed on node-2: its pool has the most room.");
	const asked = { name: "here", nodeId: clusterIds.node };
	expect((await admin().call("vmCreate", { body: asked })).body.nodeId).toBe(clusterIds.node);
	const upload = { name: "disc", format: "iso", source: { kind: "upload" }, fileSizeBytes: 65_536 } as const;
	expect((await admin().call("imageCreate", { body: upload })).body.nodeId).toBe(clusterIds.node);
});

test("a clone stays where its source is", async () => {
	await second();
	const { body } = await admin().call("volumeCreate", {
		body: { name: "data", sizeBytes: GiB, nodeId: clusterIds.node },
	});
	await propose({ kind: "volumeStatus", id: body.id, phase: "ready", sizeBytes: GiB });
	const clone = await admin().call("volumeClone", { path: { id: body.id }, body: { name: "copy" } });
	expect(clone.body.nodeId).toBe(clusterIds.node);
});

test("a node without VMs, because nothing fits on it, is named with the reason", async () => {
	await second({ ...roomy, phase: "maintenance" });
	const asked = admin().call("vmCreate", { body: { name: "large", memoryBytes: 32 * GiB } });
	await expect(asked).rejects.toMatchObject({
		code: "wrong-state",
		message: "The VM fits on no node: node-1 has 4 GiB of memory, and 32 GiB are wanted; node-2 is maintenance.",
	});
});

test("whoever says that a node is off is told when it answers, or did so a moment ago: it may run the VM", async () => {
	await second();
	const id = await stoppedVm();
	const { cluster } = harness;
	const member = fixtureMember({ nodeId: clusterIds.node, role: "follower" });
	const seen = (changes: Partial<ClusterMember>) => {
		cluster.current = { ...cluster.current, members: [{ ...member, ...changes }] };
	};
	const body = { nodeId: secondNodeId, confirmNodeOff: "node-1" };
	const confirm = () => admin().call("vmMove", { path: { id }, body });
	// As a node says it of itself when libvirt is away.
	const status = { ...fixtureNode().status, phase: "not-ready", hypervisor: "disconnected" } as const;
	await propose({ kind: "nodeStatus", id: clusterIds.node, status });
	for (const changes of [{}, { reachable: false, latencyMs: 0.4 }]) {
		seen(changes);
		await expect(confirm()).rejects.toMatchObject({
			code: "wrong-state",
			message: "node-1 is not off: it answers, and web may run there. Switch the host off first.",
		});
	}
	seen({ reachable: false });
	// Whoever hears it.
	cluster.heardBy.set(clusterIds.node, "node-3");
	await expect(confirm()).rejects.toMatchObject({
		code: "wrong-state",
		message: "node-1 is not off: it answers node-3, and web may run there. Switch the host off first.",
	});
	cluster.heardBy.clear();
	await expect(confirm()).rejects.toMatchObject({
		code: "wrong-state",
		message: expect.stringContaining("it was heard of a moment ago"),
	});
	await propose({ kind: "nodeLost", id: clusterIds.node, reason: "not heard of", lost: true });
	expect((await confirm()).body).toMatchObject({ kind: "vm.move", state: "succeeded" });
});

test("while a member is too old to know who is lost, what is seen here decides", async () => {
	await second();
	const id = await stoppedVm();
	harness.cluster.missing.set("runs-once-1", ["node-2"]);
	harness.cluster.current = {
		...harness.cluster.current,
		members: [fixtureMember({ reachable: false })],
	};
	await propose({ kind: "nodeLost", id: clusterIds.node, reason: "not heard of" });
	const body = { nodeId: secondNodeId, confirmNodeOff: "node-1" };
	expect((await admin().call("vmMove", { path: { id }, body })).body).toMatchObject({ state: "succeeded" });
});

test("nor is a node off that was removed and asks to be let in", async () => {
	await second();
	const id = await stoppedVm();
	harness.cluster.current = { ...harness.cluster.current, members: [fixtureMember({ reachable: false })] };
	await propose({ kind: "nodeRemove", id: clusterIds.node, leaving: false, confirmName: "node-1" });
	const body = { nodeId: secondNodeId, confirmNodeOff: "node-1" };
	const confirm = () => admin().call("vmMove", { path: { id }, body });
	harness.cluster.heardBy.set(clusterIds.node, "node-2");
	await expect(confirm()).rejects.toMatchObject({
		code: "wrong-state",
		message: expect.stringContaining(
			"it asks node-2 to be let in, and web may run there. Let it join again, or switch the host off first.",
		),
	});
	harness.cluster.heardBy.clear();
	expect((await confirm()).body).toMatchObject({ state: "succeeded" });
});
