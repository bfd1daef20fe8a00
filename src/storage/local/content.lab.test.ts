/** What lies in a pool of files, where somebody has made it hard to look: hostile names and things, huge folders, mounts, damage. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, readdir, readlink, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB, TiB } from "../../lib/units.ts";
import { fails, makeImage, newId, pattern } from "../conformance.ts";
import { maxContentEntries } from "../content.ts";
import type { StorageDriver } from "../driver.ts";
import { openLocal, poolId, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

// Thousands of files are made.
setDefaultTimeout(60_000);
const asRoot = process.getuid?.() === 0;
const whenRoot = asRoot ? test : test.skip;
const because = asRoot ? "" : " (skipped: needs root)";
const limit = { timeoutMs: 10_000 };
const empty = { kind: "empty" } as const;

async function entry(driver: StorageDriver, folder: string, name: string) {
	const { entries } = await driver.listContent(folder);
	return entries.find((one) => one.name === name);
}

/** Folders that this process has open. */
async function openFolders(below: string): Promise<string[]> {
	const found = [];
	for (const fd of await readdir("/proc/self/fd")) found.push(await readlink(`/proc/self/fd/${fd}`).catch(() => ""));
	return found.filter((path) => path.startsWith(below));
}

/** Processes that read a folder for us. */
async function readers(): Promise<string[]> {
	const found = [];
	for (const id of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
		const command = await Bun.file(`/proc/${id}/cmdline`)
			.text()
			.catch(() => "");
		if (command.startsWith(`find\0/proc/${process.pid}/fd/`)) found.push(id);
	}
	return found;
}

test("a folder of more names than are shown: the first, that there are more, and nothing stays open", async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const driver = await openLocal(root);
	const many = join(root, "many");
	await mkdir(many);
	const script = `for (let n = 0; n < ${maxContentEntries + 2000}; n++) require("fs").writeFileSync("${many}/" + n + "-" + "x".repeat(200), "")`;
	await run(process.execPath, ["-e", script], { timeoutMs: 60_000 });
	const { entries, truncated } = await driver.listContent("many");
	expect([entries.length, truncated]).toEqual([maxContentEntries, true]);
	expect(new Set(entries.map(({ name }) => name)).size).toBe(maxContentEntries);
	expect((await driver.listContent("many", { maxEntries: 1e9 })).entries).toHaveLength(maxContentEntries);
	const cut = await driver.listContent("many", { maxEntries: 5 });
	expect([cut.entries.length, cut.truncated]).toEqual([5, true]);
	await fails("canceled", driver.listContent("many", { signal: AbortSignal.abort() }));
	expect([await openFolders(root), await readers()]).toEqual([[], []]);
});

test("sizes and times, whatever they say; pipes and sockets are not opened", async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const driver = await openLocal(root);
	await writeFile(join(root, "sparse"), "x");
	await truncate(join(root, "sparse"), TiB);
	await writeFile(join(root, "dense"), pattern(MiB));
	await utimes(join(root, "dense"), new Date("2031-02-03T04:05:06Z"), new Date("2031-02-03T04:05:06Z"));
	await writeFile(join(root, "old"), "");
	await run("touch", ["--date=1901-12-14", join(root, "old")], limit);
	await run("mkfifo", [join(root, "pipe")], limit);
	expect(await entry(driver, "", "sparse")).toMatchObject({ kind: "file", sizeBytes: TiB });
	expect((await entry(driver, "", "sparse"))?.allocatedBytes).toBeLessThan(MiB);
	const dense = await entry(driver, "", "dense");
	expect(dense).toMatchObject({ sizeBytes: MiB, modifiedAt: "2031-02-03T04:05:06.000Z" });
	expect(dense?.allocatedBytes).toBeGreaterThanOrEqual(MiB);
	expect((await entry(driver, "", "old"))?.modifiedAt).toBeNull();
	expect(await entry(driver, "", "pipe")).toMatchObject({ kind: "other", sizeBytes: null });
	await fails("invalid", driver.listContent("pipe"));
});

