/** Pools on a real iSCSI target, in the storage lab VM: what the suite of all drivers does not ask for. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import {
	chap,
	credentials,
	type LabLuns,
	labLuns,
	limit,
	lunDevices,
	serialOf,
	sessionCount,
	wwidOf,
} from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, fails, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import { discoverIscsi } from "./create.ts";
import type { IscsiLvmDriver } from "./driver.ts";

const databases = ["/etc/iscsi", "/var/lib/iscsi"];
const portals = ["10.88.0.2"];
let lab: LabLuns;
let poolId = newId();
const opened: IscsiLvmDriver[] = [];

beforeAll(async () => {
	lab = await labLuns({ portals, sizes: [2 * GiB, GiB], withChap: true });
}, 60_000);
afterAll(() => lab.close(), 60_000);
afterEach(async () => {
	for (const driver of opened.splice(0)) await driver.deactivate();
	poolId = newId();
	for (const { device } of lab.disks) await run("blkdiscard", ["--force", "--", device], limit);
}, 60_000);

const make = (...args: Parameters<LabLuns["driver"]> extends [string, ...infer Rest] ? Rest : never) => {
	const driver = lab.driver(poolId, ...args);
	opened.push(driver);
	return driver;
};
const host = {
	...{ clock: systemClock, log: silentLogger, random: systemRandom },
	...{ runFolder: "/tmp/lqx-discovery", stagingFolder: "/tmp/lqx-discovery" },
};

test("discovers targets and LUNs, and leaves nothing behind", async () => {
	const ways = { portals, target: null, chapUser: null, mutualChapUser: null };
	expect((await discoverIscsi(ways, host)).targets).toEqual([
		{ target: lab.target.name, portals: [{ host: "10.88.0.2", port: 3260 }] },
	]);
	const known = { ...ways, chapUser: chap.user, mutualChapUser: "target", credentials };
	const { luns } = await discoverIscsi({ ...known, target: lab.target.name }, host);
	expect(luns).toMatchObject([
		{ wwid: wwidOf(1), lun: 1, sizeBytes: 2 * GiB, vendor: "LIO-ORG", paths: 1, contents: [] },
		{ wwid: wwidOf(2), lun: 2, sizeBytes: GiB, contents: [] },
	]);
	expect(await sessionCount()).toBe(0);
	for (const database of databases)
		for (const part of ["nodes", "send_targets"])
			expect(await readdir(`${database}/${part}`).catch(() => [])).toEqual([]);
});

test("a wrong password, a wrong WWID, a dead portal are told, and leave no session", async () => {
	const wrong = { ...credentials, chapPassword: "not-the-secret" };
	expect(await fails("storage", make({}, { credentials: wrong }).probe())).toContain("CHAP");
	const mutual = { ...credentials, mutualChapPassword: "not-its-secret" };
	await fails("storage", make({}, { credentials: mutual }).probe());
	const wwid = "naa.60014050000000000000000000000000";
	expect(await fails("storage", make({ wwid }).activate())).toContain(wwidOf(1));
	const started = performance.now();
	const dead = await make({ portals: ["10.88.0.9"] })
		.probe()
		.then(
			() => "",
			(error) => error.code,
		);
	expect(["storage", "timeout"]).toContain(dead);
	expect(performance.now() - started).toBeLessThan(20_000);
	expect(await sessionCount()).toBe(0);
	opened.splice(0);
}, 90_000);

test("what is on a LUN is not overwritten, unless it is named", async () => {
	const wwid = wwidOf(2);
	const probe = make({ wwid });
	expect((await probe.probe()).totalBytes).toBe(GiB);
	// The target has the disk open: a file system comes into being elsewhere.
	const image = `${lab.folder}/ext4`;
	await run("mkfs.ext4", ["-q", image, "32M"], limit);
	const onto = [`of=${lab.disks[1]?.device}`, "bs=1M", "oflag=direct", "status=none"];
	await run("dd", [`if=${image}`, ...onto], limit);
	expect(await fails("wrong-state", probe.probe())).toContain("ext4");
	expect(await fails("wrong-state", make({ wwid }).activate())).toContain("ext4");
	await fails("wrong-state", make({ wwid }).activate({ overwrite: ["xfs"] }));
	expect(await sessionCount()).toBe(0);
	await run("e2fsck", ["-n", "-f", lab.disks[1]?.device ?? ""], limit);
	const driver = make({ wwid });
	await driver.activate({ overwrite: ["ext4"] });
	expect((await driver.check()).totalBytes).toBeGreaterThan(GiB - 64 * MiB);
	await driver.remove();
	expect(await fails("storage", make({ wwid }, { wasReady: true }).activate())).toContain("no volume group");
	expect(await sessionCount()).toBe(0);
}, 90_000);

test("passwords are in no command line and in no file that others can read", async () => {
	const driver = make();
	const seen: string[] = [];
	let watching = true;
	const watch = waitUntil(
		"the activation",
		60_000,
		async () => {
			for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
				const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
				if (line.includes("secret")) seen.push(line);
			}
			return !watching;
		},
		{ everyMs: 20 },
	);
	await driver.activate();
	watching = false;
	await watch;
	expect(seen).toEqual([]);
	const { stdout } = await run("grep", ["-rl", "initiator-secret", ...databases], limit);
	const files = stdout.trim().split("\n");
	expect(files.length).toBe(1);
	for (const file of files) expect((await run("stat", ["-c", "%a %u", file], limit)).stdout.trim()).toBe("600 0");
	await driver.remove();
	expect((await run("grep", ["-rl", "secret", ...databases], { ...limit, okExitCodes: [0, 1] })).stdout).toBe("");
}, 60_000);

test("makes, opens, grows and deletes volumes; what is open is found again", async () => {
	const driver = make();
	await driver.activate();
	const id = newId();
	await driver.createVolume(id, { format: "qcow2", sizeBytes: 64 * MiB, source: { kind: "empty" } });
	await driver.openVolume(id);
	expect(await driver.openVolumes()).toEqual([id]);
	await writeDisk(driver, id, 0, pattern(65_536));
	const again = make({}, { wasReady: true });
	await again.activate();
	expect(await again.openVolumes()).toEqual([id]);
	expect((await again.growOpenVolume(id, 128 * MiB)).sizeBytes).toBe(128 * MiB);
	await again.closeVolume(id);
	expect(await again.openVolumes()).toEqual([]);
	// QEMU was not told: the header is right.
	await again.openVolume(id);
	expect((await again.getVolume(id))?.sizeBytes).toBe(64 * MiB);
	await again.closeVolume(id);
	expect((await again.resizeVolume(id, 128 * MiB)).sizeBytes).toBe(128 * MiB);
	expectSame((await diskContent(again, id)).subarray(0, 65_536), pattern(65_536));
	const path = sourceName((await again.attachInfo(id)).source);
	expect(path).toBe(`/dev/lqx-${poolId}/v-${id}-1`);
	await again.deleteVolume(id);
	// The first process would have ended: it is not to keep the pool.
	await driver.closeVolume(id);
	await again.remove();
	opened.splice(0);
}, 60_000);

test("a larger LUN is a larger pool", async () => {
	const driver = make();
	await driver.activate();
	const before = await driver.check();
	await lab.disks[0]?.grow(3 * GiB);
	await driver.activate();
	const after = await driver.check();
	expect(after.totalBytes - before.totalBytes).toBe(GiB);
	await driver.remove();
}, 60_000);

test("a target that is gone is told within seconds, and comes back by itself", async () => {
	const driver = make();
	await driver.activate();
	await driver.check();
	await lab.server.cable("down");
	const started = performance.now();
	await waitUntil("the check to fail", 30_000, async () => {
		const asked = performance.now();
		const failed = await driver.check().then(
			() => false,
			() => true,
		);
		expect(performance.now() - asked).toBeLessThan(12_000);
		return failed;
	});
	expect(performance.now() - started).toBeLessThan(15_000);
	await lab.server.cable("up");
	await waitUntil("the pool", 40_000, () => driver.check().catch(() => undefined));
	await driver.remove();
}, 90_000);

test("a LUN that vanishes is told", async () => {
	const driver = make({ wwid: wwidOf(2) });
	await driver.activate();
	expect(await lunDevices(wwidOf(2))).toHaveLength(1);
	await lab.target.vanish(2);
	expect(await fails("storage", driver.check())).toContain("The LUN cannot be read");
	await lab.target.show(2, { device: lab.disks[1]?.device ?? "", serial: serialOf(2) });
	await waitUntil("the LUN", 30_000, () => driver.check().catch(() => undefined));
	await driver.remove();
}, 60_000);
