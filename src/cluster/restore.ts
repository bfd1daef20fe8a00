/**
 * A snapshot file becomes the state of a data folder that has none: how one goes back to a backup. The log begins anew
 * after the snapshot's index, and the snapshot lies in `snapshots/`, where a damaged state is rebuilt from. A folder that
 * holds any state is refused: it would be lost. What else is in it (disks, certificate of the UI, what belongs to VMs) stays.
 *
 * The node is a new cluster, alone, whatever the backup was (sole-member.ts): `node.json` says so. All sessions and join tokens
 * of the backup end: whoever signed out since, or lost the cookie to somebody, would be signed in again. Tokens, users and
 * passwords come back as they were; the operator is told to look at them.
 *
 * May be interrupted at any point. The file `restoring` is there until all is done, and a node does not start beside it
 * (open-store.ts). Everything is made in `restore.tmp/` and moved to its places at the end; to restore again takes away
 * what the first attempt made, and refuses when anything else is there (restore-files.ts).
 */
import { existsSync, statSync } from "node:fs";
import { mkdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Node } from "../model/node.ts";
import { lockDataFolder } from "../store/data-lock.ts";
import { pathsOf, type StoreIdentity } from "../store/open-store.ts";
import { openStateFile } from "../store/sqlite/database.ts";
import { checkSnapshot, installSnapshot, syncPath } from "../store/sqlite/snapshot-files.ts";
import type { StateDatabase } from "../store/sqlite/state-database.ts";
import { buildFolder } from "./new-folder.ts";
import { clusterPathsOf, readNodeFile, writeNodeFile } from "./node-file.ts";
import { checkDocuments } from "./restore-check.ts";
import {
	beginMarker,
	checkHasNoState,
	checkIsAllMade,
	type Made,
	readMade,
	recordMade,
	removeMade,
} from "./restore-files.ts";
import { makeSoleMember } from "./sole-member.ts";

export type RestoreOptions = {
	snapshotPath: string;
	dataDir: string;
	/** Which node of the backup this machine is, when neither the folder nor the backup says it alone. */
	nodeName?: string | undefined;
	newId: () => string;
	nowMs: number;
	logger: Logger;
	/** For tests: called after each step, so that they see what a crash there leaves. */
	afterStep?: (step: string) => void;
};

/** `index`: what the backup holds. `membersLeft`: nodes of the backup that are no members any more. */
export type Restored = { index: number; nodeName: string; membersLeft: string[] };

type Build = Omit<RestoreOptions, "snapshotPath"> & {
	/** Of the folder; null when it says nothing. */
	identity: StoreIdentity | null;
	afterStep: (step: string) => void;
};

/**
 * `not-found`: there is no such file; `corrupt`: it is no intact snapshot; `in-use`: a daemon runs on the folder;
 * `already-exists`: the folder holds a state; `invalid`: which node this is has to be said. After a failure the folder is as
 * before.
 */
export async function restoreSnapshot(options: RestoreOptions): Promise<Restored> {
	const { afterStep = () => {} } = options;
	const [snapshotPath, dataDir] = [resolve(options.snapshotPath), resolve(options.dataDir)];
	await checkIsWhole(snapshotPath);
	const folder = await claimFolder(dataDir);
	try {
		const restored = await restoreInto(dataDir, snapshotPath, { ...options, afterStep });
		folder.keep();
		return restored;
	} catch (error) {
		await folder.giveBack();
		throw error;
	}
}

type Claim = { keep(): void; giveBack(): Promise<void> };

/** Makes and locks it. Given back, there is nothing in it, and no folder, that was not there before. */
async function claimFolder(dataDir: string): Promise<Claim> {
	// As `limiquantix serve` makes it: QEMU's user passes through it.
	const firstMade = await mkdir(dataDir, { recursive: true, mode: 0o711 });
	const lock = lockDataFolder(dataDir);
	return {
		keep: () => lock.release(),
		async giveBack() {
			lock.discard();
			if (firstMade === undefined) return;
			for (let path = dataDir; path.length >= firstMade.length; path = dirname(path))
				// One that somebody else has put something into stays.
				await rmdir(path).catch(() => {});
		},
	};
}

type Steps = RestoreOptions & { afterStep: (step: string) => void };

async function restoreInto(dataDir: string, snapshotPath: string, options: Steps): Promise<Restored> {
	const { afterStep } = options;
	refuseUnfinishedSwitch(dataDir);
	const interrupted = readMade(dataDir);
	const { node, nodeBefore } = clusterPathsOf(dataDir);
	const identity = await readNodeFile(interrupted === null ? node : nodeBefore);
	if (interrupted === null) {
		await checkHasNoState(dataDir);
		await keepNodeFile(dataDir, identity);
		await beginMarker(dataDir);
	} else await checkIsAllMade(dataDir, interrupted);
	afterStep("begun");
	let made: Made = interrupted ?? new Map();
	try {
		await removeMade(dataDir, made);
		afterStep("cleared");
		const { identity: own, ...restored } = await build(snapshotPath, { ...options, dataDir, identity, afterStep });
		made = await recordMade(dataDir);
		afterStep("recorded");
		await moveIn(dataDir, own, afterStep);
		return restored;
	} catch (error) {
		await removeMade(dataDir, made);
		// The mark of an interrupted restore stays: nothing of it has been put right.
		if (interrupted === null) {
			await putBackNodeFile(dataDir);
			await rm(pathsOf(dataDir).restoring, { force: true });
		}
		throw error;
	}
}

