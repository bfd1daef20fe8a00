/**
 * What a restore has put into a data folder, told from what others put there: the file `restoring` holds the hash of each
 * file that the restore made, durably, before the first of them is moved to its place. So a restore that is done again
 * takes away its own files and nothing else, whatever was moved into the folder meanwhile.
 */
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { open, readdir, rename, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { AppError } from "../lib/errors.ts";
import { otherStateAdvice } from "../store/advice.ts";
import { pathsOf } from "../store/open-store.ts";
import { syncPath } from "../store/sqlite/snapshot-files.ts";
import { digestText, stateDigest } from "../store/sqlite/state-digest.ts";

/** Hashes by path in the data folder. */
export type Made = ReadonlyMap<string, string>;

/** The parts of a state, whole or not. */
const isState = (name: string): boolean => name.startsWith("state.db") || name === "raft" || name === "snapshots";
const stateIn = async (dataDir: string): Promise<string[]> => (await readdir(dataDir)).filter(isState).sort();

/** What an interrupted restore has made; null without one. One that came to nothing yet has an empty file. */
export function readMade(dataDir: string): Made | null {
	const { restoring } = pathsOf(dataDir);
	if (!existsSync(restoring)) return null;
	try {
		return new Map(Object.entries(JSON.parse(readFileSync(restoring, "utf8")) as Record<string, string>));
	} catch {
		return new Map();
	}
}

export async function beginMarker(dataDir: string): Promise<void> {
	await (await open(pathsOf(dataDir).restoring, "w", 0o600)).close();
	await syncPath(dataDir);
}

/** All that lies in `restore.tmp` counts as made from now on. */
export async function recordMade(dataDir: string): Promise<Made> {
	const { restoring, restoreWork } = pathsOf(dataDir);
	const made = new Map(filesIn(restoreWork).map((name) => [name, hashOf(join(restoreWork, name))]));
	const temporary = join(restoreWork, "restoring");
	const file = await open(temporary, "wx", 0o600);
	try {
		await file.writeFile(JSON.stringify(Object.fromEntries(made)));
		await file.sync();
	} finally {
		await file.close();
	}
	await rename(temporary, restoring);
	await syncPath(dataDir);
	return made;
}

/** `already-exists` when there is any part of a state. Empty folders are none. */
export async function checkHasNoState(dataDir: string): Promise<void> {
	for (const name of await stateIn(dataDir)) {
		if (isEmptyFolder(join(dataDir, name))) continue;
		throw new AppError(
			"already-exists",
			`The data folder ${dataDir} holds a state already (${name}). Nothing was changed. Move raft/, snapshots/ and state.db* out of it first.`,
		);
	}
}

/** `already-exists` when a part of the state that is there is not what the interrupted restore made. */
export async function checkIsAllMade(dataDir: string, made: Made): Promise<void> {
	for (const name of await stateIn(dataDir)) {
		const other = filesIn(dataDir, name).find((path) => made.get(path) !== hashOf(join(dataDir, path)));
		if (other === undefined) continue;
		throw new AppError(
			"already-exists",
			`A restore into ${dataDir} was interrupted, and ${other} is not from it. Nothing was changed. ${otherStateAdvice}`,
		);
	}
}

/** What restores have left. May be interrupted and done again. */
export async function removeMade(dataDir: string, made: Made): Promise<void> {
	await rm(pathsOf(dataDir).restoreWork, { recursive: true, force: true });
	await checkIsAllMade(dataDir, made);
	for (const name of await stateIn(dataDir)) await rm(join(dataDir, name), { recursive: true, force: true });
	await syncPath(dataDir);
}

/** Files, and whatever else is no folder, by their paths in `folder`. */
function filesIn(folder: string, under = ""): string[] {
	const path = join(folder, under);
	if (!lstatSync(path).isDirectory()) return [under];
	return readdirSync(path, { recursive: true, withFileTypes: true })
		.filter((entry) => !entry.isDirectory())
		.map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

function hashOf(path: string): string {
	return lstatSync(path).isFile() ? digestText(stateDigest.hashOfFile(path)) : "no file";
}

const isEmptyFolder = (path: string): boolean => lstatSync(path).isDirectory() && readdirSync(path).length === 0;
