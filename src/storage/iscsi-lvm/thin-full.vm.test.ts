/** A thin pool that runs full, of data and of metadata, on a real target in the storage lab VM: nothing half done, nothing lost. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import {
	type LabLuns,
	labLuns,
	limit,
	lunDevices,
	nodeId,
	wwidOf,
} from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import type { IscsiLvmDriver } from "./driver.ts";
import { Lvm } from "./lvm.ts";
import { groupName, thinPoolName } from "./names.ts";
import { ThinPool } from "./thin-pool.ts";

let lab: LabLuns;
const poolId = newId();
let driver: IscsiLvmDriver;
beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [600 * MiB] });
	driver = lab.driver(poolId, { layout: "thin", hostIds: { [nodeId]: 1 } });
	await driver.activate();
}, 60_000);
afterAll(() => lab.close(), 60_000);

const raw = (sizeMiB: number) => ({ format: "raw", sizeBytes: sizeMiB * MiB }) as const;
const empty = { kind: "empty" } as const;

/** Open, with something at its beginning. */
async function makeVolume(sizeMiB: number, content: Uint8Array): Promise<string> {
	const id = newId();
	await driver.createVolume(id, { ...raw(sizeMiB), source: empty });
	await driver.openVolume(id);
	if (content.length > 0) await writeDisk(driver, id, 0, content);
	return id;
}

/** As QEMU writes: past the page cache. What `dd` said when it could not go on; "" when all was written. */
async function write(id: string, { atMiB, countMiB }: { atMiB: number; countMiB: number }): Promise<string> {
	const to = [`of=${sourceName((await driver.attachInfo(id)).source)}`, "oflag=direct", `seek=${atMiB}`];
	const args = ["if=/dev/urandom", ...to, "iflag=fullblock", "bs=1M", `count=${countMiB}`];
	const { stderr, exitCode } = await run("dd", args, { timeoutMs: 240_000, okExitCodes: [0, 1] });
	return exitCode === 0 ? "" : stderr;
}

test("a full pool: a write fails at once, everything ends with no-space and leaves nothing, and it goes on when there is room", async () => {
	const image = await makeImage(driver, pattern(16 * MiB));
	const kept = await makeVolume(32, pattern(12 * MiB, 3));
	const filler = await makeVolume(64, new Uint8Array(0));
	expect(await write(filler, { atMiB: 0, countMiB: 48 })).toBe("");
	const guest = await makeVolume(2048, pattern(MiB, 7));
	expect(await write(guest, { atMiB: 1, countMiB: 1024 })).toContain("No space left on device");
	expect((await driver.check()).availableBytes).toBeLessThan(2 * MiB);

	const big = join(lab.folder, "big.img");
	await writeFile(big, pattern(16 * MiB));
	const state = async () => ({
		volumes: (await driver.listVolumes()).map(({ id }) => id).sort(),
		lvs: await lab.lvNames(poolId),
	});
	const before = await state();
	const copy = (source: Parameters<IscsiLvmDriver["createVolume"]>[1]["source"]) =>
		driver.createVolume(newId(), { ...raw(64), source });
	await driver.closeVolume(kept);
	// Not even a volume can be made; then there is room for one, and for a part of what goes into it.
	for (const roomMiB of [0, 4]) {
		const path = sourceName((await driver.attachInfo(filler)).source);
		if (roomMiB > 0) await run("blkdiscard", ["--length", `${roomMiB * MiB}`, "--", path], limit);
		await fails("no-space", copy({ kind: "image", id: image, fullCopy: true }));
		await fails("no-space", copy({ kind: "volume", id: kept, fullCopy: true }));
		const stream = new Blob([new Uint8Array(pattern(8 * MiB))]).stream();
		await fails("no-space", driver.receiveVolume(newId(), { format: "raw", sizeBytes: 8 * MiB, stream }, {}));
		// An upload grows in a folder of the node, and goes into the pool when it is whole.
		const imported = newId();
		await driver.importFile(imported, big, {});
		await fails("no-space", driver.finishImage(imported, { format: "raw", sha256: null }));
		await driver.deleteImage(imported);
		expect(await state()).toEqual(before);
	}

	await driver.closeVolume(filler);
	await driver.deleteVolume(filler);
	expect(await write(guest, { atMiB: 1, countMiB: 16 })).toBe("");
	await copy({ kind: "volume", id: kept, fullCopy: true });
	expectSame((await diskContent(driver, kept)).subarray(0, 12 * MiB), pattern(12 * MiB, 3));
	// The disk is larger than the memory of this machine.
	const first = join(lab.folder, "first");
	const from = sourceName((await driver.attachInfo(guest)).source);
	await run("dd", [`if=${from}`, "iflag=direct", `of=${first}`, "bs=1M", "count=1"], limit);
	expectSame(await readFile(first), pattern(MiB, 7));
	await driver.closeVolume(guest);
}, 400_000);

test("metadata that fills up is made larger, out of what the group has left", async () => {
	const lvm = new Lvm({ nodeId, hostId: null, folder: null });
	const call = { devices: await lunDevices(wwidOf(1)) };
	const group = groupName(poolId);
	expect(await new ThinPool({ lvm, group }).growMetadata(call)).toBe(false);
	const bytes = async () => {
		const json = await lvm.report("lvs", "lv_metadata_size", [`${group}/${thinPoolName}`], call);
		return Number(/"lv_metadata_size":"(\d+)"/.exec(json)?.[1]);
	};
	const before = await bytes();
	const eager = new ThinPool({ lvm, group, growAbovePercent: 0 });
	expect(await eager.growMetadata(call)).toBe(true);
	expect((await bytes()) - before).toBe(4 * MiB);
	for (let times = 0; times < 20; times++) if (!(await eager.growMetadata(call).catch(() => false))) break;
	await fails("no-space", eager.growMetadata(call));
	expect((await driver.check()).warning).toBeUndefined();
}, 120_000);