/** The next start would set aside what is restored now. */
export function refuseUnfinishedSwitch(dataDir: string): void {
	const { switching } = clusterPathsOf(dataDir);
	if (!existsSync(switching)) return;
	throw new AppError(
		"wrong-state",
		`This node was about to join or to leave a cluster, or to be recovered (the file ${switching} is there). Nothing was changed. Start the node once, which completes it, and stop it again.`,
	);
}

/** Until all is done, who the node was before is kept beside who it will be: a restore can be given up (advice.ts). */
async function keepNodeFile(dataDir: string, identity: StoreIdentity | null): Promise<void> {
	const { nodeBefore } = clusterPathsOf(dataDir);
	if (identity === null) await rm(nodeBefore, { force: true });
	else await writeNodeFile(nodeBefore, identity);
}

async function putBackNodeFile(dataDir: string): Promise<void> {
	const { node, nodeBefore } = clusterPathsOf(dataDir);
	if (existsSync(nodeBefore)) await rename(nodeBefore, node);
	else await rm(node, { force: true });
	await syncPath(dataDir);
}

async function checkIsWhole(snapshotPath: string): Promise<void> {
	if ((statSync(`${snapshotPath}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0)
		throw new AppError(
			"invalid",
			`Beside ${snapshotPath} lies ${snapshotPath}-wal: it is the database of a node that runs or was killed, and not whole without it. Take a file of the folder snapshots/, or one that limiquantix cluster backup made.`,
		);
	await checkSnapshot(snapshotPath);
}

/** All of it, durable, in `restore.tmp/`. */
async function build(snapshotPath: string, options: Build): Promise<Restored & { identity: StoreIdentity }> {
	const { dataDir, identity, nodeName, newId, nowMs, logger, afterStep } = options;
	const { restoreWork } = pathsOf(dataDir);
	await mkdir(restoreWork, { mode: 0o700 });
	const copy = join(restoreWork, "backup.db");
	await installSnapshot(snapshotPath, copy);
	const state = openStateFile(copy);
	try {
		checkDocuments(state);
		const index = state.appliedIndex;
		const node = chooseNode(state, identity?.nodeId ?? null, nodeName ?? null);
		const clusterId = newId();
		const membersLeft = makeSoleMember(state, { node, clusterId, operation: "clusterRestore", newId, nowMs });
		await buildFolder(state, restoreWork, { logger, afterStep });
		return { index, nodeName: node.name, membersLeft, identity: { nodeId: node.id, clusterId, founder: true } };
	} finally {
		state.close();
		for (const suffix of ["", "-wal", "-shm"]) await rm(copy + suffix, { force: true });
	}
}

/** Which node of the backup this machine is. */
function chooseNode(state: StateDatabase, nodeId: string | null, nodeName: string | null): Node {
	const nodes = state.all("node").filter(({ status }) => status.phase !== "left");
	const own = nodes.find(({ id }) => id === nodeId);
	const named = nodes.find(({ name }) => name === nodeName);
	const names = nodes.map(({ name }) => name).sort();
	if (nodeName !== null && named === undefined)
		throw new AppError("invalid", `The backup has no node ${nodeName}. Its nodes: ${names.join(", ")}.`);
	if (own !== undefined && named !== undefined && own !== named)
		throw new AppError(
			"invalid",
			`This data folder is that of the node ${own.name}. Leave --node out, or move node.json out of the folder first.`,
		);
	const node = named ?? own ?? (nodes.length === 1 ? nodes[0] : undefined);
	if (node !== undefined) return node;
	if (nodes.length === 0) throw new AppError("invalid", "There is no node in the backup.");
	throw new AppError(
		"invalid",
		`The backup is that of a cluster of several nodes. Say with --node which of them this machine is: ${names.join(", ")}.`,
	);
}

/** From here on this node is the one of the backup; what it was told as a member of another cluster does not hold any more. */
async function becomeNode(dataDir: string, identity: StoreIdentity, afterStep: (step: string) => void): Promise<void> {
	const { node, nodeBefore, peer } = clusterPathsOf(dataDir);
	const { restoring } = pathsOf(dataDir);
	await rm(peer, { recursive: true, force: true });
	await syncPath(dataDir);
	afterStep("peer removed");
	await writeNodeFile(node, identity);
	afterStep("node.json written");
	await rm(restoring);
	await syncPath(dataDir);
	await rm(nodeBefore, { force: true });
}

async function moveIn(dataDir: string, identity: StoreIdentity, afterStep: (step: string) => void): Promise<void> {
	const { restoreWork } = pathsOf(dataDir);
	const [from, to] = [pathsOf(restoreWork), pathsOf(dataDir)];
	for (const part of ["snapshots", "log", "state"] as const) {
		await rename(from[part], to[part]);
		await syncPath(dataDir);
		afterStep(`${basename(to[part])} moved`);
	}
	await rm(restoreWork, { recursive: true });
	await syncPath(dataDir);
	afterStep("work removed");
	await becomeNode(dataDir, identity, afterStep);
}
