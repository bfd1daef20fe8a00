/** Copies are made to stand alone by the node: off or running, called off, cut short, refused by the pool. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { remove } from "../testing/node/storage-deeds.ts";
import { intervals } from "./limits.ts";

async function world(): Promise<NodeWorld & AsyncDisposable> {
	const made = await NodeWorld.open();
	await made.boot();
	await made.settle();
	return made;
}

/** A copy of a volume, and a VM that has it. */
async function vmOnCopy(of: NodeWorld, start: boolean) {
	const base = (await of.createVolume({ sizeBytes: 2 * MiB })).id;
	await of.settle();
	of.driver.writeContent(base, 0, new Uint8Array(4096).fill(7));
	const source = { kind: "clone", volumeId: base, fullCopy: false } as const;
	const vm = await of.createVm({ volumes: [{ sizeBytes: 2 * MiB, source }], start });
	await of.settle();
	return { base, copy: vm.volumeIds[0] ?? "", vmId: vm.id };
}

async function ask(of: NodeWorld, id: string): Promise<string> {
	const task = of.task("volume.flatten", id);
	await of.propose({ kind: "volumeFlatten", id, task });
	return task.id;
}

test("the copy depends on nothing, and what it was made of is deleted", async () => {
	await using it = await world();
	const { base, copy, vmId } = await vmOnCopy(it, false);
	expect(it.volume(copy).allocatedBytes).toBe(0);
	const content = it.pool.volumes.get(copy)?.content.sha256();
	const task = await ask(it, copy);
	await it.settle();
	expect(it.taskOf(task)).toMatchObject({ state: "succeeded", message: expect.stringContaining("depends on nothing") });
	expect(it.volume(copy)).toMatchObject({ source: { fullCopy: true }, allocatedBytes: 4096, phase: "ready" });
	await it.act("vm.start", vmId);
	await it.settle();
	await remove(it, "volume", base);
	expect(it.pool.volumes.has(base)).toBe(false);
	expect(it.pool.volumes.get(copy)?.content.sha256()).toBe(content);
	expect(await it.problems()).toEqual([]);
});

test("while its VM runs: where the pool can, and nowhere else", async () => {
	await using it = await world();
	const { copy } = await vmOnCopy(it, true);
	await expect(ask(it, copy)).rejects.toMatchObject({ code: "wrong-state" });
	delete it.driver.capabilities.reasons.flattenOnline;
	it.pool.isHeld = () => false;
	it.clock.advance(intervals.poolCheckMs + 1);
	await it.settleLoops();
	const task = await ask(it, copy);
	await it.settle();
	expect(it.taskOf(task).state).toBe("succeeded");
	expect(it.volume(copy).source).toMatchObject({ fullCopy: true });
});

test("called off or failed, it depends on what it did; asked for again, it is done", async () => {
	await using it = await world();
	const { base, copy } = await vmOnCopy(it, false);
	const release = it.driver.hold("flattenVolume");
	const first = await ask(it, copy);
	await it.until(() => it.driver.calls.includes("flattenVolume"));
	await it.propose({ kind: "taskCancel", id: first });
	await it.settle();
	release();
	expect(it.taskOf(first).state).toBe("canceled");
	it.driver.failNext("flattenVolume", new AppError("no-space", "There is no space left in the storage pool."));
	const second = await ask(it, copy);
	await it.settle();
	expect(it.taskOf(second)).toMatchObject({ state: "failed", error: { code: "no-space" } });
	expect(it.volume(copy)).toMatchObject({ source: { fullCopy: false }, phase: "ready" });
	expect(it.pool.volumes.get(copy)?.backing.map(({ id }) => id)).toEqual([base]);
	const third = await ask(it, copy);
	await it.settle();
	expect(it.taskOf(third).state).toBe("succeeded");
});

test("a node that ends in between goes on with it after its start", async () => {
	await using it = await world();
	const { copy } = await vmOnCopy(it, false);
	const release = it.driver.hold("flattenVolume");
	const task = await ask(it, copy);
	await it.until(() => it.driver.calls.includes("flattenVolume"));
	it.kill();
	release();
	await it.boot();
	await it.settle();
	expect(it.taskOf(task).state).toBe("succeeded");
	expect(it.volume(copy).source).toMatchObject({ fullCopy: true });
	expect(it.pool.volumes.get(copy)?.backing).toEqual([]);
});

test("without room for what it shares, nothing is begun", async () => {
	await using it = await world();
	const { copy } = await vmOnCopy(it, false);
	const { totalBytes } = it.pool;
	it.pool.totalBytes = it.pool.usedBytes() + 4095;
	const refused = await ask(it, copy);
	await it.settle();
	expect(it.taskOf(refused)).toMatchObject({
		state: "failed",
		error: { code: "no-space", message: expect.stringContaining("no room for what volume") },
	});
	expect(it.driver.calls).not.toContain("flattenVolume");
	it.pool.totalBytes = totalBytes;
	const done = await ask(it, copy);
	await it.settle();
	expect(it.taskOf(done).state).toBe("succeeded");
});

test("what was copied by one that was called off, or failed, is said", async () => {
	await using it = await world();
	const { copy } = await vmOnCopy(it, false);
	const cutShort = async (end: (task: string, release: () => void) => Promise<void>, position: number) => {
		const release = it.driver.hold("flattenVolume");
		const seen = it.driver.calls.length;
		const task = await ask(it, copy);
		await it.until(() => it.driver.calls.slice(seen).includes("flattenVolume"));
		it.driver.writeContent(copy, position, new Uint8Array(4096).fill(9));
		await end(task, release);
		await it.settle();
		return it.taskOf(task);
	};
	const canceled = await cutShort(async (id, release) => {
		await it.propose({ kind: "taskCancel", id });
		await it.settle();
		release();
	}, 0);
	const stays = "stays in the volume and takes 4 KiB";
	expect(canceled).toMatchObject({ state: "canceled", message: expect.stringContaining(stays) });
	it.driver.failNext("flattenVolume", new AppError("no-space", "There is no space left in the storage pool."));
	const failed = await cutShort(async (_id, release) => release(), 8192);
	expect(failed).toMatchObject({
		state: "failed",
		error: { code: "no-space", message: expect.stringContaining(stays) },
	});
});
