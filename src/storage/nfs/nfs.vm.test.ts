/** NFS pools on a real server and a real client: both kernels of the storage lab VM. */
import { afterEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { open, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isAppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { holdOpen } from "../../testing/lab/held-disk.ts";
import { dropPackets, share, startThreads, stopThreads, unshare } from "../../testing/lab/nfs/kernel-server.ts";
import {
	exportOptions,
	newExport,
	nfsDriver,
	nfsMounts,
	runFolder,
	type TestExport,
} from "../../testing/lab/nfs/nfs-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern } from "../conformance.ts";
import { leftTrials, tidyTrials } from "../left-trials.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import type { NfsDriver } from "./driver.ts";
import { discoverNfsExports } from "./exports.ts";
import { qemuUser } from "./qemu-user.ts";

const limitMs = 200_000;
// As the service has it: what others must pass through is opened by name.
process.umask(0o077);
const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
	for (const step of cleanUp.splice(0).reverse()) await step();
	expect(await nfsMounts()).toEqual([]);
});

async function exported(squash: boolean): Promise<TestExport> {
	const made = await newExport(squash);
	cleanUp.push(made.close);
	return made;
}

function pool(path: string, more: Parameters<typeof nfsDriver>[1] = {}): NfsDriver {
	const driver = nfsDriver(path, more);
	cleanUp.push(() => driver.deactivate());
	return driver;
}

const empty = { kind: "empty" } as const;
const make = async (driver: NfsDriver, format: "raw" | "qcow2" = "qcow2", sizeBytes = 4 * MiB) => {
	const id = newId();
	await driver.createVolume(id, { format, sizeBytes, source: empty });
	return id;
};
const timed = async <T>(work: Promise<T>): Promise<{ ms: number; error: unknown }> => {
	const started = performance.now();
	const error = await work.then(
		() => null,
		(failure: unknown) => failure,
	);
	return { ms: performance.now() - started, error };
};
const healthOf = (error: unknown) => (isAppError(error) ? error.context.health : undefined);

for (const { version, squash } of [
	{ version: "3", squash: false },
	{ version: "4.2", squash: true },
] as const)
	test(
		`NFS ${version}, root ${squash ? "squashed" : "as it is"}: volumes, images, snapshots`,
		async () => {
			const { path, folder } = await exported(squash);
			const [nodeId, poolId] = [newId(), newId()];
			const driver = pool(path, { version, nodeId, poolId, folder: "one/pool" });
			await driver.activate();
			expect(driver.capabilities).toMatchObject({ shared: true, snapshots: true });
			expect(driver.capabilities.reasons.discard === undefined).toBe(version === "4.2");
			expect(driver.capabilities.provisioning).toEqual(version === "4.2" ? ["thin", "thick"] : ["thin"]);
			expect(driver.capabilities.reasons.provisioning ?? "").toMatch(version === "4.2" ? /^$/ : /needs NFS 4\.2.*\.$/);
			expect((await driver.check()).availableBytes).toBeGreaterThan(0);
			const image = await makeImage(driver, pattern(MiB));
			const id = newId();
			const source = { kind: "image", id: image, fullCopy: false } as const;
			await driver.createVolume(id, { format: "qcow2", sizeBytes: MiB, source });
			const user = await qemuUser();
			const file = sourceName((await driver.attachInfo(id)).source);
			expect(file).toStartWith(`${runFolder}/${poolId}/mount/one/pool/`);
			expect((await stat(file)).uid).toBe(squash ? (user?.uid ?? -1) : 0);
			const snapshot = newId();
			await driver.snapshots.take(id, snapshot, { running: false });
			expectSame(await diskContent(driver, id), pattern(MiB));
			await using held = await holdOpen(
				sourceName((await driver.attachInfo(id)).source),
				"qcow2",
				squash ? user : null,
			);
			await fails("in-use", driver.snapshots.revert(id, snapshot));
			await fails("in-use", driver.deleteVolume(id));
			const uploaded = newId();
			const upload = await driver.openUpload(uploaded, MiB);
			await fails("in-use", driver.deactivate());
			// What the pool's own worker has in hand is not lost by that.
			await upload.write(pattern(MiB));
			await upload.close();
			await driver.deleteImage(uploaded);
			await held[Symbol.asyncDispose]();
			await driver.snapshots.revert(id, snapshot);
			await driver.snapshots.delete(id, snapshot, {});

			// Another daemon of this node finds the mount, and what is in it.
			const again = nfsDriver(path, { version, nodeId, poolId, folder: "one/pool", mayInitialize: false });
			await again.activate();
			expect(await nfsMounts()).toHaveLength(1);
			expect((await again.check()).warning).toBeUndefined();
			expectSame(await diskContent(again, id), pattern(MiB));
			await again.deleteVolume(id);
			await again.deleteImage(image);
			// Another pool beside it, on the same export.
			const otherId = newId();
			const other = pool(path, { version, folder: "other", poolId: otherId });
			await other.activate();
			expect(await other.listVolumes()).toEqual([]);
			await fails("in-use", nfsDriver(path, { version, folder: "other" }).probe());
			await other.remove();
			// Once more, and when yet another pool has the place: nothing is left to do, and that one's mark stays.
			await nfsDriver(path, { version, folder: "other", poolId: otherId, mayInitialize: false }).remove();
			const third = nfsDriver(path, { version, folder: "other" });
			await third.activate();
			await nfsDriver(path, { version, folder: "other", poolId: otherId, mayInitialize: false }).remove();
			await third.check();
			await third.remove();
			await again.remove();
			expect(await nfsMounts()).toEqual([]);
			expect(await readdir(runFolder).then((names) => names.length)).toBeGreaterThan(0);
			expect(await readdir(join(folder, "one"))).toEqual([]);
		},
		limitMs,
	);

