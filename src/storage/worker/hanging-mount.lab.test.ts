/** File systems that do not answer: where a pool lies, where another one lies, and where single files do. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, stat, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { HangingPaths } from "../../lib/hanging-paths.ts";
import { silentLogger } from "../../lib/log.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { type HangingMount, startHangingMount } from "../../testing/lab/hanging-mount.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, fails, newId, pattern } from "../conformance.ts";
import type { PoolPlace } from "../driver.ts";
import { temporaryFolder, writeDisk } from "../local/testing/local-pool.ts";
import { hostFileApart } from "./host-file.ts";
import { LocalPoolDriver } from "./local-pool.ts";
import { workerCommand } from "./testing/worker-pool.ts";

const testLimitMs = 60_000;
const silent = /does not answer/;
const apart = { command: workerCommand, clock: systemClock, log: silentLogger };

let mount: HangingMount;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let drivers: LocalPoolDriver[] = [];
beforeEach(async () => {
	mount = await startHangingMount();
	folder = await temporaryFolder();
	drivers = [];
}, testLimitMs);
afterEach(async () => {
	mount.goOn();
	for (const driver of drivers) await driver.deactivate();
	await mount[Symbol.asyncDispose]();
	await folder[Symbol.asyncDispose]();
}, testLimitMs);

function pool(path: string, otherPools: PoolPlace[] = [], poolId = newId()): LocalPoolDriver {
	const driver = new LocalPoolDriver({
		...{ poolId, path, mayInitialize: true, protectedPaths: [], otherPools: () => otherPools },
		...{ clock: systemClock, log: silentLogger, worker: workerCommand },
		limits: { checkMs: 1000, lookMs: 3000 },
	});
	drivers.push(driver);
	return driver;
}

async function activePool(path: string, otherPools: PoolPlace[] = [], poolId = newId()): Promise<LocalPoolDriver> {
	const driver = pool(path, otherPools, poolId);
	await driver.activate();
	return driver;
}

const make = async (driver: LocalPoolDriver) => {
	const id = newId();
	await driver.createVolume(id, { format: "qcow2", sizeBytes: MiB, source: { kind: "empty" } });
	return id;
};

async function makeFile(path: string): Promise<string> {
	await run("qemu-img", ["create", "-q", "-f", "qcow2", "--", path, String(2 * MiB)], { timeoutMs: 10_000 });
	return path;
}

/** More looks at once than a process has threads for its file work: all come back, and none of them is a thread of ours. */
async function fileWorkGoesOn(): Promise<void> {
	for (let count = 0; count < 64; count++) expect((await stat("/etc/passwd")).isFile()).toBe(true);
}

test(
	"a pool whose folder hangs says so, keeps nobody else, and is itself again when it answers",
	async () => {
		const path = join(mount.path, "pool");
		const place = { poolId: newId(), name: "hung", path, wasReady: true };
		const hung = await activePool(path, [], place.poolId);
		const id = await make(hung);
		await writeDisk(hung, id, 0, pattern(4096));
		mount.hang();
		// Many at once: each would take a thread.
		const looks = Array.from({ length: 16 }, () => fails("timeout", hung.getVolume(id)));
		expect(await fails("timeout", hung.check())).toMatch(silent);
		await fileWorkGoesOn();
		expect(await fails("timeout", hung.activate())).toMatch(silent);

		const other = await activePool(join(folder.path, "other"), [place]);
		await make(other);
		expect((await other.check()).totalBytes).toBeGreaterThan(0);
		expect((await pool(join(folder.path, "third"), [place]).probe()).totalBytes).toBeGreaterThan(0);
		// Nobody knows whose the files of this node are.
		const file = await makeFile(join(folder.path, "file.qcow2"));
		expect(await fails("storage", other.adoptableFiles([{ path: file, format: "qcow2" }]))).toContain('"hung"');
		await fails("timeout", pool(join(mount.path, "new")).probe());
		await Promise.all(looks);

		mount.goOn();
		await waitUntil("the pool to answer", 15_000, () =>
			hung.activate().then(
				() => true,
				() => false,
			),
		);
		expect((await hung.check()).totalBytes).toBeGreaterThan(0);
		expectSame((await diskContent(hung, id)).subarray(0, 4096), pattern(4096));
		await waitUntil("the other pool to take files", 15_000, () =>
			other.adoptableFiles([{ path: file, format: "qcow2" }]).then(
				([found]) => found !== undefined && "sizeBytes" in found,
				() => false,
			),
		);
	},
	testLimitMs,
);

