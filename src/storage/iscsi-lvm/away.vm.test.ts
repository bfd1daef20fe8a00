/** A pool of one portal whose target is away for a while, or is at another address afterwards, while its settings are to be changed. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { type FileHandle, open } from "node:fs/promises";
import { AppError, isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import {
	type LabLuns,
	labLuns,
	limit,
	lunDevices,
	nodeId,
	sessionCount,
	wwidOf,
} from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import type { IscsiLvmDriver } from "./driver.ts";
import { lvmConfig } from "./lvm.ts";
import { groupName, mapperName } from "./names.ts";

const [here, there] = ["10.88.0.2", "10.88.0.3"] as const;
const at = (portal: string, more: Parameters<LabLuns["driver"]>[1] = {}) => ({ portals: [portal], ...more });
let lab: LabLuns;
beforeAll(async () => {
	lab = await labLuns({ portals: [here, there], sizes: [GiB] });
}, 90_000);
afterEach(() => lab.server.admit(), 10_000);
afterAll(() => lab.close(), 90_000);

/** Devices of device-mapper that the pool's group has. */
async function mapped(poolId: string): Promise<string[]> {
	const { stdout } = await run("dmsetup", ["ls"], limit);
	const prefix = mapperName(groupName(poolId), "");
	return stdout.split("\n").flatMap((line) => (line.startsWith(prefix) ? [line.slice(prefix.length)] : []));
}
const isDead = (driver: IscsiLvmDriver) =>
	waitUntil("the pool to be away", 60_000, async () => {
		const error = await driver.check().catch((failure) => failure);
		return error?.context?.health === "unmounted";
	});
/** A look at the size of the LUN may be at it still, and hangs with the LUN for a while. */
const isBusy = (error: unknown) => error instanceof AppError && error.message === "The pool is busy.";
const refusesToLetGo = (driver: IscsiLvmDriver) =>
	waitUntil("a refusal", 90_000, async () => {
		const error = await driver.deactivate().catch((failure) => failure);
		if (isBusy(error)) return undefined;
		expect(error).toMatchObject({ code: "in-use" });
		return error.message as string;
	});
/** What has a disk open for a moment is waited for: udev looks at one that was open for writing, and at a dead one for 20 s. */
const onceUnused = (what: string, work: () => Promise<void>) =>
	waitUntil(what, 90_000, () =>
		work().then(
			() => true,
			(error) => {
				if (!isAppError(error, "in-use")) throw error;
			},
		),
	);
const letGo = (driver: IscsiLvmDriver) => onceUnused("the pool to be let go of", () => driver.deactivate());
const works = (driver: IscsiLvmDriver) =>
	waitUntil("the pool to work", 120_000, () =>
		driver
			.check()
			.then(
				() => true,
				() => driver.activate().then(() => undefined),
			)
			.catch(() => undefined),
	);
/** A volume with something in it that a process has open, as QEMU has. */
async function opened(driver: IscsiLvmDriver): Promise<{ id: string; path: string; disk: FileHandle }> {
	const id = newId();
	await driver.createVolume(id, { format: "raw", sizeBytes: 8 * MiB, source: { kind: "empty" } });
	await driver.openVolume(id);
	await writeDisk(driver, id, 0, pattern(65_536));
	const path = sourceName((await driver.attachInfo(id)).source);
	return { id, path, disk: await open(path, "r+") };
}