test(
	"a probe says what is wrong, and leaves nothing",
	async () => {
		const { path, folder } = await exported(true);
		const probe = (where: string, more = {}) => nfsDriver(where, more).probe();
		expect((await probe(path)).totalBytes).toBeGreaterThan(0);
		expect(await readdir(folder)).toEqual([]);
		expect(await fails("storage", probe(`${path}-missing`))).toContain("mounted");
		await run("chown", ["0:0", "--", folder], { timeoutMs: 5000 });
		expect(await fails("storage", probe(path))).toContain("QEMU's user");
		expect(await readdir(folder)).toEqual([]);
		expect(await nfsMounts()).toEqual([]);
		// TEST-NET: nobody answers, or there is no way there.
		const { ms, error } = await timed(probe(path, { server: "192.0.2.1", limits: { mountMs: 3000 } }));
		expect(isAppError(error) ? error.code : error).toMatch(/timeout|storage/);
		expect(ms).toBeLessThan(15_000);
		expect(await nfsMounts()).toEqual([]);
	},
	limitMs,
);

test(
	"a server that is stopped is noticed, nothing waits for it, and it is back when it is",
	async () => {
		const { path } = await exported(false);
		const driver = pool(path, { limits: { lookMs: 6000, checkMs: 3000 } });
		await driver.activate();
		const id = await make(driver);
		await stopThreads();
		cleanUp.push(startThreads);
		const gone = await timed(driver.check());
		expect(gone.ms).toBeLessThan(10_000);
		expect(isAppError(gone.error, "timeout")).toBe(true);
		expect(healthOf(gone.error)).toBeDefined();
		const [looked, again] = await Promise.all([timed(driver.getVolume(id)), timed(driver.check())]);
		expect(looked.ms).toBeLessThan(10_000);
		expect(looked.error).not.toBeNull();
		expect(again.error).not.toBeNull();
		await startThreads();
		const started = performance.now();
		await waitUntil("the pool to be back", 60_000, async () => (await timed(driver.check())).error === null);
		process.stdout.write(
			`check after the stop: ${Math.round(gone.ms)} ms; back after ${Math.round(performance.now() - started)} ms\n`,
		);
		expect((await driver.getVolume(id))?.id).toBe(id);
		await make(driver, "raw");
	},
	limitMs,
);

