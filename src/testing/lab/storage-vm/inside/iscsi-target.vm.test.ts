/** The iSCSI target of the lab does what a real one does, as seen by the kernel's initiator. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { present } from "../../../../lib/assert.ts";
import { run } from "../../../../lib/run.ts";
import { MiB } from "../../../../lib/units.ts";
import { waitUntil } from "../../wait-until.ts";
import { type BackingDisk, makeBackingDisk } from "./backing-disk.ts";
import { startIscsiInitiator } from "./iscsi-initiator.ts";
import { type IscsiTarget, makeIscsiTarget } from "./iscsi-target.ts";
import { type LabHost, makeHost } from "./lab-network.ts";

const limit = { timeoutMs: 30_000 };
const name = "iqn.2026-11.test.limiquantix:one";
const serial = "6e2f1a52-7d0b-4e11-9a43-0f5c2b9d8e71";
/** NAA 6, the company of LIO, and digits of the serial number. */
const wwid = "naa.60014056e2f1a527d0b4e119a430f5c2";
const portals = ["10.88.0.2", "10.88.0.3"];
const chap = { user: "node", password: "initiator-secret" };
const mutualChap = { user: "target", password: "target-secret-1" };

let host: LabHost;
let disk: BackingDisk;
let target: IscsiTarget;
let initiator: AsyncDisposable;

beforeAll(async () => {
	host = await makeHost("server", portals);
	disk = await makeBackingDisk("/data/lun", 256 * MiB);
	target = await makeIscsiTarget({ name, host, portals, units: [{ device: disk.device, serial }], chap, mutualChap });
	initiator = await startIscsiInitiator("iqn.2026-11.test.limiquantix:node");
}, 60_000);
afterAll(async () => {
	await iscsiadm("-m", "node", "--logoutall=all").catch(() => undefined);
	await initiator[Symbol.asyncDispose]();
	await target[Symbol.asyncDispose]();
	await disk[Symbol.asyncDispose]();
	await host[Symbol.asyncDispose]();
}, 60_000);

const iscsiadm = async (...args: string[]) => (await run("iscsiadm", args, limit)).stdout;

/** SCSI disks of the target: sda … */
const disks = async (): Promise<string[]> => {
	const all = (await readdir("/sys/block")).filter((entry) => entry.startsWith("sd"));
	const paths = await Promise.all(all.map((entry) => readlink(`/sys/block/${entry}`)));
	return all.filter((_, at) => paths[at]?.includes("/session"));
};

const readStart = async (one: string): Promise<void> => {
	const direct = ["bs=4096", "count=1", "iflag=direct", "status=none"];
	await run("dd", [`if=/dev/${one}`, "of=/dev/null", ...direct], { timeoutMs: 50_000 });
};

test("shows its portals to whoever asks", async () => {
	const found = await iscsiadm("-m", "discovery", "-t", "sendtargets", "-p", "10.88.0.2");
	expect(found.trim().split("\n").sort()).toEqual(portals.map((portal) => `${portal}:3260,1 ${name}`));
});

test("lets nobody in who does not know the secret", async () => {
	const login = iscsiadm("-m", "node", "-T", name, "-p", "10.88.0.2", "--login");
	expect(await login.catch((error: Error) => error.message)).toContain("failed");
	expect(await disks()).toEqual([]);
});

test("logs in by all portals, each proving itself to the other; the unit has its name", async () => {
	const settings = {
		"node.session.auth.authmethod": "CHAP",
		"node.session.auth.username": chap.user,
		"node.session.auth.password": chap.password,
		"node.session.auth.username_in": mutualChap.user,
		"node.session.auth.password_in": mutualChap.password,
	};
	for (const [key, value] of Object.entries(settings))
		await iscsiadm("-m", "node", "-T", name, "-o", "update", "-n", key, "-v", value);
	await iscsiadm("-m", "node", "-T", name, "--login");
	const found = await waitUntil("two paths", 20_000, async () => ((await disks()).length === 2 ? disks() : undefined));
	for (const one of found) expect((await readFile(`/sys/block/${one}/device/wwid`, "utf8")).trim()).toBe(wwid);
});

test("one portal is cut, and the other goes on", async () => {
	await host.drop("10.88.0.3");
	const reads = (await disks()).map((one) => ({ done: false, read: readStart(one) }));
	for (const one of reads)
		one.read = one.read.then(() => {
			one.done = true;
		});
	await Promise.race(reads.map(({ read }) => read));
	// Longer than it takes, by far.
	await Bun.sleep(1000);
	expect(reads.filter(({ done }) => done)).toHaveLength(1);
	await host.admit();
	await Promise.all(reads.map(({ read }) => read));
});

test("grows", async () => {
	await disk.grow(512 * MiB);
	await iscsiadm("-m", "session", "--rescan");
	const sizes = await Promise.all(
		(await disks()).map(async (one) => Number(await readFile(`/sys/block/${one}/size`, "utf8")) * 512),
	);
	expect(sizes).toEqual([512 * MiB, 512 * MiB]);
});

test("gives discarded space back", async () => {
	const [one] = await disks();
	await run("dd", ["if=/dev/urandom", `of=/dev/${one}`, "bs=1M", "count=32", "oflag=direct", "status=none"], limit);
	const used = async () => (await stat(disk.path)).blocks * 512;
	expect(await used()).toBeGreaterThanOrEqual(32 * MiB);
	await run("blkdiscard", [`/dev/${one}`], limit);
	expect(await used()).toBeLessThan(8 * MiB);
});

test("a unit vanishes, and comes back", async () => {
	const one = present((await disks())[0], "a path");
	await target.vanish(1);
	expect(await readStart(one).catch((error: Error) => error.message)).toContain("Input/output error");
	await target.show(1, { device: disk.device, serial });
	await waitUntil("the unit", 20_000, () =>
		readStart(one).then(
			() => true,
			() => false,
		),
	);
});
