/** What becomes of an error of the disk in the upkeep of the state: most are tried again, one must not be. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import type { AppError } from "../../lib/errors.ts";
import { type Logger, silentLogger } from "../../lib/log.ts";
import { WorkerClient } from "../worker-client.ts";
import { openStateFile } from "./database.ts";
import { defaultPolicy, Maintenance } from "./maintenance.ts";
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

type Thread = (worker: (digest: () => never) => void) => void;

/** The thread, where every sync fails. Its digest is of no use here. */
const unsynced: Thread = (worker) => {
	const fs = process.getBuiltinModule("node:fs");
	Object.assign(fs, {
		fsyncSync() {
			throw Object.assign(new Error("input/output error"), { code: "EIO" });
		},
	});
	worker(() => ({}) as never);
};

/** The thread, where there is no space for anything. */
const full: Thread = (worker) => {
	const fs = process.getBuiltinModule("node:fs");
	Object.assign(fs, {
		statSync() {
			throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
		},
	});
	worker(() => ({}) as never);
};

/** Moves the write-ahead log in such a thread; says what came of it. */
async function checkpoint(thread: Thread): Promise<string> {
	const { promise, resolve } = Promise.withResolvers<string>();
	const warn = (_message: string, fields?: Record<string, unknown>) =>
		resolve(`tried again: ${(fields?.error as AppError | undefined)?.code}`);
	const maintenance = new Maintenance(
		{
			...{ state, statePath: join(folder, "state.db"), snapshotDirectory: folder, clock: systemClock },
			policy: { ...defaultPolicy, checkpointBytes: 1 },
			logger: { ...silentLogger, warn } as Logger,
			logBytesAfter: () => 0,
			compact: async () => {},
			held: (work) => work(),
			onFatal: (error) => resolve(`ends: ${error.code}`),
			openWorker: () => new WorkerClient(thread, snapshotWorker),
		},
		{ index: 0, bytes: 0 },
	);
	maintenance.onApplied(256);
	const outcome = await promise;
	await maintenance.close();
	return outcome;
}

test("a sync that fails ends the process: the next one would say that all is there", async () => {
	expect(await checkpoint(unsynced)).toBe("ends: storage");
});

test("a full disk is tried again", async () => {
	expect(await checkpoint(full)).toBe("tried again: no-space");
});
