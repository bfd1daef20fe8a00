/** A worker that stands still, as one does whose server is gone; that ends; that is none. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, chown, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { startProgram } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { fails, newId, pattern, readAll } from "../conformance.ts";
import { temporaryFolder, writeDisk } from "../local/testing/local-pool.ts";
import { inspectApart } from "./host-file.ts";
import { openWorkerPool, workerCommand } from "./testing/worker-pool.ts";
import { WorkerProcess, workerLimits } from "./worker-process.ts";

const limits = { checkMs: 300, lookMs: 800, changeMs: 1500, stallMs: 4000 };
const empty = { kind: "empty" } as const;

type Setting = {
	folder: Awaited<ReturnType<typeof temporaryFolder>>;
	driver: Awaited<ReturnType<typeof openWorkerPool>>;
};
let setting: Setting;
beforeEach(async () => {
	const folder = await temporaryFolder();
	setting = { folder, driver: await openWorkerPool(join(folder.path, "pool"), { limits }) };
});
afterEach(async () => {
	await setting.driver.deactivate();
	await setting.folder[Symbol.asyncDispose]();
});

const make = async (sizeBytes = MiB) => {
	const id = newId();
	await setting.driver.createVolume(id, { format: "raw", sizeBytes, source: empty });
	return id;
};

/** How long `work` took, and its error; and how often this process did something else meanwhile: never, if it was held up. */
async function watched(work: Promise<unknown>) {
	const started = performance.now();
	let beats = 0;
	const beat = setInterval(() => {
		beats += 1;
	}, 5);
	const error = await work.then(
		() => null,
		(failure: unknown) => failure,
	);
	clearInterval(beat);
	return { ms: performance.now() - started, error, beats };
}

test("calls fail within their limits, nothing else waits, and the next one has a new worker", async () => {
	const { driver } = setting;
	const id = await make();
	const before = await driver.processId();
	process.kill(before, "SIGSTOP");
	const checked = await watched(driver.check());
	expect(isAppError(checked.error, "timeout") && checked.error.context.health).toBe("error");
	expect(checked.ms).toBeGreaterThan(250);
	expect(checked.ms).toBeLessThan(limits.stallMs);
	const looked = await watched(Promise.allSettled([driver.getVolume(id), driver.attachInfo(id), driver.check()]));
	expect(looked.ms).toBeLessThan(limits.stallMs);
	// Of 60 at most in the first one.
	for (const { beats } of [checked, looked]) expect(beats).toBeGreaterThan(3);
	expect((await driver.getVolume(id))?.id).toBe(id);
	expect(await driver.processId()).not.toBe(before);
	expect((await driver.check()).totalBytes).toBeGreaterThan(0);
	await waitUntil("the old worker to be gone", 5000, () => !isThere(before));
});

test("one that goes on in time has lost nothing", async () => {
	const { driver } = setting;
	const id = await make();
	const worker = await driver.processId();
	process.kill(worker, "SIGSTOP");
	const looking = driver.getVolume(id);
	await fails("timeout", driver.check());
	process.kill(worker, "SIGCONT");
	expect((await looking)?.id).toBe(id);
	expect(await driver.processId()).toBe(worker);
});

test("who looks does not end what copies; what says nothing for long is ended", async () => {
	const { driver } = setting;
	const id = await make(256 * MiB);
	await writeDisk(driver, id, 0, pattern(64 * MiB));
	const worker = await driver.processId();
	const source = { kind: "volume", id, fullCopy: true } as const;
	const copy = (to: string) => driver.createVolume(to, { format: "qcow2", sizeBytes: 256 * MiB, source });
	const first = newId();
	const copying = copy(first);
	process.kill(worker, "SIGSTOP");
	await fails("timeout", driver.getVolume(id));
	process.kill(worker, "SIGCONT");
	expect((await copying).id).toBe(first);
	expect(await driver.processId()).toBe(worker);

	const second = newId();
	const stalled = copy(second);
	process.kill(worker, "SIGSTOP");
	const { ms, error } = await watched(stalled);
	expect(isAppError(error, "timeout")).toBe(true);
	expect(ms).toBeLessThan(limits.stallMs + 2500);
	// The next worker tidies up what the one before has left half made.
	expect(await driver.getVolume(second)).toBeNull();
	expect((await readdir(join(setting.folder.path, "pool", "volumes"))).filter((name) => name.startsWith("."))).toEqual(
		[],
	);
}, 30_000);

