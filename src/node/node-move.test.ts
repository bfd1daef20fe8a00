/** VMs that move from one simulated node to another: everything comes along, nothing stays behind, whatever goes wrong. */
import { expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { clusterIds } from "../testing/fixtures.ts";
import { askToMove, contentOf, expectAt, pair, stoppedVm } from "../testing/node/moving.ts";
import { secondNodeId } from "../testing/node/second-node.ts";
import { bytes, readyImage, remove } from "../testing/node/storage-deeds.ts";
import { worldVmState } from "../testing/node/world-deps.ts";
import type { NodeDeps } from "./context.ts";

test("a VM that is off moves with its disks, its UEFI variables and its TPM, and starts there", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	const before = volumeIds.map((volumeId) => contentOf(first, volumeId));
	const taskId = await askToMove(both, id);
	await first.settle();
	expect(first.taskOf(taskId)).toMatchObject({ state: "succeeded", message: "Moved from node-1 to node-2." });
	await expectAt(second, first, id, volumeIds);
	expect(volumeIds.map((volumeId) => contentOf(second, volumeId))).toEqual(before);
	const discards = first.store.all("task", { kind: "volume.discard" });
	expect(discards.map(({ state }) => state)).toEqual(["succeeded", "succeeded", "succeeded"]);
	await second.act("vm.start", id);
	await second.settle();
	expect(second.vm(id).status.powerState).toBe("running");
	expect((await second.hypervisor.getDomain(id))?.powerState).toBe("running");
	expect(await second.problems()).toEqual([]);
});

test("there and back again", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	const before = volumeIds.map((volumeId) => contentOf(first, volumeId));
	await askToMove(both, id);
	await first.settle();
	second.driver.writeContent(volumeIds[1] ?? "", 0, bytes.slice(0, 1000));
	const task = first.task("vm.move", id, { fromNodeId: secondNodeId });
	await first.propose({ kind: "vmMove", id, nodeId: clusterIds.node, task, confirmNodeOff: null });
	await first.settle();
	expect(first.taskOf(task.id).state).toBe("succeeded");
	await expectAt(first, second, id, volumeIds);
	expect(contentOf(first, volumeIds[0] ?? "")).toBe(before[0] ?? "");
	expect(contentOf(first, volumeIds[1] ?? "")).not.toBe(before[1] ?? "");
});

test("a copy-on-write disk arrives as one that stands alone, and its image can go", async () => {
	await using both = await pair();
	const { first, second } = both;
	const imageId = await readyImage(first);
	const source = { kind: "image", imageId, fullCopy: false } as const;
	const { id, volumeIds } = await first.createVm({ volumes: [{ source, sizeBytes: MiB }], start: false });
	await first.settle();
	await askToMove(both, id);
	await first.settle();
	const [volumeId = ""] = volumeIds;
	expect(second.pool.volumes.get(volumeId)).toMatchObject({ backing: [] });
	expect(second.pool.volumes.get(volumeId)?.content.read(0, bytes.length)).toEqual(bytes);
	expect(second.pool.images.size).toBe(0);
	const deleted = await remove(first, "image", imageId);
	expect(first.taskOf(deleted).state).toBe("succeeded");
});

test("a disc in a drive is copied to the new node", async () => {
	await using both = await pair();
	const { first, second } = both;
	const iso = new Uint8Array(64 * 1024);
	iso.set([1, ...new TextEncoder().encode("CD001"), 1], 32_768);
	first.pool.hostFiles.set("/images/a.iso", iso);
	const { id: imageId } = await first.createImage({ format: "iso", source: { kind: "path", path: "/images/a.iso" } });
	await first.settle();
	const { id } = await first.createVm({ spec: { cdroms: [{ id: "cdrom-0", imageId }] }, start: false });
	await first.settle();
	await askToMove(both, id);
	await first.settle();
	expect(second.vm(id).nodeId).toBe(secondNodeId);
	expect(second.pool.images.has(imageId)).toBe(true);
	expect(second.vm(id).status.differences).toEqual([]);
	await second.act("vm.start", id);
	await second.settle();
	expect(second.vm(id).status.powerState).toBe("running");
});

