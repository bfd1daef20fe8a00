/**
 * Several pools on one node: none inside another, whatever links and mounts say, and no file of one is taken over by
 * another. Real files and real names for them.
 */

import { expect, test } from "bun:test";
import { link, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { fails, makeImage, newId, pattern } from "../conformance.ts";
import type { PoolPlace, StorageDriver } from "../driver.ts";
import { openLocal, temporaryFolder } from "./testing/local-pool.ts";

const empty = { kind: "empty" } as const;
const raw = "raw" as const;

/** Pools that know of each other, as the node's do. */
function node(folder: string) {
	const places: PoolPlace[] = [];
	return {
		places,
		async pool(name: string, path = join(folder, name)): Promise<StorageDriver> {
			const place = { poolId: newId(), name, path, wasReady: false };
			places.push(place);
			const otherPools = () => places.filter((other) => other !== place);
			const driver = await openLocal(path, { poolId: place.poolId, otherPools });
			place.wasReady = true;
			return driver;
		},
	};
}

async function refused(driver: StorageDriver, path: string): Promise<string> {
	const [answer] = await driver.adoptableFiles([{ path, format: raw }]);
	const refusal = answer && "refusal" in answer ? answer.refusal : "";
	expect(refusal).not.toBe("");
	const before = await driver.listVolumes();
	await expect(driver.adoptVolume(newId(), { path, format: raw })).rejects.toMatchObject({ message: refusal });
	expect(await driver.listVolumes()).toEqual(before);
	return refusal;
}

test("no file is taken over that is in another pool, or a part of one under any name", async () => {
	await using folder = await temporaryFolder();
	const { pool } = node(folder.path);
	const [first, second] = [await pool("first"), await pool("second")];
	const { id } = await second.createVolume(newId(), { format: raw, sizeBytes: MiB, source: empty });
	const { source } = await second.attachInfo(id);
	expect(await refused(first, sourceName(source))).toContain("folder of a storage pool");
	// By way of a link to its folder.
	await symlink(join(folder.path, "second"), join(folder.path, "alias"));
	await refused(first, sourceName(source).replace("/second/", "/alias/"));
	// Not a volume, and all the same inside of the pool.
	const stray = join(folder.path, "second", "stray.raw");
	await writeFile(stray, pattern(MiB));
	await refused(first, stray);
	// Another name of the same file, outside of every pool.
	await link(sourceName(source), join(folder.path, "second-name.raw"));
	expect(await refused(first, join(folder.path, "second-name.raw"))).toContain(`volume ${id} of storage pool "second"`);
	expect(await refused(second, join(folder.path, "second-name.raw"))).toContain(`is volume ${id} already`);
	const image = await makeImage(second, pattern(MiB));
	await link(sourceName(await second.imageSource(image)), join(folder.path, "image.raw"));
	expect(await refused(first, join(folder.path, "image.raw"))).toContain(`image ${image}`);
	expect(await readFile(sourceName(source))).toHaveLength(MiB);
});

test("a file that another pool has taken over is its volume, and stays when somebody else's is deleted", async () => {
	await using folder = await temporaryFolder();
	const { pool, places } = node(folder.path);
	const [first, second] = [await pool("first"), await pool("second")];
	const path = join(folder.path, "theirs.raw");
	await writeFile(path, pattern(MiB));
	const { id } = await second.adoptVolume(newId(), { path, format: raw });
	expect(await refused(first, path)).toContain(`volume ${id} of storage pool "second"`);
	// While the other pool's disk is away nobody knows which files are its.
	await rename(join(folder.path, "second"), join(folder.path, "away"));
	await fails("storage", first.adoptableFiles([{ path, format: raw }]));
	await fails("storage", first.adoptVolume(newId(), { path, format: raw }));
	// A pool that never came to be holds nothing.
	places.splice(1, 1, { poolId: newId(), name: "never", path: join(folder.path, "never"), wasReady: false });
	expect(await first.adoptableFiles([{ path, format: raw }])).toMatchObject([{ sizeBytes: MiB }]);
});

test("a file of another pool that was recorded all the same stays when that record is deleted", async () => {
	await using folder = await temporaryFolder();
	const { pool, places } = node(folder.path);
	const [first, second] = [await pool("first"), await pool("second")];
	const { id } = await second.createVolume(newId(), { format: raw, sizeBytes: MiB, source: empty });
	const { source } = await second.attachInfo(id);
	// By a driver that knew of no other pool.
	const path = join(folder.path, "first");
	const unaware = await openLocal(path, { poolId: present(places[0], "the first pool").poolId });
	const doubled = await unaware.adoptVolume(newId(), { path: sourceName(source), format: raw });
	await first.deleteVolume(doubled.id);
	expect(await first.getVolume(doubled.id)).toBeNull();
	expect(await readdir(join(path, "volumes"))).toEqual([]);
	expect(await second.damagedVolumes([id])).toEqual([]);
});

test("a file that was taken over is not deleted while another pool does not answer", async () => {
	await using folder = await temporaryFolder();
	const { pool, places } = node(folder.path);
	const [first] = [await pool("first"), await pool("second")];
	const path = join(folder.path, "theirs.raw");
	await writeFile(path, pattern(MiB));
	const adopted = await first.adoptVolume(newId(), { path, format: raw });
	const own = await first.createVolume(newId(), { format: raw, sizeBytes: MiB, source: empty });
	const [, second] = places;
	present(second, "the second pool").realPath = null;
	expect(await fails("storage", first.deleteVolume(adopted.id))).toContain('"second"');
	expect((await first.getVolume(adopted.id))?.id).toBe(adopted.id);
	await first.deleteVolume(own.id);
	present(second, "the second pool").realPath = join(folder.path, "second");
	await first.deleteVolume(adopted.id);
	expect(await Bun.file(path).exists()).toBe(false);
});

test("two at once: one file becomes one volume", async () => {
	await using folder = await temporaryFolder();
	const driver = await node(folder.path).pool("pool");
	const path = join(folder.path, "theirs.raw");
	await writeFile(path, pattern(MiB));
	const ends = await Promise.allSettled([1, 2, 3].map(() => driver.adoptVolume(newId(), { path, format: raw })));
	expect(ends.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
	expect(await driver.listVolumes()).toHaveLength(1);
});

test("no pool inside another or around one, also by way of links", async () => {
	await using folder = await temporaryFolder();
	const at = (name: string) => join(folder.path, name);
	await mkdir(at("outer"));
	await symlink(at("outer"), at("link"));
	const { pool, places } = node(folder.path);
	const outer = await pool("outer");
	const { id } = await outer.createVolume(newId(), { format: raw, sizeBytes: MiB, source: empty });
	for (const path of ["link/inner", "link/volumes/.tmp-1", `link/volumes/${id}/inner`, "outer/inner", "link"]) {
		expect(await fails(path === "link" ? "in-use" : "invalid", pool("inner", at(path)))).toContain(
			path === "link" ? "another storage pool" : 'inside the folder of storage pool "outer"',
		);
		places.splice(1);
	}
	await mkdir(at("above/below"), { recursive: true });
	await symlink(at("above/below"), at("lower"));
	await pool("lower", at("lower/pool"));
	expect(await fails("invalid", pool("above", at("above")))).toContain('storage pool "lower"');
	expect(await readdir(at("outer"))).not.toContain("inner");
	expect((await outer.getVolume(id))?.sizeBytes).toBe(MiB);
});

test("a pool that came to be inside of another is not tidied away", async () => {
	await using folder = await temporaryFolder();
	const { pool, places } = node(folder.path);
	await pool("outer");
	await pool("inner");
	const [outer, inner] = places;
	if (!outer || !inner) throw new Error("two pools were made");
	// Somebody moves it there, behind a link.
	const hidden = join(folder.path, "outer", "volumes", ".tmp-hidden");
	await rename(inner.path, hidden);
	await symlink(hidden, inner.path);
	await openLocal(outer.path, { poolId: outer.poolId, otherPools: () => [inner] });
	expect((await stat(hidden)).isDirectory()).toBe(true);
	// What does not answer is where it was, or nobody knows where.
	for (const last of [hidden, null]) {
		const silent = { ...inner, realPath: null, lastRealPath: last };
		await openLocal(outer.path, { poolId: outer.poolId, otherPools: () => [silent] });
		expect((await stat(hidden)).isDirectory()).toBe(true);
	}
	await openLocal(outer.path, { poolId: outer.poolId, otherPools: () => [] });
	expect(await readdir(join(outer.path, "volumes"))).toEqual([]);
});
