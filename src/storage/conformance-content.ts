/** Conformance, what lies in a pool: ours with its owner, others' as nobody's, nothing outside of it. See conformance.ts. */
import { expect, test } from "bun:test";
import { present } from "../lib/assert.ts";
import { MiB } from "../lib/units.ts";
import { fails, makeImage, newId, pattern, type Suite } from "./conformance.ts";
import type { ContentEntry } from "./content.ts";
import type { StorageDriver } from "./driver.ts";

type Found = ContentEntry & { folder: string };

/** Everything, from the top down. */
async function allContent(driver: StorageDriver, folder = ""): Promise<Found[]> {
	const { entries, truncated } = await driver.listContent(folder);
	expect(truncated).toBe(false);
	const found: Found[] = [];
	for (const entry of entries) {
		found.push({ ...entry, folder });
		const below = folder === "" ? entry.name : `${folder}/${entry.name}`;
		if (entry.kind === "folder" && entry.nameIsExact) found.push(...(await allContent(driver, below)));
	}
	return found;
}

const of = (found: Found[], kind: string, id: string) =>
	found.filter(({ belongsTo }) => belongsTo?.kind === kind && belongsTo.id === id);
const text = (name: string | Uint8Array) => (typeof name === "string" ? name : new TextDecoder().decode(name));

export function contentConformance(suite: Suite): void {
	const { driver, check, capability, under, format, pool } = suite;
	const { foreignNames } = under;
	const hasFolders = under.hasFolders ?? true;
	const make = async (source: Parameters<StorageDriver["createVolume"]>[1]["source"] = { kind: "empty" }) => {
		const id = newId();
		await driver().createVolume(id, { format, sizeBytes: 4 * MiB, source });
		return id;
	};

	test("shows what it holds of ours with its owner, and no longer when that is deleted", async () => {
		const [volume, image] = [await make(), await makeImage(driver(), pattern(64 * 1024))];
		const copy = await make({ kind: "image", id: image, fullCopy: false });
		const found = await allContent(driver());
		expect(found.filter(({ belongsTo }) => belongsTo === null)).toEqual([]);
		for (const id of [volume, copy]) {
			const [largest] = of(found, "volume", id).sort((a, b) => (b.sizeBytes ?? 0) - (a.sizeBytes ?? 0));
			expect(largest?.sizeBytes).toBe(4 * MiB);
			expect(largest?.allocatedBytes).toBeGreaterThanOrEqual(0);
		}
		const sizes = of(found, "image", image).map(({ sizeBytes }) => sizeBytes);
		expect(sizes).toContain(64 * 1024);
		for (const { name, folder, ...entry } of found)
			if (entry.kind !== "folder" && entry.modifiedAt !== null)
				expect([folder, name, Date.parse(entry.modifiedAt) > Date.now() - 3600_000]).toEqual([folder, name, true]);
		for (const id of [copy, volume]) await driver().deleteVolume(id);
		await driver().deleteImage(image);
		const left = await allContent(driver());
		expect(left.filter(({ belongsTo }) => belongsTo?.kind !== "pool")).toEqual([]);
	});

	check("shows a snapshot as what it is", capability("snapshots"), async () => {
		const snapshots = present(driver().snapshots, "the snapshots of the pool");
		const [volume, snapshot] = [await make(), newId()];
		await pool().writeDisk(driver(), volume, 0, pattern(4096));
		await snapshots.take(volume, snapshot, { running: false });
		const found = of(await allContent(driver()), "snapshot", snapshot);
		expect(found).toMatchObject([{ sizeBytes: 4 * MiB, belongsTo: { volumeId: volume } }]);
		await snapshots.delete(volume, snapshot, {});
		const left = await allContent(driver());
		expect(of(left, "snapshot", snapshot)).toEqual([]);
		expect(of(left, "volume", volume)).not.toEqual([]);
		expect(left.filter(({ belongsTo }) => belongsTo === null)).toEqual([]);
	});

	check("shows what is received of an image", under.keepsUploads ?? true, async () => {
		const id = newId();
		const file = await driver().openUpload(id, 8192);
		await file.write(pattern(4096));
		await file.close();
		const found = of(await allContent(driver()), "upload", id);
		expect(found.map(({ sizeBytes }) => sizeBytes)).toContain(4096);
		await driver().deleteImage(id);
		expect(of(await allContent(driver()), "upload", id)).toEqual([]);
	});

	test("shows what others have put there as nobody's, whatever it is called, and leaves it alone", async () => {
		const id = await make();
		for (const name of foreignNames) await pool().placeForeign(name, "thing");
		const found = await allContent(driver());
		const nobodys = found.filter(({ belongsTo }) => belongsTo === null);
		expect(nobodys.map(({ name }) => name).sort()).toEqual(foreignNames.map(text).sort());
		for (const entry of nobodys) expect([entry.folder, ["folder", "other"].includes(entry.kind)]).toEqual(["", false]);
		expect(nobodys.filter(({ nameIsExact }) => !nameIsExact)).toHaveLength(
			foreignNames.filter((name) => typeof name !== "string").length,
		);
		await driver().activate();
		await driver().deleteVolume(id);
		const left = await allContent(driver());
		expect(left.filter(({ belongsTo }) => belongsTo === null)).toHaveLength(foreignNames.length);
	});

	check("opens folders of others, and no links, sockets or files", hasFolders, async () => {
		for (const name of ["a folder", "line\nbreak"]) {
			await pool().placeForeign(name, "folder");
			expect(await driver().listContent(name)).toEqual({ entries: [], truncated: false });
		}
		await pool().placeForeign("to the root of the node", "link");
		await pool().placeForeign("notes.txt", "thing");
		const found = await allContent(driver());
		const link = found.filter(({ name }) => name === "to the root of the node");
		expect(link).toMatchObject([{ kind: "other", sizeBytes: null, belongsTo: null }]);
		for (const folder of ["to the root of the node", "to the root of the node/etc", "notes.txt", "notes.txt/x"])
			await fails("invalid", driver().listContent(folder));
	});

	test("never leaves the pool", async () => {
		const outside = [
			"/",
			"/etc",
			"..",
			"../..",
			"volumes/..",
			"volumes/../..",
			".",
			"./",
			"a//b",
			"a/",
			"x\0",
			"\ud800",
		];
		for (const folder of [...outside, "x".repeat(256), "a/".repeat(2048)])
			await fails("invalid", driver().listContent(folder));
		for (const folder of ["nothing", "nothing/at/all", "...", "volumes\n", "x".repeat(255)])
			await fails("not-found", driver().listContent(folder));
	});

	test("gives no more than was asked for, and says that there is more", async () => {
		for (let count = 0; count < 5; count++) await make();
		const folder = hasFolders === true ? "volumes" : "";
		expect(await driver().listContent(folder, { maxEntries: 3 })).toMatchObject({ truncated: true });
		expect((await driver().listContent(folder, { maxEntries: 3 })).entries).toHaveLength(3);
		const all = await driver().listContent(folder);
		expect(all.truncated).toBe(false);
		expect(all.entries.length).toBeGreaterThanOrEqual(5);
		const most = all.entries.length;
		expect(await driver().listContent(folder, { maxEntries: most })).toEqual(all);
	});
}
