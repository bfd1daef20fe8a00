/** Whether a disk of a target is in use on this host, as the kernel's lists say it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { devicesInUse, swapPaths } from "./devices-in-use.ts";
import { Luns } from "./lun.ts";
import { Multipath } from "./multipath.ts";
import { type IscsiDisk, Sysfs } from "./sysfs.ts";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-lun-"));
	await device("sdb", "8:16");
	await device("sdb/sdb1", "8:17", { partition: "1" });
	await device("dm-3", "254:3", { "dm/uuid": "mpath-3600", "dm/name": "mpatha" });
	await mkdir(join(folder, "proc"));
	await writeFile(join(folder, "proc/swaps"), "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function device(path: string, number: string, files: Record<string, string> = {}): Promise<void> {
	const place = join(folder, "sys/block", path);
	await mkdir(join(place, "holders"), { recursive: true });
	for (const [name, text] of Object.entries({ dev: number, ...files })) {
		await mkdir(join(place, name, ".."), { recursive: true });
		await writeFile(join(place, name), `${text}\n`);
	}
}
const hold = (path: string, by: string) => mkdir(join(folder, "sys/block", path, "holders", by));
async function mount(process: number, number: string): Promise<void> {
	await mkdir(join(folder, "proc", `${process}`));
	const line = `36 35 ${number} / /mnt/data rw,noatime master:1 - ext4 /dev/data rw,errors=continue`;
	await writeFile(join(folder, "proc", `${process}`, "mountinfo"), `25 30 0:23 / /sys rw - sysfs sysfs rw\n${line}\n`);
}
function isUsed(but?: string): Promise<boolean> {
	const sysfs = new Sysfs(join(folder, "sys"));
	const iscsi = { sessions: async () => [] } as unknown as ConstructorParameters<typeof Luns>[1];
	const taken = () => devicesInUse(join(folder, "proc"));
	const luns = new Luns(
		sysfs,
		iscsi,
		new Multipath(sysfs, systemClock, join(folder, "notes"), join(folder, "conf.d")),
		systemClock,
		taken,
	);
	return luns.isUsed({ device: "sdb" } as IscsiDisk, but);
}

test("nothing uses a disk, and a multipath map that nothing uses is no use", async () => {
	await mount(1, "8:32");
	expect(await isUsed()).toBe(false);
	await hold("sdb", "dm-3");
	expect(await isUsed()).toBe(false);
});

for (const [what, number] of [
	["the bare disk", "8:16"],
	["a partition", "8:17"],
	["the multipath map", "254:3"],
] as const)
	test(`a file system on ${what} is mounted, by whatever process`, async () => {
		await hold("sdb", "dm-3");
		await mount(4711, number);
		expect(await isUsed()).toBe(true);
	});

test("something is stacked on a partition", async () => {
	await device("dm-4", "254:4", { "dm/uuid": "LVM-x" });
	await hold("sdb/sdb1", "dm-4");
	expect(await isUsed()).toBe(true);
});

test("leases do not count where they are named, and what is beside them does", async () => {
	await device("dm-5", "254:5", { "dm/uuid": "LVM-y", "dm/name": "lqx-lvmlock" });
	await hold("sdb", "dm-5");
	expect([await isUsed(), await isUsed("lqx-lvmlock"), await isUsed("other")]).toEqual([true, false, true]);
	await device("dm-4", "254:4", { "dm/uuid": "LVM-x", "dm/name": "lqx-v--1" });
	await hold("sdb", "dm-4");
	expect(await isUsed("lqx-lvmlock")).toBe(true);
});

test("what the host swaps to, by its number; a swap file is where it is mounted", async () => {
	const swaps =
		"Filename Type Size Used Priority\n/dev/null partition 1 0 -2\n/swap file 1 0 -3\n/dev/gone partition 1 0 -4\n";
	expect(swapPaths(swaps)).toEqual(["/dev/null", "/dev/gone"]);
	await writeFile(join(folder, "proc/swaps"), swaps);
	expect([...(await devicesInUse(join(folder, "proc")))]).toEqual(["1:3"]);
	await device("sdb", "1:3");
	expect(await isUsed()).toBe(true);
});
