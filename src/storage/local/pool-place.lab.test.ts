/** Which folders become pools: whose they are, what is in them, where links lead; and what is left when a pool goes. */
import { expect, test } from "bun:test";
import { chmod, chown, mkdir, readdir, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { fails, newId, pattern } from "../conformance.ts";
import { localDriver, openLocal, poolId, temporaryFolder } from "./testing/local-pool.ts";

const asRoot = process.getuid?.() === 0;
const whenRoot = asRoot ? test : test.skip;
const because = asRoot ? "" : " (skipped: giving folders away needs root)";
const exists = (path: string) => Bun.file(path).exists();
const marker = "limiquantix-pool.json";

test("a folder that somebody prepared is no pool, and names nothing that is deleted", async () => {
	await using folder = await temporaryFolder();
	const [root, victim] = [join(folder.path, "evil"), join(folder.path, "victim")];
	await writeFile(victim, pattern(512));
	const trash = join(root, "volumes", ".trash-abc");
	await mkdir(trash, { recursive: true });
	const record = { version: 1, id: newId(), format: "raw", file: victim, layers: [], backing: null };
	await writeFile(join(trash, "record.json"), JSON.stringify(record));
	expect(await fails("wrong-state", openLocal(root))).toContain("empty folder");
	expect(await exists(victim)).toBe(true);
	expect(await readdir(root)).toEqual(["volumes"]);
	// Even in a pool that is ours: a path alone is no proof, nor is a record that others may write.
	await writeFile(join(root, marker), JSON.stringify({ version: 1, poolId }));
	await openLocal(root);
	expect(await exists(victim)).toBe(true);
	expect(await readdir(join(root, "volumes"))).toEqual([]);
	const { ino } = await stat(victim);
	const found = { ...record, adopted: { path: victim, inode: `${ino}` } };
	for (const [mode, inode] of [
		[0o666, `${ino}`],
		[0o600, `${ino + 1}`],
	] as const) {
		await mkdir(trash);
		await writeFile(join(trash, "record.json"), JSON.stringify({ ...found, adopted: { path: victim, inode } }));
		await chmod(join(trash, "record.json"), mode);
		await openLocal(root);
		expect(await exists(victim)).toBe(true);
	}
});

test("a file that took the place of the one that was taken over stays", async () => {
	await using folder = await temporaryFolder();
	const path = join(folder.path, "old.img");
	const driver = await openLocal(join(folder.path, "pool"));
	const adopt = async () => {
		await writeFile(path, pattern(MiB));
		return (await driver.adoptVolume(newId(), { path, format: "raw" })).id;
	};
	await driver.deleteVolume(await adopt());
	expect(await exists(path)).toBe(false);
	const id = await adopt();
	await rename(path, `${path}.away`);
	await writeFile(path, pattern(MiB));
	await driver.deleteVolume(id);
	expect(await exists(path)).toBe(true);
	expect(await driver.getVolume(id)).toBeNull();
});

test("what is in a new pool's folder: nothing, or what a start of ours may have left", async () => {
	await using folder = await temporaryFolder();
	for (const name of ["file", ".hidden", "volumes/x", `${marker}.new/x`]) {
		const root = join(folder.path, newId());
		await mkdir(join(root, name, ".."), { recursive: true });
		await writeFile(join(root, name), "");
		await fails("wrong-state", openLocal(root));
		expect(await exists(join(root, name))).toBe(true);
	}
	const linked = join(folder.path, newId());
	await mkdir(linked);
	await symlink(folder.path, join(linked, "volumes"));
	await fails("wrong-state", openLocal(linked));
	const begun = join(folder.path, newId());
	for (const name of ["lost+found", "volumes", "images"]) await mkdir(join(begun, name), { recursive: true });
	await writeFile(join(begun, `${marker}.new`), "{");
	await openLocal(begun);
	expect((await readdir(begun)).sort()).toEqual(["images", marker, "lost+found", "uploads", "volumes"]);
});

test("links are judged by where they lead", async () => {
	await using folder = await temporaryFolder();
	const at = (name: string) => join(folder.path, name);
	const name = newId();
	for (const target of ["/etc", "/usr", "/run", "/root"]) {
		await symlink(target, at("link"));
		expect(await fails("invalid", openLocal(join(at("link"), name, "deeper")))).toContain(`inside ${target}`);
		expect(await readdir(target)).not.toContain(name);
		await rm(at("link"));
	}
	await symlink("/srv", at("shared"));
	await fails("invalid", openLocal(at("shared")));
	await symlink(at("nowhere"), at("dangling"));
	await fails("invalid", openLocal(at("dangling")));
	expect(await readdir(folder.path)).not.toContain("nowhere");
	await mkdir(at("real"));
	await symlink(at("real"), at("good"));
	await fails("invalid", openLocal(at("good")));
	await (await openLocal(join(at("good"), "pool"))).check();
	// A pool that is there already may be reached through a link.
	await symlink(join(at("real"), "pool"), at("alias"));
	await (await openLocal(at("alias"))).check();
});

test("no pool among the daemon's own things, except where its pools are", async () => {
	await using folder = await temporaryFolder();
	const data = join(folder.path, "data");
	await mkdir(join(data, "raft"), { recursive: true });
	await symlink(data, join(folder.path, "link"));
	const protectedPaths = [join(folder.path, "link")];
	for (const path of [join(data, "raft"), join(data, "x"), data, join(data, "pools"), folder.path])
		await fails("invalid", openLocal(path, { protectedPaths }));
	await openLocal(join(data, "pools", "local"), { protectedPaths });
	for (const path of ["pools", "pools/local"]) expect((await stat(join(data, path))).mode & 0o777).toBe(0o711);
});

test("folders that others may write to are refused, in new pools and in old ones", async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	await mkdir(root);
	await chmod(root, 0o777);
	expect(await fails("invalid", openLocal(root))).toContain("chmod go-w");
	await chmod(root, 0o755);
	await openLocal(root);
	for (const path of [root, join(root, "volumes"), join(root, "images"), join(root, "uploads")]) {
		await chmod(path, 0o733);
		await fails("invalid", openLocal(root));
		await chmod(path, 0o711);
	}
	await openLocal(root);
});

