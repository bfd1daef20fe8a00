/** A pool whose target answers at two portals: one device, which goes on when one of them is cut. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { type LabLuns, labLuns, limit, nodeId, sessionCount } from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { newId } from "../conformance.ts";
import type { IscsiLvmDriver } from "./driver.ts";
import { Sysfs } from "./sysfs.ts";
import type { NodeAnswer, NodeOrders } from "./testing/node-child.ts";

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

/** Devices that the map consists of. */
const pathsOfMap = async (): Promise<string[]> => {
	const sysfs = new Sysfs();
	const [first] = await maps();
	const device = first === undefined ? null : await sysfs.deviceOf(`/dev/mapper/${first.split(/\s/)[0]}`);
	return device === null ? [] : sysfs.parts(device);
};
const wwids = async (): Promise<string[]> =>
	(await readFile("/etc/multipath/wwids", "utf8").catch(() => "")).match(/^\/.+\/$/gm) ?? [];
/** The daemon after a restart: a process that knows nothing of this one. */
async function restarted(...calls: NodeOrders["calls"]): Promise<NodeAnswer[]> {
	const orders: NodeOrders = { poolId, nodeId, folder: lab.folder, config: lab.config(), calls };
	const script = "/repo/src/storage/iscsi-lvm/testing/node-child.ts";
	const { stdout } = await run("bun", [script, JSON.stringify(orders)], { timeoutMs: 180_000 });
	return JSON.parse(stdout.trim().split("\n").at(-1) ?? "[]");
}
const errors = (answers: NodeAnswer[]) => answers.map(({ error }) => error);
const warning = async (of: IscsiLvmDriver) => (await of.check()).warning ?? null;

test("a portal that is down when the pool is activated is used once it is back, by volumes that are open, too", async () => {
	await driver.deactivate();
	expect([await maps(), await wwids(), await sessionCount()]).toEqual([[], [], 0]);
	await lab.server.drop("10.88.0.3");
	driver = lab.driver(poolId, {}, { wasReady: true });
	await driver.activate();
	expect(await sessionCount()).toBe(1);
	expect(await pathsOfMap()).toHaveLength(1);
	const id = newId();
	await driver.createVolume(id, { format: "raw", sizeBytes: 8 * MiB, source: { kind: "empty" } });
	await driver.openVolume(id);
	expect(await warning(driver)).toBe("1 of 2 portals do not answer.");
	// A restart while it is down finds the map, and what is open on it.
	const down = await restarted(["activate"], ["check"], ["openVolumes"], ["probe"]);
	expect(errors(down)).toEqual([null, null, null, null]);
	expect(down[1]?.value).toMatchObject({ warning: "1 of 2 portals do not answer." });
	expect(down[2]?.value).toEqual([id]);
	expect(await sessionCount()).toBe(1);

	await lab.server.admit();
	// By the look of each minute.
	await waitUntil("both portals", 240_000, async () => (await warning(driver).catch(() => "")) === null, {
		everyMs: 1000,
	});
	expect(await sessionCount()).toBe(2);
	expect(await pathsOfMap()).toHaveLength(2);
	expect(await maps()).toHaveLength(1);

	// The one that was there all the time goes: what is open goes on by the new one.
	await lab.server.drop("10.88.0.2");
	const path = sourceName((await driver.attachInfo(id)).source);
	const write = ["if=/dev/urandom", `of=${path}`, "bs=1M", "count=4", "oflag=direct", "conv=notrunc", "status=none"];
	await run("dd", write, { timeoutMs: 90_000 });
	await lab.server.admit();
	await waitUntil("both portals again", 120_000, async () => (await warning(driver).catch(() => "")) === null);
	await driver.closeVolume(id);
	await driver.deleteVolume(id);
}, 900_000);

test("a portal that is back before the daemon is restarted is used by the next one at once", async () => {
	await driver.deactivate();
	await lab.server.drop("10.88.0.3");
	driver = lab.driver(poolId, {}, { wasReady: true });
	await driver.activate();
	const id = newId();
	await driver.createVolume(id, { format: "raw", sizeBytes: 8 * MiB, source: { kind: "empty" } });
	await driver.openVolume(id);
	await lab.server.admit();
	const up = await restarted(["activate"], ["check"], ["openVolumes"], ["probe"]);
	expect(errors(up)).toEqual([null, null, null, null]);
	expect(up[2]?.value).toEqual([id]);
	expect(await sessionCount()).toBe(2);
	await waitUntil("both paths", 60_000, async () => (await pathsOfMap()).length === 2);
	expect(await warning(driver)).toBeNull();
	await driver.closeVolume(id);
	await driver.deleteVolume(id);
}, 600_000);

test("a second portal, added while a volume is open on a bare path: it works on, and is joined when nothing is open", async () => {
	await driver.deactivate();
	const single = { portals: ["10.88.0.2"] };
	driver = lab.driver(poolId, single, { wasReady: true });
	await driver.activate();
	expect(await maps()).toEqual([]);
	const id = newId();
	await driver.createVolume(id, { format: "raw", sizeBytes: 8 * MiB, source: { kind: "empty" } });
	await driver.openVolume(id);

	const both = lab.driver(poolId, {}, { wasReady: true });
	await both.activate();
	expect(await maps()).toEqual([]);
	expect(await warning(both)).toContain("used by one path only");
	await both.probe();
	await both.closeVolume(id);
	await both.deleteVolume(id);

	await both.deactivate();
	driver = both;
	await driver.activate();
	expect(await pathsOfMap()).toHaveLength(2);
	expect(await warning(driver)).toBeNull();
}, 600_000);

test("leaving takes the map and the sessions along, and what multipath knows of the LUN", async () => {
	expect(await wwids()).toHaveLength(1);
	await driver.remove();
	expect(await maps()).toEqual([]);
	expect(await sessionCount()).toBe(0);
	expect(await wwids()).toEqual([]);
}, 90_000);
