/**
 * Maps of the paths to a LUN, and the WWID without which there are none. multipathd is played here, as it is with `find_multipaths strict`; the
 * real one is in the storage lab VM (multipath.vm.test.ts).
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { Multipath } from "./multipath.ts";
import { type IscsiDisk, Sysfs } from "./sysfs.ts";

const [mine, other] = ["a", "b"].map((end) => `01890000-0000-7000-8000-00000000000${end}`) as [string, string];
const wwid = "36001405a";
const [sdb, sdc] = [{ device: "sdb" } as IscsiDisk, { device: "sdc" } as IscsiDisk];
let folder: string;
let clock: Clock;
/** Disks of the LUN that multipathd sees. */
let paths: string[];
let runs: boolean;
let calls: string[];

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-maps-"));
	[paths, runs, calls] = [["sdb", "sdc"], true, []];
	let passedMs = 0;
	clock = {
		nowMs: () => passedMs,
		monotonicMs: () => passedMs,
		schedule(delayMs, callback) {
			passedMs += delayMs;
			setImmediate(callback);
			return { cancel() {} };
		},
	};
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const wwidsFile = () => join(folder, "wwids");
const header = "# Multipath wwids, Version : 1.0\n# Valid WWIDs:\n";
const wwids = async () => (await readFile(wwidsFile(), "utf8").catch(() => header)).replace(header, "");

async function joinPaths(): Promise<void> {
	if (!(await wwids()).includes(`/${wwid}/\n`)) return;
	for (const path of paths) {
		await mkdir(join(folder, "block", path, "holders/dm-3"), { recursive: true });
		await mkdir(join(folder, "block/dm-3/slaves", path), { recursive: true });
	}
	await mkdir(join(folder, "block/dm-3/dm"), { recursive: true });
	await writeFile(join(folder, "block/dm-3/dm/uuid"), `mpath-${wwid}\n`);
	await writeFile(join(folder, "block/dm-3/dm/name"), "mpatha\n");
}

async function play(program: string, args: readonly string[]) {
	calls.push([program === "multipath" ? "" : program, ...args].join(" ").trim());
	const before = await wwids();
	if (program === "multipathd") {
		if (!runs) throw new AppError("internal", "multipathd failed", { context: { exitCode: 1 } });
		await joinPaths();
	} else if (args[0] === "-a" && !before.includes(`/${wwid}/`))
		await writeFile(wwidsFile(), `${header}${before}/${wwid}/\n`);
	else if (args[0] === "-w") {
		if (!runs) throw new AppError("internal", "multipath failed", { context: { exitCode: 1 } });
		await writeFile(wwidsFile(), `${header}${before.replace(`/${args[1]}/`, `#${args[1]}/`)}`);
	} else if (args[0] === "-f")
		for (const path of [...(await readdir(join(folder, "block"))), "dm-3"])
			await rm(join(folder, "block", path), { recursive: true, force: true });
	return { exitCode: 0, stdout: "ok\n", stderr: "" };
}

const daemon = (name = "one") =>
	new Multipath(new Sysfs(folder), clock, join(folder, name), join(folder, "conf.d"), play);
const notes = async (name = "one") => (await readdir(join(folder, name, "multipath-settings"))).sort();

test("one path is a map already, which takes the other one when it comes", async () => {
	paths = ["sdb"];
	const multipath = daemon();
	const map = await multipath.ensure(mine, [sdb]);
	expect(map).toEqual({ device: "dm-3", name: "mpatha", uuid: `mpath-${wwid}` });
	paths = ["sdb", "sdc"];
	calls = [];
	expect(await multipath.ensure(mine, [sdb, sdc])).toEqual(map);
	expect(calls).toEqual(["multipathd add path sdc"]);
	expect(await new Sysfs(folder).parts("dm-3")).toEqual(["sdb", "sdc"]);
});

test("a map that does not take one of the paths is used all the same", async () => {
	paths = ["sdb"];
	const multipath = daemon();
	await multipath.ensure(mine, [sdb]);
	expect((await multipath.ensure(mine, [sdb, sdc])).device).toBe("dm-3");
	expect(clock.monotonicMs()).toBeGreaterThan(20_000);
});

test("without multipathd there is no map, and that is said", async () => {
	runs = false;
	await expect(daemon().ensure(mine, [sdb])).rejects.toMatchObject({
		code: "storage",
		message: expect.stringContaining("multipathd does not run on this node"),
	});
});

test("the WWID is forgotten with the pool", async () => {
	const multipath = daemon();
	const map = await multipath.ensure(mine, [sdb, sdc]);
	expect(await wwids()).toBe(`/${wwid}/\n`);
	// As at each start of the daemon: whose it is stays known.
	await daemon().ensure(mine, [sdb, sdc]);
	await daemon().remove(mine, map);
	expect(await wwids()).toBe(`#${wwid}/\n`);
	expect(await notes()).toEqual([]);
	expect(await readdir(join(folder, "conf.d"))).toEqual([]);
});

test("one that an administrator has made known stays", async () => {
	await writeFile(wwidsFile(), `${header}/${wwid}/\n/36001405b/\n`);
	const multipath = daemon();
	await multipath.remove(mine, await multipath.ensure(mine, [sdb, sdc]));
	expect(await wwids()).toBe(`/${wwid}/\n/36001405b/\n`);
	expect(calls).not.toContain(`-w ${wwid}`);
});

test("what a try has made known, and was cut short, goes at the next start, or with the pool that uses it by then", async () => {
	await daemon().ensure(other, [sdb, sdc]);
	await daemon().forgetOthers(() => false);
	expect(await wwids()).toBe(`#${wwid}/\n`);

	await rm(join(folder, "block"), { recursive: true });
	await daemon().ensure(other, [sdb, sdc]);
	const map = await daemon().ensure(mine, [sdb, sdc]);
	await daemon().forgetOthers((id) => id === mine);
	expect([await notes(), await wwids()]).toEqual([[mine], `#${wwid}/\n/${wwid}/\n`]);
	await daemon().remove(mine, map);
	expect([await notes(), await wwids()]).toEqual([[], `#${wwid}/\n#${wwid}/\n`]);
});

test("one that cannot be forgotten now keeps no pool from being let go of, and goes at the next start", async () => {
	const map = await daemon().ensure(mine, [sdb, sdc]);
	runs = false;
	await daemon().remove(mine, map);
	expect(await notes()).toEqual([mine]);
	runs = true;
	await daemon().forgetOthers(() => false);
	expect([await notes(), await wwids()]).toEqual([[], `#${wwid}/\n`]);
});

test("the map of a LUN that another pool has by now stays, with what it needs", async () => {
	const multipath = daemon();
	await multipath.ensure(mine, [sdb, sdc]);
	const map = await multipath.ensure(other, [sdb, sdc]);
	calls = [];
	await multipath.remove(mine, map);
	expect(calls).toEqual([]);
	expect(await wwids()).toBe(`/${wwid}/\n`);
	expect([await notes(), await readdir(join(folder, "conf.d"))]).toEqual([[other], [`limiquantix-${other}.conf`]]);
	await multipath.remove(other, map);
	expect(calls).toEqual(["-f mpatha", `-w ${wwid}`]);
});
