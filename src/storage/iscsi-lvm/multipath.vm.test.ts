/** A pool whose target answers at two portals: one device, which goes on when one of them is cut. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { type LabLuns, labLuns, limit, sessionCount } from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { newId } from "../conformance.ts";
import type { IscsiLvmDriver } from "./driver.ts";
import { Sysfs } from "./sysfs.ts";

const poolId = newId();
let lab: LabLuns;
let driver: IscsiLvmDriver;
let daemon: number | undefined;

beforeAll(async () => {
	await mkdir("/run/multipath", { recursive: true });
	// The lab's kernel has no ALUA, which multipath's own table wants for LIO.
	const device = ['vendor "LIO-ORG"', 'product ".*"', 'hardware_handler "0"', 'prio "const"', "detect_prio no"];
	const policy = ["path_grouping_policy failover", "path_checker tur", "failback immediate"];
	const text = ["devices {", "device {", ...device, ...policy, "}", "}", ""].join("\n");
	await writeFile("/etc/multipath.conf", text);
	lab = await labLuns({ portals: ["10.88.0.2", "10.88.0.3"], sizes: [GiB] });
	run("multipathd", ["-d", "-s"], {
		timeoutMs: 3_600_000,
		onStart: (pid) => {
			daemon = pid;
		},
	}).catch(() => {});
	await waitUntil("multipathd", 20_000, () =>
		run("multipathd", ["show", "daemon"], limit).then(
			() => true,
			() => undefined,
		),
	);
	driver = lab.driver(poolId);
}, 90_000);
afterAll(async () => {
	await driver.deactivate().catch(() => {});
	if (daemon !== undefined) process.kill(daemon, "SIGKILL");
	await lab.close();
}, 90_000);

const maps = async (): Promise<string[]> => {
	const { stdout } = await run("dmsetup", ["ls", "--target", "multipath"], limit);
	return stdout.includes("No devices") ? [] : stdout.trim().split("\n").filter(Boolean);
};

test("two paths are one device", async () => {
	await driver.activate();
	expect(await sessionCount()).toBe(2);
	expect(await maps()).toHaveLength(1);
	expect((await driver.check()).warning).toBeUndefined();
}, 90_000);

test("one of two paths is cut while a disk is written to: its user notices nothing, the pool says so", async () => {
	const id = newId();
	await driver.createVolume(id, { format: "raw", sizeBytes: 128 * MiB, source: { kind: "empty" } });
	await driver.openVolume(id);
	const path = sourceName((await driver.attachInfo(id)).source);
	const job = ["--name=x", `--filename=${path}`, "--rw=randwrite", "--bs=16k", "--direct=1", "--ioengine=psync"];
	const check = ["--verify=crc32c", "--do_verify=1", "--size=64M", "--verify_fatal=1", "--rate=2m"];
	let ended = false;
	const fio = run("fio", [...job, ...check], { timeoutMs: 150_000 }).finally(() => {
		ended = true;
	});
	fio.catch(() => {});
	const device = (await new Sysfs().deviceOf(path)) ?? "";
	const writes = async () => (await new Sysfs().writes(device)) ?? 0;
	await waitUntil("writes", 30_000, async () => (await writes()) > 100);
	await lab.server.drop("10.88.0.3");
	const before = await writes();
	await waitUntil("writes on the other path", 60_000, async () => (await writes()) > before + 200);
	expect(ended).toBe(false);
	const warning = await waitUntil("a warning", 60_000, async () => (await driver.check()).warning);
	expect(warning).toBe("1 of 2 portals do not answer.");
	await fio;
	await lab.server.admit();
	await waitUntil("both paths", 60_000, async () => {
		const usage = await driver.check().catch(() => null);
		return usage !== null && usage.warning === undefined;
	});
	await driver.closeVolume(id);
	await driver.deleteVolume(id);
}, 300_000);

test("the LUN grows by all paths", async () => {
	const before = (await driver.check()).totalBytes;
	await lab.disks[0]?.grow(2 * GiB);
	await driver.activate();
	expect((await driver.check()).totalBytes - before).toBe(GiB);
}, 90_000);

test("leaving takes the map and the sessions along", async () => {
	await driver.remove();
	expect(await maps()).toEqual([]);
	expect(await sessionCount()).toBe(0);
}, 90_000);
