/** What becomes of an error of the disk in the upkeep of the state: most are tried again, one must not be. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import type { AppError } from "../../lib/errors.ts";
import { type Logger, silentLogger } from "../../lib/log.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { WorkerClient } from "../worker-client.ts";
import { openStateFile } from "./database.ts";
import { defaultPolicy, Maintenance, type MaintenanceParts, type MaintenancePolicy } from "./maintenance.ts";
import { snapshotName } from "./snapshot-files.ts";
import { snapshotWorker } from "./snapshot-worker.ts";
import type { StateDatabase } from "./state-database.ts";

let folder: string;
let state: StateDatabase;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-upkeep-"));
	state = openStateFile(join(folder, "state.db"));
	state.transaction(() => state.setApplied(256, 1));
});
afterEach(() => {
	state.close();
	rmSync(folder, { recursive: true });
});

type Thread = (worker: (digest: () => object) => void) => void;

/** The thread, where every sync fails with what it is given; nothing is wrong with what it copies. */
const unsynced = (code: string): Thread => {
	const thread = (worker: (digest: () => object) => void): void => {
		const fs = process.getBuiltinModule("node:fs");
		Object.assign(fs, {
			fsyncSync() {
				throw Object.assign(new Error("it is not on the disk"), { code: "CODE" });
			},
		});
		worker(() => ({ version: () => 1, damageOfStructure: () => null, damageOfRows: () => null }));
	};
	return textOf(thread, code);
};

/** The thread, where what is in a file is kept, and what it is called is not. */
const unnamed: Thread = (worker) => {
	const fs = process.getBuiltinModule("node:fs");
	const sync = fs.fsyncSync;
	Object.assign(fs, {
		fsyncSync(handle: number) {
			if (fs.fstatSync(handle).isDirectory()) throw Object.assign(new Error("it is not on the disk"), { code: "EIO" });
			sync(handle);
		},
	});
	worker(() => ({ version: () => 1, damageOfStructure: () => null, damageOfRows: () => null }));
};

/** The thread, as it is. */
const working: Thread = (worker) =>
	worker(() => ({ version: () => 1, damageOfStructure: () => null, damageOfRows: () => null }));

/** The thread, where SQLite says what it is given. */
const failing = (code: string): Thread => {
	const thread = (worker: (digest: () => object) => void): void => {
		const { Database } = process.getBuiltinModule("bun:sqlite") as typeof import("bun:sqlite");
		Object.assign(Database.prototype, {
			run() {
				throw Object.assign(new Error("SQLite"), { code: "CODE" });
			},
		});
		worker(() => ({}));
	};
	return textOf(thread, code);
};

/** A thread is its text: nothing that it is given can be in it but so. */
function textOf(thread: Thread, code: string): Thread {
	const text = thread.toString().replace('"CODE"', JSON.stringify(code));
	return Object.assign(() => {}, { toString: () => text });
}

/** The thread, where there is no space for anything. */
const full: Thread = (worker) => {
	const fs = process.getBuiltinModule("node:fs");
	Object.assign(fs, {
		statSync() {
			throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
		},
	});
	worker(() => ({}));
};

/** Does what is due in such a thread; says what came of it. */
async function upkeep(
	thread: Thread,
	policy: Partial<MaintenancePolicy>,
	more: Partial<MaintenanceParts> = {},
): Promise<string> {
	const { promise, resolve } = Promise.withResolvers<string>();
	const warn = (_message: string, fields?: Record<string, unknown>) =>
		resolve(`tried again: ${(fields?.error as AppError | undefined)?.code}`);
	const maintenance = new Maintenance(
		{
			...{ state, statePath: join(folder, "state.db"), snapshotDirectory: folder, clock: systemClock },
			policy: { ...defaultPolicy, ...policy },
			logger: { ...silentLogger, warn, info: resolve } as Logger,
			logBytesAfter: () => 0,
			compact: async () => {},
			held: (work) => work(),
			onFatal: (error) => resolve(`ends: ${error.code}`),
			openWorker: () => new WorkerClient(thread, snapshotWorker),
			...more,
		},
		{ index: 0, bytes: 0 },
	);
	maintenance.onApplied(256);
	const outcome = await promise;
	await maintenance.close();
	return outcome;
}
const checkpoint = (thread: Thread) => upkeep(thread, { checkpointBytes: 1 });
const snapshot = (thread: Thread) => upkeep(thread, { snapshotEntries: 1 });
const snapshots = () => readdirSync(folder).filter((name) => !name.startsWith("state.db"));