test(
	"a copy that is under way when packets are lost goes on afterwards",
	async () => {
		const { path } = await exported(false);
		const driver = pool(path, { limits: { checkMs: 3000 } });
		await driver.activate();
		const id = await make(driver, "raw", 16 * MiB);
		await writeDisk(driver, id, 0, pattern(16 * MiB));
		const cut = await dropPackets();
		cleanUp.push(async () => cut[Symbol.asyncDispose]());
		const copy = newId();
		const copying = driver.createVolume(copy, {
			...{ format: "qcow2", sizeBytes: 16 * MiB, source: { kind: "volume", id, fullCopy: true } },
		});
		copying.catch(() => {});
		const gone = await timed(driver.check());
		expect(gone.ms).toBeLessThan(10_000);
		expect(isAppError(gone.error, "timeout")).toBe(true);
		await cut[Symbol.asyncDispose]();
		const started = performance.now();
		await copying;
		process.stdout.write(
			`packets lost: noticed in ${Math.round(gone.ms)} ms; copied ${Math.round(performance.now() - started)} ms later\n`,
		);
		expectSame((await diskContent(driver, copy)).subarray(0, MiB), pattern(MiB));
		await driver.check();
	},
	limitMs,
);

test(
	"an export that was taken away and made anew is mounted anew",
	async () => {
		const { path, folder } = await exported(false);
		const poolId = newId();
		// Else the server waits up to 45 s for each file that a client has for itself.
		await writeFile("/proc/sys/fs/leases-enable", "0");
		const driver = pool(path, { poolId });
		await driver.activate();
		const id = await make(driver);
		// The same content in another folder: the handles that the client has are of the old one.
		await unshare(path);
		await rename(folder, `${folder}-old`);
		await run("cp", ["-a", "--", `${folder}-old`, folder], { timeoutMs: 30_000 });
		await rm(`${folder}-old`, { recursive: true });
		const away = await timed(driver.check());
		expect(away.error).not.toBeNull();
		await share({ path, options: exportOptions(false) });
		await waitUntil("the pool to be back", 60_000, async () => (await timed(driver.check())).error === null);
		expect((await driver.getVolume(id))?.id).toBe(id);
		// Unmounted by somebody.
		await run("umount", ["-l", "--", join(runFolder, poolId, "mount")], { timeoutMs: 10_000 });
		await waitUntil("the pool to be back", 60_000, async () => (await timed(driver.check())).error === null);
		await make(driver);
		expect(await nfsMounts()).toHaveLength(1);
	},
	limitMs,
);

test(
	"what a guest discards is free on a server of 4.2",
	async () => {
		const { path } = await exported(false);
		const driver = pool(path, { version: "4.2" });
		await driver.activate();
		const id = await make(driver, "raw", 64 * MiB);
		await writeDisk(driver, id, 0, pattern(32 * MiB));
		const before = (await driver.getVolume(id))?.allocatedBytes ?? 0;
		expect(before).toBeGreaterThanOrEqual(32 * MiB);
		const file = sourceName((await driver.attachInfo(id)).source);
		await run("qemu-io", ["-f", "raw", "-d", "unmap", "-c", `discard 0 ${32 * MiB}`, "--", file], {
			timeoutMs: 20_000,
		});
		const after = await waitUntil("the space to be free", 20_000, async () => {
			const now = (await driver.getVolume(id))?.allocatedBytes ?? before;
			return now < MiB && now + 1;
		});
		expect(after).toBeLessThan(before);
	},
	limitMs,
);