test("streams and uploads end with their worker", async () => {
	const { driver } = setting;
	const id = await make(8 * MiB);
	const image = newId();
	const upload = await driver.openUpload(image, 2 * MiB);
	await upload.write(pattern(MiB));
	const { stream } = await driver.readVolume(id, {});
	const reader = stream.getReader();
	expect((await reader.read()).value?.length).toBeGreaterThan(0);
	process.kill(await driver.processId(), "SIGKILL");
	await fails(
		"unavailable",
		(async () => {
			while (!(await reader.read()).done);
		})(),
	);
	await fails("unavailable", upload.write(pattern(1000)));
	await fails("unavailable", upload.close());
	expect(await driver.getUpload(image)).toMatchObject({ receivedBytes: MiB });
	const again = await driver.openUpload(image, 2 * MiB);
	await again.write(pattern(MiB));
	await again.close();

	// Not read to its end, a volume can be deleted all the same.
	const canceled = await driver.readVolume(id, {});
	await canceled.stream.cancel();
	const aborted = new AbortController();
	const exported = await driver.exportVolume(id, "raw", { signal: aborted.signal });
	aborted.abort(new Error("enough"));
	await expect(readAll(exported.stream)).rejects.toThrow();
	await driver.deleteVolume(id);
});

test("what is canceled stops in the worker", async () => {
	const { driver } = setting;
	const id = await make(512 * MiB);
	await writeDisk(driver, id, 0, pattern(64 * MiB));
	const canceling = new AbortController();
	const copy = newId();
	const source = { kind: "volume", id, fullCopy: true } as const;
	const progress = () => canceling.abort();
	const options = { format: "qcow2" as const, sizeBytes: 512 * MiB, source, signal: canceling.signal, progress };
	await fails("canceled", driver.createVolume(copy, options));
	expect(await driver.getVolume(copy)).toBeNull();
});

test("something else than a worker is no worker", async () => {
	const path = join(setting.folder.path, "pool");
	const open = (program: string, ...args: string[]) =>
		openWorkerPool(path, { command: { program, args }, limits: { ...limits, startMs: 1000 } });
	await fails("unavailable", open("/nonexistent/limiquantix"));
	await fails("unavailable", open("false"));
	await fails("internal", open("yes"));
	await fails("timeout", open("sleep", "60"));
});

const asRoot = process.getuid?.() === 0;
const ofRoot = asRoot ? "" : " (skipped: needs root)";
test.skipIf(!asRoot)(`a worker of another user makes files of that user${ofRoot}`, async () => {
	// Nobody in particular; all that counts is that it is not root.
	const user = { uid: 64_055, gid: 64_055 };
	const { path } = setting.folder;
	await chmod(path, 0o711);
	await mkdir(join(path, "export"));
	const open = () => openWorkerPool(join(path, "export", "pool"), { limits: { startMs: 20_000 }, user });
	expect(await fails("storage", open())).toContain("permission denied");
	await chown(join(path, "export"), user.uid, user.gid);
	const driver = await open();
	try {
		const id = newId();
		await driver.createVolume(id, { format: "qcow2", sizeBytes: MiB, source: empty });
		await driver.snapshots.take(id, newId(), { running: false });
		const file = sourceName((await driver.attachInfo(id)).source);
		expect(await stat(file)).toMatchObject({ uid: user.uid, gid: user.gid });
		// What only root may read is read here, and given to the worker.
		const hostFile = join(path, "disk.img");
		await writeFile(hostFile, pattern(MiB), { mode: 0o600 });
		const image = newId();
		await driver.importFile(image, hostFile, {});
		expect((await driver.finishImage(image, { format: "raw", sha256: null })).virtualSizeBytes).toBe(MiB);
		await driver.deleteVolume(id);
	} finally {
		await driver.deactivate();
	}
});

test("the driver of a node that ends has no worker any more, and starts none", async () => {
	const { driver } = setting;
	const id = await make();
	const worker = await driver.processId();
	await driver.end();
	expect(isThere(worker)).toBe(false);
	await fails("unavailable", driver.getVolume(id));
});

test("a worker ends with its daemon", async () => {
	const worker = await startProgram(workerCommand.program, workerCommand.args, { user: null });
	worker.stdin.end();
	expect(await worker.ended).toMatch(/SIGKILL|exit code 0/);
});

function isThere(processId: number): boolean {
	try {
		process.kill(processId, 0);
		return true;
	} catch {
		return false;
	}
}

const oddWorker = { program: process.execPath, args: [join(import.meta.dir, "testing/odd-worker.ts")] };

test("what takes long within its limit goes on while the worker gives signs of life", async () => {
	const context = { clock: systemClock, log: silentLogger, limits: { ...workerLimits, stallMs: 800 } };
	const worker = await WorkerProcess.start(oddWorker, null, context);
	try {
		// A sign is asked for after a quarter of the silence that is put up with.
		const { value } = await worker.call("work", [8], { limitMs: 60_000 });
		expect(value).toBe(8);
	} finally {
		worker.kill(new AppError("unavailable", "The test ends."));
		await worker.ended;
	}
});

test("a worker that dies of one file leaves the others to another one", async () => {
	const options = { command: oddWorker, clock: systemClock, log: silentLogger };
	const files = ["/a", "/deadly", "/b", "/deadly-too", "/c"].map((path) => ({ path, format: "raw" as const }));
	const found = await inspectApart(options, files, [], []);
	const seen = found.map((one) => (one instanceof AppError ? one.code : one.realPath));
	expect(seen).toEqual(["/a", "unavailable", "/b", "unavailable", "/c"]);
});