test("a sync that fails ends the process: the next one would say that all is there", async () => {
	expect(await checkpoint(unsynced("EIO"))).toBe("ends: storage");
	expect(await checkpoint(failing("SQLITE_IOERR_FSYNC"))).toBe("ends: storage");
});

test("a full disk is tried again", async () => {
	expect(await checkpoint(full)).toBe("tried again: no-space");
});

test("a sync of a copy that fails costs the copy: what it was made from has its own", async () => {
	expect(await snapshot(unsynced("EIO"))).toBe("tried again: storage");
	expect(await snapshot(unsynced("ENOSPC"))).toBe("tried again: no-space");
	expect(await snapshot(unsynced("EDQUOT"))).toBe("tried again: no-space");
	expect(await snapshot(failing("SQLITE_IOERR_FSYNC"))).toBe("tried again: storage");
	expect(await snapshot(unnamed)).toBe("tried again: storage");
	expect(snapshots()).toEqual([]);
});

test("room is asked for what the copy will take, and not for what the one before took", async () => {
	const asked: number[] = [];
	const fits = (bytes: number) => {
		asked.push(bytes);
		return false;
	};
	const asksFor = async () => {
		expect(await upkeep(full, { snapshotEntries: 1 }, { fits })).toBe("tried again: no-space");
		const copy = join(folder, `copy-${asked.length}`);
		state.database.run("VACUUM INTO ?", [copy]);
		return [asked.at(-1) ?? 0, statSync(copy).size] as const;
	};
	// Before the first one, too.
	let [wanted, taken] = await asksFor();
	expect(wanted).toBeGreaterThanOrEqual(taken);
	state.database.run("CREATE TABLE grown (bytes BLOB) STRICT");
	state.database.run("INSERT INTO grown VALUES (zeroblob(8000000))");
	[wanted, taken] = await asksFor();
	expect([wanted >= taken, taken > 8_000_000]).toEqual([true, true]);
	// What was deleted is still in the file, and in no copy.
	state.database.run("DROP TABLE grown");
	[wanted, taken] = await asksFor();
	expect([wanted >= taken, wanted < 1_000_000]).toEqual([true, true]);
});

test("where there is none, the older snapshots go first, and the newest stays", async () => {
	for (const index of [1, 2, 3]) writeFileSync(join(folder, snapshotName(index)), "one of before");
	let isEnough = true;
	const fits = () => isEnough && snapshots().length < 2;
	expect(await upkeep(working, { snapshotEntries: 1 }, { fits })).toBe("snapshot of the state made");
	expect(snapshots()).toContain(snapshotName(3));
	for (const name of snapshots().filter((one) => one !== snapshotName(3))) rmSync(join(folder, name));
	isEnough = false;
	expect(await upkeep(working, { snapshotEntries: 1 }, { fits })).toBe("tried again: no-space");
	expect(snapshots()).toEqual([snapshotName(3)]);
});

test("while there is none for a snapshot, the write-ahead log is moved in all the same", async () => {
	const clock = new ManualClock(0);
	const called: string[] = [];
	const worker = { call: async (operation: string) => void called.push(operation), close() {} };
	const failed: string[] = [];
	const maintenance = new Maintenance(
		{
			...{ state, statePath: join(folder, "state.db"), snapshotDirectory: folder, clock, fits: () => false },
			policy: { ...defaultPolicy, snapshotEntries: 1, checkpointBytes: 1 },
			logger: { ...silentLogger, warn: (message: string) => void failed.push(message) } as Logger,
			...{ logBytesAfter: () => 0, compact: async () => {}, held: (work: () => Promise<unknown>) => work() },
			onFatal: () => expect.unreachable("nothing is wrong"),
			openWorker: () => worker as unknown as WorkerClient,
		},
		{ index: 0, bytes: 0 },
	);
	const moved = () => called.filter((operation) => operation === "checkpoint").length;
	for (let times = 1; times <= 8; times++) {
		maintenance.onApplied(times * 256);
		// Twice each: it is longer than four times the bound of this test.
		await waitUntil("it to be moved", 5_000, () => moved() === 2 * times);
		// What is under way has ended.
		await maintenance.exclusively(() => {});
		clock.advance(1);
	}
	await maintenance.close();
	expect([failed.length, moved()]).toEqual([1, 16]);
});

test("for the write-ahead log it is made as long as there is something to give up", async () => {
	let steps = 3;
	const makeRoom = async () => steps-- > 0;
	expect(await upkeep(failing("SQLITE_FULL"), { checkpointBytes: 1 }, { makeRoom })).toBe("tried again: no-space");
	expect(steps).toBe(-1);
});
