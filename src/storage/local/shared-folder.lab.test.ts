/** Two nodes at work in one pool at the same time: each has a driver on the same folder. */
import { expect, test } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { diskContent, expectSame, fails, newId, pattern } from "../conformance.ts";
import type { LocalDriverOptions } from "./driver.ts";
import { localDriver, openLocal, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

const [here, there] = [newId(), newId()];
const empty = { kind: "empty" } as const;
const qcow2 = { format: "qcow2", sizeBytes: MiB, source: empty } as const;

async function setUp() {
	const folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const open = (sharedBy: string, more: Partial<LocalDriverOptions> = {}) => openLocal(root, { ...more, sharedBy });
	const hidden = async () => (await readdir(join(root, "volumes"))).filter((name) => name.startsWith("."));
	return { open, root, hidden, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** Keeps what stopped for ever from being collected. */
const stopped: (() => void)[] = [];

/** A step at which the first to come waits; `goOn` lets it. */
function gate(name: string) {
	const reached = Promise.withResolvers<void>();
	const passing = Promise.withResolvers<void>();
	stopped.push(passing.resolve);
	const onStep = (step: string) => {
		if (step !== name) return;
		reached.resolve();
		return passing.promise;
	};
	return { onStep, reached: reached.promise, goOn: () => passing.resolve() };
}

test("nodes that begin a pool at the same moment all have it", async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	for (let round = 0; round < 8; round++) {
		const path = `${root}-${round}`;
		const drivers = Array.from({ length: 4 }, () => localDriver(path, { sharedBy: newId() }));
		await Promise.all(drivers.map((driver) => driver.activate()));
		const id = newId();
		await drivers[0]?.createVolume(id, qcow2);
		expect((await drivers[3]?.getVolume(id))?.id).toBe(id);
	}
});

test("no pool begins inside of another one, also of one that is empty; those that are there go on", async () => {
	await using folder = await temporaryFolder();
	const outer = await openLocal(join(folder.path, "outer"), { sharedBy: here });
	for (const inside of ["volumes", "volumes/deeper", "beside"]) {
		const inner = localDriver(join(folder.path, "outer", inside), { sharedBy: here, poolId: newId() });
		expect(await fails("in-use", inner.probe())).toContain("which is a storage pool");
		await fails("in-use", inner.activate());
	}
	expect((await readdir(join(folder.path, "outer"))).includes("beside")).toBe(false);
	expect(await outer.listVolumes()).toEqual([]);
	await outer.remove();
	const poolId = newId();
	const inner = await openLocal(join(folder.path, "outer/volumes"), { sharedBy: here, poolId });
	await fails("wrong-state", localDriver(join(folder.path, "outer"), { sharedBy: here }).activate());
	// As one that was made before this was refused.
	await writeFile(join(folder.path, "outer/limiquantix-pool.json"), "{}");
	await openLocal(join(folder.path, "outer/volumes"), { sharedBy: there, poolId, mayInitialize: false });
	await inner.check();
});

test("a node that starts takes nothing from one that works", async () => {
	await using setting = await setUp();
	const making = gate("make the disk");
	const working = await setting.open(here, { onStep: making.onStep });
	const id = newId();
	const created = working.createVolume(id, qcow2);
	await making.reached;
	const other = await setting.open(there);
	await other.createVolume(newId(), qcow2);
	making.goOn();
	expect((await created).id).toBe(id);

	// A new layer that no record names yet is the other node's.
	const layering = gate("sync the new layer");
	const layers = await setting.open(here, { onStep: layering.onStep });
	await writeDisk(layers, id, 0, pattern(65_536));
	const snapshot = newId();
	const taken = layers.snapshots.take(id, snapshot, { running: false });
	await layering.reached;
	await setting.open(there);
	layering.goOn();
	await taken;
	expectSame((await diskContent(await setting.open(there), id)).subarray(0, 65_536), pattern(65_536));
	expect(await setting.hidden()).toEqual([]);
});

test("what a node left half done is its own to tidy up", async () => {
	await using setting = await setUp();
	const { root, open, hidden } = setting;
	const [volume, other] = [newId(), newId()];
	const first = await open(here);
	for (const id of [volume, other]) await first.createVolume(id, qcow2);
	await writeDisk(first, volume, 0, pattern(65_536));
	const end = async (step: string, work: (driver: Awaited<ReturnType<typeof open>>) => Promise<unknown>) => {
		const at = gate(step);
		void work(await open(here, { onStep: at.onStep }));
		await at.reached;
	};
	await end("make the disk", (driver) => driver.createVolume(newId(), qcow2));
	await end("remove the folder", (driver) => driver.deleteVolume(other));
	await end("sync the new layer", (driver) => driver.snapshots.take(volume, newId(), { running: false }));
	const left = await hidden();
	// The first of them was tidied up by the daemons of the same node that came after it.
	expect(left.map((name) => name.replace(/[0-9a-f]{24}$/, "…"))).toContain(`.work-${here}-${volume}`);
	await open(there);
	expect(await hidden()).toEqual(left);
	expect(await readdir(join(root, "volumes", volume))).toHaveLength(3);
	await open(here);
	expect(await hidden()).toEqual([]);
	expect((await readdir(join(root, "volumes", volume))).sort()).toEqual(["disk-1.qcow2", "record.json"]);
});

test("a volume of a node that is gone for good is tidied up by who gets it", async () => {
	await using setting = await setUp();
	const { root, open, hidden } = setting;
	const id = newId();
	const first = await open(here);
	await first.createVolume(id, qcow2);
	const [one, two] = [newId(), newId()];
	await writeDisk(first, id, 0, pattern(65_536));
	await first.snapshots.take(id, one, { running: false });
	await writeDisk(first, id, 0, pattern(65_536, 2));
	await first.snapshots.take(id, two, { running: false });
	await writeDisk(first, id, 0, pattern(65_536, 3));
	const at = gate("make the merged layer read-only");
	void (await open(here, { onStep: at.onStep })).snapshots.delete(id, one, {});
	await at.reached;
	const next = await open(there);
	expect(await hidden()).toHaveLength(1);
	await next.snapshots.take(id, newId(), { running: false });
	expect(await hidden()).toEqual([]);
	expectSame((await diskContent(next, id)).subarray(0, 65_536), pattern(65_536, 3));
	await next.snapshots.revert(id, two);
	expectSame((await diskContent(next, id)).subarray(0, 65_536), pattern(65_536, 2));
	expect(await readdir(join(root, "volumes", id))).not.toContain("record.json.new");
});
