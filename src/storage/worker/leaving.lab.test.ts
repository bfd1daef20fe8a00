/** A worker whose pool is let go of, or is not because somebody uses it: then nothing that it does is lost. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { AppError, isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { fails, newId } from "../conformance.ts";
import { temporaryFolder } from "../local/testing/local-pool.ts";
import { openWorkerPool } from "./testing/worker-pool.ts";

type Setting = {
	folder: Awaited<ReturnType<typeof temporaryFolder>>;
	driver: Awaited<ReturnType<typeof openWorkerPool>>;
};
let setting: Setting;
beforeEach(async () => {
	const folder = await temporaryFolder();
	setting = { folder, driver: await openWorkerPool(join(folder.path, "pool")) };
});
afterEach(async () => {
	await setting.driver.deactivate();
	await setting.folder[Symbol.asyncDispose]();
});

const empty = { kind: "empty" } as const;
const make = async () => {
	const id = newId();
	await setting.driver.createVolume(id, { format: "raw", sizeBytes: MiB, source: empty });
	return id;
};

test("while it changes something it is not left, and what it does is done", async () => {
	const { driver } = setting;
	const worker = await driver.processId();
	process.kill(worker, "SIGSTOP");
	const making = make();
	// The call is on its way to the worker.
	await driver.processId();
	let left = false;
	await fails(
		"in-use",
		driver.leave(async () => {
			left = true;
		}),
	);
	expect(left).toBe(false);
	process.kill(worker, "SIGCONT");
	expect((await driver.getVolume(await making))?.sizeBytes).toBe(MiB);
	expect(await driver.processId()).toBe(worker);
});

test("where it cannot be left the worker goes on, and calls of meanwhile are made", async () => {
	const { driver } = setting;
	const worker = await driver.processId();
	const { promise: unmounting, reject } = Promise.withResolvers<void>();
	const began = Promise.withResolvers<void>();
	const leaving = driver.leave(() => {
		began.resolve();
		return unmounting;
	});
	await began.promise;
	const making = make();
	await fails(
		"in-use",
		driver.leave(async () => {}),
	);
	reject(new AppError("in-use", "Files of it are open."));
	expect(await fails("in-use", leaving)).toBe("Files of it are open.");
	expect((await driver.getVolume(await making))?.sizeBytes).toBe(MiB);
	expect(await driver.processId()).toBe(worker);
});

test("a mount is busy with what it has open, and not with a worker that has nothing open", async () => {
	const at = join(setting.folder.path, "mount");
	await mkdir(at);
	await run("mount", ["-t", "tmpfs", "--", "none", at], { timeoutMs: 5000 });
	const umount = async () => {
		await run("umount", ["--", at], { timeoutMs: 5000 });
	};
	const driver = await openWorkerPool(join(at, "pool"));
	try {
		const upload = await driver.openUpload(newId(), MiB);
		const refused = await driver.leave(umount).catch((error: unknown) => error);
		expect(isAppError(refused) && refused.context.stderr).toMatch(/busy/);
		await upload.write(new Uint8Array(MiB));
		await upload.close();
		await driver.check();
		await driver.leave(umount);
		expect(await readdir(at)).toEqual([]);
	} finally {
		await driver.deactivate();
		await umount().catch(() => {});
	}
});

test("it ends once its pool is gone, also when its server is gone and looks at it hang", async () => {
	const { driver } = setting;
	const id = await make();
	const worker = await driver.processId();
	await driver.leave(async () => {});
	expect(await driver.processId()).not.toBe(worker);
	process.kill(await driver.processId(), "SIGSTOP");
	const looking = driver.getVolume(id);
	let wasLooking = true;
	looking.catch(() => {
		wasLooking = false;
	});
	await driver.processId();
	await driver.leave(async () => expect(wasLooking).toBe(false));
	await fails("unavailable", looking);
	expect((await driver.getVolume(id))?.sizeBytes).toBe(MiB);
});

test("where it cannot be left after its looks were given up, the next worker makes the pool ready as the one before did", async () => {
	const { driver, folder } = setting;
	const pool = join(folder.path, "pool");
	const id = await make();
	process.kill(await driver.processId(), "SIGSTOP");
	const looking = driver.getVolume(id);
	looking.catch(() => {});
	await driver.processId();
	const made = (await readdir(pool)).sort();
	await rmdir(join(pool, "images"));
	const busy = new AppError("in-use", "Files of it are open.");
	await fails(
		"in-use",
		driver.leave(async () => {
			throw busy;
		}),
	);
	await fails("unavailable", looking);
	expect((await driver.getVolume(id))?.sizeBytes).toBe(MiB);
	expect((await readdir(pool)).sort()).toEqual(made);
});