whenRoot(`folders of other users are refused${because}`, async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	await mkdir(root);
	await chown(root, 1234, 1234);
	expect(await fails("invalid", openLocal(root))).toContain("another user");
	await chown(root, 0, 0);
	await openLocal(root);
	await chown(join(root, "images"), 1234, 0);
	await fails("invalid", openLocal(root));
});

test("a pool that is removed leaves nothing, and its folder can be another pool's", async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const first = await openLocal(root);
	await first.remove();
	expect(await readdir(folder.path)).toEqual([]);
	await first.remove();
	await openLocal(root, { poolId: newId() });
	// Not its own any more.
	await first.remove();
	expect(await readdir(root)).toContain(marker);
});

test("a removal takes nothing away that is not the pool's, and can be cut short anywhere", async () => {
	await using folder = await temporaryFolder();
	let steps = 0;
	const count = async (root: string, stop: number) => {
		await openLocal(root);
		let at = 0;
		const driver = localDriver(root, {
			onStep() {
				at += 1;
				if (at === stop) throw new Error("cut");
			},
		});
		await driver.remove().catch(() => {});
		return at;
	};
	steps = await count(join(folder.path, "whole"), 0);
	expect(steps).toBeGreaterThan(3);
	for (let stop = 1; stop <= steps; stop++) {
		const root = join(folder.path, `${stop}`);
		await count(root, stop);
		expect(await readdir(root)).toContain(marker);
		await localDriver(root).remove();
		expect(await readdir(folder.path)).not.toContain(`${stop}`);
	}
	const kept = join(folder.path, "kept");
	const driver = await openLocal(kept);
	const { id } = await driver.createVolume(newId(), { format: "raw", sizeBytes: MiB, source: { kind: "empty" } });
	await writeFile(join(kept, "notes"), "x");
	await driver.remove();
	expect((await readdir(kept)).sort()).toEqual(["notes", "volumes"]);
	expect(await readdir(join(kept, "volumes", id))).toContain("disk-1.raw");
});