test(
	"a file that does not answer is neither imported nor taken over, and the one beside it is",
	async () => {
		const driver = await activePool(join(folder.path, "pool"));
		const hung = await makeFile(join(mount.path, "hung.qcow2"));
		// Nothing in the name says where it leads.
		await symlink(mount.path, join(folder.path, "link"));
		const linked = join(folder.path, "link", "hung.qcow2");
		const good = await makeFile(join(folder.path, "good.qcow2"));
		mount.hang();
		const image = newId();
		expect(await fails("timeout", driver.importFile(image, hung, {}))).toMatch(silent);
		expect(await driver.getUpload(image)).toBeNull();
		const answers = await driver.adoptableFiles([hung, good, linked].map((path) => ({ path, format: "qcow2" })));
		expect(answers).toMatchObject([
			{ refusal: expect.stringMatching(silent), heldBy: null },
			{ sizeBytes: 2 * MiB },
			{ refusal: expect.stringMatching(silent), heldBy: null },
		]);
		expect(await fails("timeout", driver.adoptVolume(newId(), { path: hung, format: "qcow2" }))).toMatch(silent);
		await fileWorkGoesOn();
		await driver.importFile(image, good, {});
		mount.goOn();
		await driver.importFile(newId(), hung, {});
		expect(await driver.adoptableFiles([{ path: linked, format: "qcow2" }])).toMatchObject([{ sizeBytes: 2 * MiB }]);
	},
	testLimitMs,
);

test(
	"a file that hangs while it is read ends its import",
	async () => {
		const path = join(mount.path, "file");
		// Far more than is read ahead.
		const wholeBytes = 32 * MiB;
		await Bun.write(join(mount.behind, "file"), pattern(wholeBytes));
		const limits = { lookMs: 2000, readMs: 1000 };
		await using file = await hostFileApart({ ...apart, limits }, path, []);
		expectSame(await file.read(0, MiB), pattern(wholeBytes).subarray(0, MiB));
		mount.hang();
		// What the kernel has read ahead is there still, and it keeps for a moment what it knows of the file; past that it asks.
		const reading = async () => {
			for (let at = MiB; at < wholeBytes; at += MiB) await file.read(at, MiB);
		};
		expect(await fails("timeout", reading())).toMatch(silent);
		await fileWorkGoesOn();
		mount.goOn();
		await using again = await hostFileApart({ ...apart, limits }, path, []);
		const hash = new Bun.CryptoHasher("sha256").update(pattern(wholeBytes)).digest("hex");
		expect(await again.sha256({})).toBe(hash);
	},
	testLimitMs,
);

test(
	"a copy into a pool says which of the two hangs, the file or the pool, and one that is called off ends",
	async () => {
		const bytes = pattern(64 * MiB);
		const [near, far] = [join(folder.path, "file"), join(mount.path, "file")];
		for (const path of [near, join(mount.behind, "file")]) await Bun.write(path, bytes);
		const target = async (path: string) => {
			await Bun.write(path, "");
			return path;
		};
		const copied = async (from: string, to: string, readMs: number) => {
			await using file = await hostFileApart({ ...apart, limits: { lookMs: 5000, readMs } }, from, []);
			const controller = new AbortController();
			let begun = false;
			const progress = () => {
				if (begun) return;
				begun = true;
				mount.hang();
				if (readMs > 10_000) controller.abort();
			};
			return await file.copyTo(to, { progress, signal: controller.signal });
		};
		const local = await target(join(folder.path, "target"));
		expect(await fails("timeout", copied(far, local, 1000))).toContain(`The file ${far}`);
		mount.goOn();
		const remote = await target(join(mount.path, "target"));
		expect(await fails("timeout", copied(near, remote, 1000))).toBe("The pool's file system does not answer.");
		mount.goOn();
		// Called off while it waits.
		await fails("canceled", copied(near, await target(remote), 120_000));
		mount.goOn();
		await using file = await hostFileApart(apart, far, []);
		const hash = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
		expect(await file.copyTo(await target(local), {})).toBe(hash);
		expectSame(new Uint8Array(await Bun.file(local).arrayBuffer()), bytes);
	},
	testLimitMs,
);

test(
	"a pool whose mount hung and was taken away is healthy when another one is there",
	async () => {
		const path = join(mount.path, "pool");
		const driver = new LocalPoolDriver({
			...{ poolId: newId(), path, mayInitialize: true, protectedPaths: [], otherPools: () => [] },
			...{ clock: systemClock, log: silentLogger, worker: workerCommand },
			// As it is in the service, but that what hangs is ended sooner.
			limits: { lookMs: 8000 },
		});
		drivers.push(driver);
		await driver.activate();
		mount.hang();
		expect(await fails("timeout", driver.check())).toMatch(/does not answer/);
		await run("umount", ["-l", "--", mount.path], { timeoutMs: 10_000 });
		// As the same export, mounted anew.
		await run("mount", ["--bind", "--", mount.behind, mount.path], { timeoutMs: 10_000 });
		try {
			await waitUntil("the pool to be healthy", 40_000, () =>
				driver.check().then(
					() => true,
					() => false,
				),
			);
		} finally {
			await driver.deactivate();
			await run("umount", ["--", mount.path], { timeoutMs: 10_000 });
		}
	},
	testLimitMs,
);

