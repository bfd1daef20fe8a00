/** A VM that somebody starts with libvirt's own tools while it is copied to another node: what its guest wrote is not lost. */
import { expect, test } from "bun:test";
import { askToMove, contentOf, expectAt, type Pair, pair, stoppedVm } from "../testing/node/moving.ts";
import { secondNodeId } from "../testing/node/second-node.ts";
import { bytes } from "../testing/node/storage-deeds.ts";

/** Its first disk is copied, and its second is about to be. */
async function halfWay(nodes: Pair) {
	const { second } = nodes;
	const made = await stoppedVm(nodes);
	const taskId = await askToMove(nodes, made.id);
	await second.until(() => second.driver.calls.filter((call) => call === "receiveVolume").length === 1);
	const release = second.driver.hold("receiveVolume");
	await second.until(() => second.driver.calls.filter((call) => call === "receiveVolume").length === 2);
	return { ...made, taskId, release };
}

/** With virsh: nobody here was asked. */
async function startAndStop({ first }: Pair, id: string, volumeId: string): Promise<void> {
	await first.hypervisor.start(id, { paused: false });
	await first.settleLoops();
	first.driver.writeContent(volumeId, 8192, bytes.slice(0, 5000));
	await first.hypervisor.destroy(id);
	await first.settleLoops();
}

test("a disk that was copied already is copied again when the guest has written to it", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const { id, volumeIds, taskId, release } = await halfWay(nodes);
	const before = contentOf(first, volumeIds[0] ?? "");
	await startAndStop(nodes, id, volumeIds[0] ?? "");
	const written = volumeIds.map((volumeId) => contentOf(first, volumeId));
	expect(written[0]).not.toBe(before ?? "");
	release();
	await first.settle();
	expect(first.taskOf(taskId).state).toBe("succeeded");
	await expectAt(second, first, id, volumeIds);
	expect(volumeIds.map((volumeId) => contentOf(second, volumeId))).toEqual(written);
	expect(second.driver.calls.filter((call) => call === "receiveVolume")).toHaveLength(3);
});

test("also when the node that copies is restarted in between", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const { id, volumeIds, taskId } = await halfWay(nodes);
	second.kill();
	await startAndStop(nodes, id, volumeIds[0] ?? "");
	const written = volumeIds.map((volumeId) => contentOf(first, volumeId));
	await second.boot();
	await first.settle({ stepMs: 5_000, limitMs: 120_000 });
	expect(first.taskOf(taskId).state).toBe("succeeded");
	await expectAt(second, first, id, volumeIds);
	expect(volumeIds.map((volumeId) => contentOf(second, volumeId))).toEqual(written);
});

test("a guest that runs when all is copied keeps the VM where it is", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const { id, volumeIds, taskId, release } = await halfWay(nodes);
	// Its node does not hear of it.
	await first.hypervisor.start(id, { paused: false });
	release();
	await first.settle();
	expect(first.taskOf(taskId)).toMatchObject({ state: "failed", error: { code: "wrong-state" } });
	expect(first.vm(id).nodeId).toBe(first.nodeId);
	expect([...first.pool.volumes.keys()].sort()).toEqual([...volumeIds].sort());
	expect([...second.pool.volumes.keys()]).toEqual([]);
	expect((await first.hypervisor.getDomain(id))?.powerState).toBe("running");
});

test("a disk that changes each time is given up, and the VM stays", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const { id } = await stoppedVm(nodes);
	const readVolume = first.driver.readVolume.bind(first.driver);
	let reads = 0;
	first.driver.readVolume = async (volumeId, options) => {
		const content = await readVolume(volumeId, options);
		first.driver.writeContent(volumeId, 0, new Uint8Array(100).fill(++reads));
		return content;
	};
	const taskId = await askToMove(nodes, id);
	await first.settle();
	expect(first.taskOf(taskId)).toMatchObject({
		state: "failed",
		error: { code: "in-use", message: expect.stringContaining("written to again and again") },
	});
	expect(reads).toBeLessThan(20);
	expect(first.vm(id).nodeId).toBe(first.nodeId);
	expect([...second.pool.volumes.keys()]).toEqual([]);
});

test("a node of before does not say whether its disks have changed: it is believed", async () => {
	await using nodes = await pair();
	const { first, second } = nodes;
	const { id, volumeIds } = await stoppedVm(nodes);
	const sources = first.node?.sources;
	if (!sources) throw new Error("the first node does not run");
	const diskSizes = sources.diskSizes.bind(sources);
	sources.diskSizes = async (...asked) =>
		(await diskSizes(...asked)).map(({ volumeId, bytes: length }) => ({ volumeId, bytes: length }));
	const taskId = await askToMove(nodes, id);
	await first.settle();
	expect(first.taskOf(taskId).state).toBe("succeeded");
	expect(first.vm(id).nodeId).toBe(secondNodeId);
	await expectAt(second, first, id, volumeIds);
});
