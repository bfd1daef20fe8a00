/** Settings of multipath that are ours: those of another daemon of the host stay. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { Multipath } from "./multipath.ts";
import { type IscsiDisk, Sysfs } from "./sysfs.ts";

const [mine, later, theirs] = ["a", "b", "c"].map((end) => `01890000-0000-7000-8000-00000000000${end}`) as [
	string,
	string,
	string,
];
let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-multipath-"));
	for (const [path, text] of [
		["block/sdb/holders/dm-3", null],
		["block/dm-3/slaves/sdb", null],
		["block/dm-3/dm/uuid", "mpath-3600"],
		["block/dm-3/dm/name", "mpatha"],
	] as const) {
		await mkdir(join(folder, path, text === null ? "." : ".."), { recursive: true });
		if (text !== null) await writeFile(join(folder, path), text);
	}
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const daemon = (name: string) =>
	new Multipath(new Sysfs(folder), systemClock, join(folder, name), join(folder, "conf.d"), async () => ({
		...{ exitCode: 0, stdout: "ok", stderr: "" },
	}));
const settings = async () => (await readdir(join(folder, "conf.d"))).sort();
const fileOf = (id: string) => `limiquantix-${id}.conf`;
const disks = [{ device: "sdb" } as IscsiDisk];

test("a daemon that starts forgets its own settings of pools that are gone, and leaves another's", async () => {
	const [one, other] = [daemon("one"), daemon("other")];
	for (const id of [mine, later]) await one.ensure(id, disks);
	await other.ensure(theirs, disks);
	await writeFile(join(folder, "conf.d", "limiquantix-by-hand.conf"), "");
	expect(await settings()).toEqual([mine, later, theirs].map(fileOf).concat("limiquantix-by-hand.conf"));
	await daemon("one").forgetOthers((id) => id === later);
	expect(await settings()).toEqual([later, theirs].map(fileOf).concat("limiquantix-by-hand.conf"));
	await daemon("other").forgetOthers(() => false);
	await daemon("one").remove(later, null);
	expect(await settings()).toEqual(["limiquantix-by-hand.conf"]);
	expect(await readdir(join(folder, "one", "multipath-settings"))).toEqual([]);
});

test("settings that the version before wrote are its own once the pool is activated again", async () => {
	const one = daemon("one");
	await one.ensure(mine, disks);
	await rm(join(folder, "one"), { recursive: true });
	await one.ensure(mine, disks);
	await one.forgetOthers(() => false);
	expect(await settings()).toEqual([]);
});