for (const layout of ["thick", "thin"] as const)
	test(`nothing of a group is activated by the events of the host, nor by LVM's command for that: ${layout}`, async () => {
		const poolId = newId();
		const driver = lab.driver(poolId, at(here, { layout }));
		await driver.activate();
		const id = newId();
		await driver.createVolume(id, { format: "raw", sizeBytes: 8 * MiB, source: { kind: "empty" } });
		const before = await mapped(poolId);
		const [device = ""] = await lunDevices(wwidOf(1));
		const only = ["--devices", device];
		// As the host is set, and as the node that the group belongs to: then only the flag of the group holds it back.
		for (const as of [[], ["--config", lvmConfig({ nodeId, hostId: null })]])
			for (const command of [
				["vgchange", ...only, ...as, "-aay"],
				["vgchange", ...only, ...as, "-aay", groupName(poolId)],
				["pvscan", ...only, ...as, "--cache", "-aay", device],
			])
				await run("lvm", command, { ...limit, okExitCodes: [0, 5] });
		await run("udevadm", ["trigger", "--action=add", "--settle", device], limit);
		expect(await mapped(poolId)).toEqual(before);
		await driver.openVolume(id);
		expect((await mapped(poolId)).length).toBe(before.length + 1);
		await driver.closeVolume(id);
		await driver.deleteVolume(id);
		await driver.remove();
	}, 120_000);

test("what is open stays on a LUN that is away, and goes on when it is back; stopped meanwhile, the pool is let go of", async () => {
	const poolId = newId();
	const driver = lab.driver(poolId, at(here));
	await driver.activate();
	const { id, path, disk } = await opened(driver);
	await lab.server.drop(here);
	await isDead(driver);
	expect(await refusesToLetGo(driver)).toBe("A process on this node has disks of the pool open.");
	expect(await sessionCount()).toBe(1);
	await lab.server.admit();
	await works(driver);
	await run(
		"dd",
		["if=/dev/zero", `of=${path}`, "bs=4096", "count=1", "seek=64", "oflag=direct", "conv=notrunc"],
		limit,
	);

	await lab.server.drop(here);
	await isDead(driver);
	await disk.close();
	await letGo(driver);
	expect([await mapped(poolId), await sessionCount()]).toEqual([[], 0]);
	await lab.server.admit();
	const again = lab.driver(poolId, at(here), { wasReady: true });
	await again.activate();
	expectSame((await diskContent(again, id)).subarray(0, 65_536), pattern(65_536));
	await again.deleteVolume(id);
	await again.remove();
}, 400_000);

test("a thin pool, which is active always, is let go of while its LUN is away and nothing of it is open", async () => {
	const poolId = newId();
	const driver = lab.driver(poolId, at(here, { layout: "thin" }));
	await driver.activate();
	const { id, disk } = await opened(driver);
	await lab.server.drop(here);
	await isDead(driver);
	await refusesToLetGo(driver);
	expect((await mapped(poolId)).length).toBeGreaterThan(3);
	await disk.close();
	await letGo(driver);
	expect([await mapped(poolId), await sessionCount()]).toEqual([[], 0]);
	await lab.server.admit();
	const again = lab.driver(poolId, at(here, { layout: "thin" }), { wasReady: true });
	await again.activate();
	expectSame((await diskContent(again, id)).subarray(0, 65_536), pattern(65_536));
	await again.deleteVolume(id);
	await again.remove();
}, 400_000);

for (const inUse of [false, true])
	test(`a target that has moved is found at its new address, where multipathd does not run; in use meanwhile: ${inUse}`, async () => {
		const poolId = newId();
		const before = lab.driver(poolId, at(here));
		await before.activate();
		const { id, disk } = await opened(before);
		if (!inUse) {
			await disk.close();
			await before.closeVolume(id);
		}
		await lab.server.drop(here);
		await isDead(before);
		const now = lab.driver(poolId, at(there), { wasReady: true });
		// The pool is changed only when this works.
		expect((await now.probe()).totalBytes).toBeGreaterThan(0);
		if (inUse) {
			await refusesToLetGo(before);
			await disk.close();
			// By the way that the try has found.
			await works(before);
			await onceUnused("the volume to be closed", () => before.closeVolume(id));
		}
		await letGo(before);
		await now.activate();
		expect(await sessionCount()).toBe(1);
		expect((await now.check()).warning).toBeUndefined();
		expectSame((await diskContent(now, id)).subarray(0, 65_536), pattern(65_536));
		await now.deleteVolume(id);
		await now.remove();
		expect(await sessionCount()).toBe(0);
	}, 400_000);