test("without room nothing is copied, and the VM stays", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both, "raw");
	second.pool.totalBytes = 1000;
	const taskId = await askToMove(both, id);
	await first.settle();
	expect(first.taskOf(taskId)).toMatchObject({
		state: "failed",
		error: { code: "no-space", message: expect.stringContaining('Pool "local" has') },
	});
	expect(second.driver.calls).not.toContain("receiveVolume");
	await expectAt(first, second, id, volumeIds);
});

test("what fails on the way leaves the VM where it was, whole, and nothing on the other node", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	const fail = {
		"the disk cannot be read": () => first.driver.failNext("readVolume", new AppError("storage", "Broken.")),
		"the disk cannot be written": () => second.driver.failNext("receiveVolume", new AppError("no-space", "Full.")),
		"the pool does not answer": () => second.driver.failNext("check", new AppError("storage", "Away.")),
	};
	for (const [why, prepare] of Object.entries(fail)) {
		prepare();
		const taskId = await askToMove(both, id);
		await first.settle();
		expect([why, first.taskOf(taskId).state]).toEqual([why, "failed"]);
		await expectAt(first, second, id, volumeIds);
	}
	const taskId = await askToMove(both, id);
	await first.settle();
	expect(first.taskOf(taskId).state).toBe("succeeded");
	await expectAt(second, first, id, volumeIds);
});

test("a move that is canceled is undone", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	const release = second.driver.hold("receiveVolume");
	const taskId = await askToMove(both, id);
	await second.until(() => second.driver.calls.includes("receiveVolume"));
	expect(first.taskOf(taskId)).toMatchObject({ state: "running", cancelable: true });
	await first.propose({ kind: "taskCancel", id: taskId });
	await first.settle();
	release();
	expect(first.taskOf(taskId).state).toBe("canceled");
	await expectAt(first, second, id, volumeIds);
	await first.act("vm.start", id);
	await first.settle();
	expect(first.vm(id).status.powerState).toBe("running");
});

test("a move that is called off after its node died leaves the VM where it is, and nothing there when that node is back", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	second.driver.hold("receiveVolume");
	const taskId = await askToMove(both, id);
	await second.until(() => second.driver.calls.includes("receiveVolume"));
	second.kill();
	await first.propose({ kind: "nodeLost", id: secondNodeId, reason: "not heard of", lost: true });
	await first.propose({ kind: "taskCancel", id: taskId, endIfLost: true });
	expect(first.taskOf(taskId).state).toBe("canceled");
	await first.act("vm.start", id);
	await first.settleLoops(() => first.vm(id).status.powerState === "running");
	await second.boot();
	await first.settle();
	expect(first.vm(id).status.powerState).toBe("running");
	await expectAt(first, second, id, volumeIds);
});

test("a VM that is deleted while it moves is gone on both nodes", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id } = await stoppedVm(both);
	const release = second.driver.hold("receiveVolume");
	await askToMove(both, id);
	await second.until(() => second.driver.calls.includes("receiveVolume"));
	await first.deleteVm(id);
	await first.settle();
	release();
	await first.settle();
	for (const world of [first, second]) {
		expect([...world.pool.volumes.keys()]).toEqual([]);
		expect(await world.hypervisor.listDomains()).toEqual([]);
		expect((await worldVmState(world.dataDir).read(id)).map(({ part }) => part)).toEqual([]);
	}
	expect(first.store.get("vm", id)).toBeNull();
});

test("a VM that somebody started behind our back does not move", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	await first.hypervisor.start(id, { paused: false });
	const task = second.task("vm.move", id, { fromNodeId: clusterIds.node });
	const asked = second.propose({ kind: "vmMove", id, nodeId: secondNodeId, task, confirmNodeOff: null });
	await asked.then(
		() => first.settle(),
		() => {},
	);
	expect(first.store.get("task", task.id)?.state ?? "refused").not.toBe("succeeded");
	expect(first.vm(id).nodeId).toBe(clusterIds.node);
	expect([...first.pool.volumes.keys()].sort()).toEqual([...volumeIds].sort());
	expect([...second.pool.volumes.keys()]).toEqual([]);
});

