/**
 * Is a file of the state (the database, a snapshot) what was written? `checkStateFile` reads all of it: structure,
 * indices against rows, rows against the digest. That takes a second for a hundred megabytes, so a database that is
 * closed in order is checked then and gets a **seal** beside it: the hash of what was found intact. A start that finds
 * the same hash need not look further; any other (after a crash, or when a bit has flipped meanwhile) does.
 */
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { AppError } from "../../lib/errors.ts";
import { WorkerClient, WorkerError } from "../worker-client.ts";
import { isDamageCode } from "./failures.ts";
import { refuseNewer, schemaVersion } from "./migrations.ts";
import { type FileReport, type SnapshotWorkerCalls, snapshotWorker } from "./snapshot-worker.ts";
import { digestText, makeStateDigest, stateDigest } from "./state-digest.ts";

/** What an intact file holds: everything up to this entry of the log. */
export type StateFile = { index: number; term: number };

/**
 * Changes nothing, whatever it finds. `found` says what is wrong, in the middle of a sentence. Rejects with
 * `unsupported` when a newer version wrote the file, with `storage` when it cannot be read.
 */
export async function checkStateFile(path: string): Promise<StateFile | { found: string }> {
	const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size;
	if (sizeBytes === undefined) throw new AppError("not-found", `There is no file ${path}.`);
	if (sizeBytes > 0 && !(await hasOurHeader(path))) return { found: "it does not begin like a database" };
	const hadWal = existsSync(`${path}-wal`);
	const worker = new WorkerClient(snapshotWorker, makeStateDigest);
	try {
		const args: SnapshotWorkerCalls["check"] = { path, newestVersion: schemaVersion };
		const { version, found, index, term } = (await worker.call("check", args)) as FileReport;
		refuseNewer(version);
		return found === null ? { index, term } : { found };
	} catch (error) {
		if (!(error instanceof WorkerError)) throw error;
		if (isDamageCode(error.code ?? "")) return { found: error.message };
		throw new AppError("storage", `The file ${path} cannot be read (${error.message}).`, { cause: error });
	} finally {
		worker.close();
		// A reader makes these where there are none, and leaves them.
		if (!hadWal) for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
	}
}

/** Magic, and versions of the format: with others, SQLite would take the file for one that cannot be written. */
async function hasOurHeader(path: string): Promise<boolean> {
	const header = await Bun.file(path).slice(0, 21).bytes();
	const magic = Buffer.from(header.subarray(0, 16)).toString("latin1");
	const [write = 0, read = 0, reserved = -1] = header.subarray(18);
	return magic === "SQLite format 3\0" && [1, 2].includes(write) && [1, 2].includes(read) && reserved === 0;
}

const sealOf = (path: string): string => `${path}.seal`;

/** Is the database, byte by byte, the one that was sealed? */
export function isSealed(path: string): boolean {
	try {
		if (hasChangesBeside(path)) return false;
		return readFileSync(sealOf(path), "latin1") === sealText(path, stateDigest.hashOfFile(path));
	} catch {
		// Without a seal, or with an error of the disk, it is for the check to say.
		return false;
	}
}

/** For a database that was closed. Without the seal, `found` or an error, the next start takes a closer look itself. */
export async function sealStateFile(path: string): Promise<StateFile | { found: string }> {
	rmSync(sealOf(path), { force: true });
	const checked = await checkStateFile(path);
	if ("found" in checked || hasChangesBeside(path)) return checked;
	const worker = new WorkerClient(snapshotWorker, makeStateDigest);
	try {
		const hash = (await worker.call("hash", { path } satisfies SnapshotWorkerCalls["hash"])) as bigint;
		// Not synced: one that a power cut damages does not match, and that is all.
		writeFileSync(`${sealOf(path)}.tmp`, sealText(path, hash), { mode: 0o600 });
		renameSync(`${sealOf(path)}.tmp`, sealOf(path));
	} finally {
		worker.close();
	}
	return checked;
}

const hasChangesBeside = (path: string): boolean => (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;

const sealText = (path: string, hash: bigint): string => `${statSync(path).size} ${digestText(hash)}\n`;