test(
	"a mount of before the settings were changed, which a VM keeps: it goes on, and is mounted anew when nothing uses it",
	async () => {
		const { path } = await exported(false);
		const poolId = newId();
		const before = pool(path, { poolId, version: "4.1", mountOptions: ["soft", "timeo=50"] });
		await before.activate();
		const id = await make(before, "raw");
		await using held = await holdOpen(sourceName((await before.attachInfo(id)).source), "raw", null);
		await before.end();
		const driver = pool(path, { poolId, version: "4.2", mayInitialize: false });
		await driver.activate();
		const { warning } = await driver.check();
		expect(warning).toContain("with vers=4.1, soft, timeo=50 still, and not with vers=4.2, hard, timeo=100.");
		expect((await driver.getVolume(id))?.id).toBe(id);
		await held[Symbol.asyncDispose]();
		await driver.activate();
		expect((await driver.check()).warning).toBeUndefined();
		expect(driver.capabilities.reasons.discard).toBeUndefined();
		expect((await driver.getVolume(id))?.id).toBe(id);
		expect(await nfsMounts()).toHaveLength(1);
	},
	limitMs,
);

test(
	"a server that is gone does not make a pool be taken from under a VM",
	async () => {
		const { path } = await exported(false);
		const driver = pool(path, { limits: { lookMs: 6000, checkMs: 3000 } });
		await driver.activate();
		const id = await make(driver, "raw");
		await using held = await holdOpen(sourceName((await driver.attachInfo(id)).source), "raw", null);
		await stopThreads();
		cleanUp.push(startThreads);
		const { error, ms } = await timed(driver.deactivate());
		process.stdout.write(`not let go of while the server is away: after ${Math.round(ms)} ms\n`);
		expect(isAppError(error, "in-use")).toBe(true);
		expect(await nfsMounts()).toHaveLength(1);
		await startThreads();
		await waitUntil("the pool to be back", 60_000, async () => (await timed(driver.check())).error === null);
		await held[Symbol.asyncDispose]();
		await driver.deactivate();
		expect(await nfsMounts()).toEqual([]);
	},
	limitMs,
);

test(
	"what a trial that was killed has left mounted goes with the next start, though something is open there",
	async () => {
		const { path } = await exported(false);
		const driver = pool(path);
		await driver.activate();
		const at = join(runFolder, newId(), "probe-0123456789abcdef");
		await run("mkdir", ["-p", "--", at], { timeoutMs: 5000 });
		await run("mount.nfs", [`127.0.0.1:${path}`, at, "-o", "hard,vers=4.2"], { timeoutMs: 20_000 });
		await using _held = await open(join(at, "limiquantix-pool.json"), "r");
		expect(await nfsMounts()).toHaveLength(2);
		await tidyTrials(await leftTrials(runFolder), { log: silentLogger, isPoolHere: () => false });
		expect(await nfsMounts()).toHaveLength(1);
		expect(existsSync(dirname(at))).toBe(false);
		await driver.check();
	},
	limitMs,
);

test(
	"exports are found",
	async () => {
		const { path } = await exported(true);
		expect(await discoverNfsExports("127.0.0.1", { runFolder, random: systemRandom })).toContainEqual({
			path,
			clients: ["127.0.0.1"],
		});
		const { ms, error } = await timed(discoverNfsExports("192.0.2.1", { runFolder, random: systemRandom }));
		expect(error).not.toBeNull();
		expect(ms).toBeLessThan(40_000);
	},
	limitMs,
);

test("something else at the place of the mount is left alone", async () => {
	const { path } = await exported(false);
	const poolId = newId();
	const at = join(runFolder, poolId, "mount");
	await run("mkdir", ["-p", "--", at], { timeoutMs: 5000 });
	await run("mount", ["-t", "tmpfs", "--", "none", at], { timeoutMs: 5000 });
	await writeFile(join(at, "theirs"), "x");
	try {
		await fails("in-use", nfsDriver(path, { poolId }).activate());
		expect(await readdir(at)).toEqual(["theirs"]);
	} finally {
		await run("umount", ["--", at], { timeoutMs: 5000 });
	}
});