test("another node gets nothing of a VM that does not move to it", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	const sources = first.node?.sources;
	const [volumeId = ""] = volumeIds;
	await expect(sources?.volume(secondNodeId, volumeId, {})).rejects.toMatchObject({ code: "forbidden" });
	await expect(sources?.vmState(secondNodeId, id)).rejects.toMatchObject({ code: "forbidden" });
	await expect(sources?.volume(secondNodeId, "../../etc/passwd", {})).rejects.toMatchObject({ code: "not-found" });
	const release = second.driver.hold("receiveVolume");
	await askToMove(both, id);
	await second.until(() => second.driver.calls.includes("receiveVolume"));
	await expect(sources?.volume("00000000-0000-7000-8000-000000000099", volumeId, {})).rejects.toMatchObject({
		code: "forbidden",
	});
	release();
	await first.settle();
	await expect(sources?.vmState(secondNodeId, id)).rejects.toMatchObject({ code: "forbidden" });
});

test("a pool that is away when the VM has left does not keep its disks: they go when it is back", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	first.driver.failNext("deleteVolume", new AppError("storage", "Away."));
	const taskId = await askToMove(both, id);
	await second.until(() => first.taskOf(taskId).state === "succeeded");
	await first.settleLoops();
	expect(first.unfinished().map(({ kind }) => kind)).toEqual(["volume.discard"]);
	await first.settle({ stepMs: 10_000, limitMs: 120_000 });
	await expectAt(second, first, id, volumeIds);
	expect(first.store.all("task", { kind: "volume.discard", state: "succeeded" })).toHaveLength(3);
});

test("an answer that was lost is found out: the VM is where the state says", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	const proposer = second.store as unknown as { proposer: NodeDeps["proposer"] };
	let lost = 0;
	await second.boot(null, {
		proposer: {
			propose: (body, meta) => proposer.proposer.propose(body, meta),
			async proposeSystem(body) {
				const applied = await proposer.proposer.proposeSystem(body);
				if (body.kind === "vmMoved" && lost++ === 0) throw new AppError("wrong-state", "An answer to something else.");
				return applied;
			},
		},
	});
	const taskId = await askToMove(both, id);
	await second.settle();
	expect([lost, first.taskOf(taskId).state]).toEqual([1, "succeeded"]);
	await expectAt(second, first, id, volumeIds);
});

test("no link is followed when a VM's state is read", async () => {
	await using both = await pair();
	const { first } = both;
	const { id } = await stoppedVm(both);
	const place = join(first.dataDir, "tpm", id, "tpm2", "tpm2-00.permall");
	const secret = join(first.dataDir, "secret");
	await writeFile(secret, "secret");
	await Bun.file(place).delete();
	await mkdir(place);
	await expect(worldVmState(first.dataDir).read(id)).rejects.toMatchObject({ code: "storage" });
});

test("what came back while it was still to be discarded stays", async () => {
	await using both = await pair();
	const { first, second } = both;
	const { id, volumeIds } = await stoppedVm(both);
	await askToMove(both, id);
	await second.until(() => second.vm(id).nodeId === secondNodeId);
	first.kill();
	await second.settleLoops();
	const waiting = second.unfinished().filter(({ kind }) => kind === "volume.discard");
	expect(waiting.length).toBeGreaterThan(0);
	// The way back is refused until then.
	const task = second.task("vm.move", id, { fromNodeId: secondNodeId });
	const back = second.propose({
		...{ kind: "vmMove", id, nodeId: clusterIds.node, confirmNodeOff: null },
		task: { ...task, nodeId: clusterIds.node },
	});
	await expect(back).rejects.toMatchObject({ code: "wrong-state" });
	await first.boot();
	await first.settle();
	await expectAt(second, first, id, volumeIds);
});