test(
	"a file in a pool that was made since stays when a volume is deleted that was recorded with it",
	async () => {
		const places: PoolPlace[] = [];
		const first = await activePool(join(folder.path, "first"), places);
		await mkdir(join(folder.path, "second"));
		const path = await makeFile(join(folder.path, "second", "file.qcow2"));
		const { id } = await first.adoptVolume(newId(), { path, format: "qcow2" });
		places.push({ poolId: newId(), name: "second", path: dirname(path), wasReady: true });
		await first.deleteVolume(id);
		expect(await first.getVolume(id)).toBeNull();
		expect(await Bun.file(path).exists()).toBe(true);
	},
	testLimitMs,
);

test(
	"a volume whose file lies elsewhere and hangs is in trouble alone",
	async () => {
		const driver = await activePool(join(folder.path, "pool"));
		const theirs = newId();
		const format = "qcow2" as const;
		await driver.adoptVolume(theirs, { path: await makeFile(join(mount.path, "theirs.qcow2")), format });
		const ours = await make(driver);
		await driver.getVolume(theirs);
		mount.hang();
		// That it answered counts for a moment.
		const paths = new HangingPaths(systemClock);
		await waitUntil("the file to hang", 15_000, async () => !(await paths.answers(join(mount.path, "theirs.qcow2"))));
		const damaged = await driver.damagedVolumes([theirs, ours]);
		expect(damaged).toMatchObject([{ id: theirs, error: { message: expect.stringMatching(silent) } }]);
		expect(await fails("timeout", driver.attachInfo(theirs))).toMatch(silent);
		await fails("timeout", driver.deleteVolume(theirs));
		expect((await driver.check()).totalBytes).toBeGreaterThan(0);
		const copy = newId();
		const source = { kind: "volume", id: ours, fullCopy: false } as const;
		await driver.createVolume(copy, { format, sizeBytes: MiB, source });
		await driver.deleteVolume(copy);
		expect((await driver.listVolumes()).map(({ id }) => id)).toEqual([ours]);
		await fails("timeout", driver.snapshots.take(theirs, newId(), { running: false }));
		// Begun anew meanwhile, as by a start of the daemon.
		await driver.deactivate();
		await driver.activate();
		expect((await driver.getVolume(ours))?.id).toBe(ours);

		mount.goOn();
		await waitUntil("the volume to be back", 20_000, async () => (await driver.damagedVolumes([theirs])).length === 0);
		expect((await driver.getVolume(theirs))?.sizeBytes).toBe(2 * MiB);
		await driver.deleteVolume(theirs);
		expect(await Bun.file(join(mount.behind, "theirs.qcow2")).exists()).toBe(false);
	},
	testLimitMs,
);

test(
	"where paths lead is asked aside; what does not answer is as it was",
	async () => {
		const paths = new HangingPaths(systemClock);
		await mkdir(join(mount.behind, "deep"));
		await symlink(join(mount.path, "deep"), join(folder.path, "link"));
		const [link, there] = [join(folder.path, "link", "disk"), join(folder.path, "disk")];
		const real = join(mount.path, "deep", "disk");
		expect(await paths.lastRealPaths([there, link, there])).toEqual([there, real, there]);
		mount.hang();
		// What the kernel knows of it counts for a second.
		await waitUntil("the mount to hang", 15_000, async () => (await paths.realPaths([link]))[0] === null);
		const other = join(dirname(link), "other");
		expect(await paths.realPaths([link, there, other, dirname(mount.path)])).toEqual([
			...[null, there, null, dirname(mount.path)],
		]);
		expect(await paths.lastRealPaths([link, other])).toEqual([real, null]);
		await fileWorkGoesOn();
		mount.goOn();
		await waitUntil("the mount to answer", 15_000, async () => (await paths.realPaths([link]))[0] === real);
	},
	testLimitMs,
);

test(
	"an empty folder where a pool was is a disk that is not mounted",
	async () => {
		const path = join(folder.path, "pool");
		const driver = await activePool(path);
		await run("mv", ["--", path, `${path}.away`], { timeoutMs: 5000 });
		await mkdir(path);
		await fails("storage", driver.activate());
		await driver.deactivate();
		expect(await fails("storage", driver.activate())).toContain("mounted");
		await run("rmdir", ["--", path], { timeoutMs: 5000 });
		await run("mv", ["--", `${path}.away`, path], { timeoutMs: 5000 });
		await driver.activate();
		await driver.remove();
		await driver.activate();
	},
	testLimitMs,
);