test("the files of a volume: its disk, layers that are snapshots, what is damaged, what nobody names", async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const driver = await openLocal(root);
	const [id, snapshot, image] = [newId(), newId(), await makeImage(driver, pattern(MiB))];
	await driver.createVolume(id, { format: "qcow2", sizeBytes: 4 * MiB, source: empty });
	await writeDisk(driver, id, 0, pattern(MiB));
	await driver.snapshots?.take(id, snapshot, { running: false });
	await driver.resizeVolume(id, 8 * MiB);
	const inVolume = `volumes/${id}`;
	await writeFile(join(root, inVolume, "left.bin"), "?");
	expect(await entry(driver, "volumes", id)).toMatchObject({
		...{ kind: "folder", sizeBytes: 8 * MiB, belongsTo: { kind: "volume", id } },
	});
	expect((await entry(driver, "volumes", id))?.allocatedBytes).toBeGreaterThanOrEqual(MiB);
	expect((await driver.listContent(inVolume)).entries).toMatchObject([
		{ name: "disk-1.qcow2", sizeBytes: 4 * MiB, belongsTo: { kind: "snapshot", id: snapshot, volumeId: id } },
		{ name: "disk-2.qcow2", sizeBytes: 8 * MiB, belongsTo: { kind: "volume", id, volumeId: null } },
		{ name: "left.bin", sizeBytes: 1, belongsTo: null },
		{ name: "record.json", belongsTo: { kind: "volume", id } },
	]);
	expect(await entry(driver, "images", image)).toMatchObject({
		sizeBytes: MiB,
		belongsTo: { kind: "image", id: image },
	});

	for (const path of [`${inVolume}/record.json`, `images/${image}/record.json`])
		await writeFile(join(root, path), "{}");
	expect(await entry(driver, "volumes", id)).toMatchObject({ sizeBytes: null, belongsTo: { kind: "volume", id } });
	expect(await entry(driver, inVolume, "disk-2.qcow2")).toMatchObject({ belongsTo: null });
	expect(await entry(driver, "images", image)).toMatchObject({
		sizeBytes: null,
		belongsTo: { kind: "image", id: image },
	});
	const marks = [".tmp-0123", ".trash-0123", `.work-${newId()}-${id}`];
	for (const name of marks) await writeFile(join(root, "volumes", name), "");
	const owners = (await driver.listContent("volumes")).entries.filter(({ name }) => marks.includes(name));
	expect(owners.map(({ belongsTo }) => belongsTo?.id).sort()).toEqual([id, poolId, poolId].sort());
});

test("a folder that becomes a link is not followed, however often they change places", async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const driver = await openLocal(root);
	const outside = join(folder.path, "outside");
	for (const path of [join(outside, "deep"), join(root, "real", "deep")]) await mkdir(path, { recursive: true });
	await writeFile(join(outside, "deep", "secret"), "");
	await writeFile(join(root, "real", "deep", "ours"), "");
	await symlink(outside, join(root, "link"));
	for (let turn = 0; turn < 100; turn++) {
		const swap = async () => {
			await rename(join(root, "real"), join(root, "aside"));
			await rename(join(root, "link"), join(root, "real"));
			await rename(join(root, "real"), join(root, "link"));
			await rename(join(root, "aside"), join(root, "real"));
		};
		const look = driver.listContent("real/deep").then(
			({ entries }) => entries.map(({ name }) => name),
			({ code }) => code,
		);
		await Promise.all([swap(), look]);
		expect([["ours"], "invalid", "not-found"]).toContainEqual(await look);
	}
	await rm(join(root, "link"));
	expect(await openFolders(root)).toEqual([]);
});

whenRoot(`what is mounted below a pool is no part of it${because}`, async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const driver = await openLocal(root);
	const [mount, beside] = [join(root, "other disk"), join(root, "other disk 2")];
	for (const path of [mount, beside]) await mkdir(path);
	await run("mount", ["-t", "tmpfs", "tmpfs", mount], limit);
	try {
		await mkdir(join(mount, "deep"));
		expect(await entry(driver, "", "other disk")).toMatchObject({ kind: "folder", belongsTo: null });
		for (const path of ["other disk", "other disk/deep"]) await fails("invalid", driver.listContent(path));
		expect((await driver.listContent("other disk 2")).entries).toEqual([]);
	} finally {
		await run("umount", [mount], limit);
	}
	expect((await driver.listContent("other disk")).entries).toEqual([]);
});

test("where the disk is not mounted there is no pool, and not an empty one", async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const driver = await openLocal(root);
	await rename(root, `${root}-away`);
	await mkdir(root);
	expect(await fails("storage", driver.listContent(""))).toContain("Is its disk mounted?");
});
