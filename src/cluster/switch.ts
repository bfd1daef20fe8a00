/**
 * A node becomes another one: a member of a cluster that it joined, a new cluster of its own after it left, or what a
 * recovery made of it (recover.ts). At a start, with nothing running:
 *
 *   1. what it was goes to `former/<id>/`: state, log, snapshots, who it was
 *   2. what it will be comes from `joining/`; after leaving there is nothing, and the start makes a new cluster
 *
 * `switching.json` says which step is under way, so an interrupted one goes on. Disks, VM folders and the certificate of the UI
 * stay where they are.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";
import { passing } from "../lib/halting.ts";
import { isUuid } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { type Identity, saveIdentity, writeSecret } from "../peer/identity.ts";
import { lockDataFolder } from "../store/data-lock.ts";
import { syncPath } from "../store/sqlite/snapshot-files.ts";
import { passOnImporting } from "./arrival.ts";
import { clusterPathsOf, writeNodeFile } from "./node-file.ts";

export type MemberHint = { nodeId: string; name: string; addresses: string[] };
/** What a node that joins has to know; `formerNodeId`: where in `former/` is what it was. */
export type Joined = {
	identity: Identity;
	members: MemberHint[];
	formerNodeId: string;
	rename: boolean;
	witness: boolean;
};

type Step = { step: "set-aside" | "install"; formerNodeId: string };
const stateParts = [
	"raft",
	"snapshots",
	"state.db",
	"state.db-wal",
	"state.db-shm",
	"state.db.seal",
	"state.db.received",
];
const allParts = [...stateParts, "peer", "node.json", "initial-admin-password"];

/**
 * All of it durable: from the next start on the node is a member. `nodeId`: who it is now, under which it is set aside; another
 * one than `formerNodeId` when it was admitted before, and never got to bring along what it had.
 */
export async function prepareJoin(dataDir: string, joined: Joined, nodeId: string): Promise<void> {
	const paths = clusterPathsOf(dataDir);
	const { identity } = joined;
	await rm(paths.joining, { recursive: true, force: true });
	const made = clusterPathsOf(paths.joining);
	await mkdir(made.peer, { recursive: true, mode: 0o700 });
	await saveIdentity(made.identity, identity);
	await writeHints(made.members, joined);
	if (joined.formerNodeId !== nodeId) await passOnImporting(dataDir, made);
	await writeNodeFile(made.node, { nodeId: identity.nodeId, clusterId: identity.clusterId, founder: false });
	await syncPath(paths.joining);
	await syncPath(dataDir);
	passing("joining written");
	await makeRoom(dataDir, nodeId);
	await writeStep(dataDir, { step: "set-aside", formerNodeId: nodeId });
	passing("switch planned");
}

/**
 * Admitted again as the member that it is: its log stays, since the others may count on what it has confirmed. From the next
 * start on it knows what it was told now.
 */
export async function admittedAgain(dataDir: string, joined: Joined): Promise<void> {
	const paths = clusterPathsOf(dataDir);
	await saveIdentity(paths.identity, joined.identity);
	await writeHints(paths.members, joined);
}

const writeHints = (path: string, { members, formerNodeId, rename: renames, witness }: Joined): Promise<void> =>
	writeSecret(path, JSON.stringify({ members, formerNodeId, rename: renames, witness }));

/** Something that is whole and durable in `work` is what the node is from the next start on. `formerId`: as in `Joined`. */
export async function prepareOther(dataDir: string, work: string, formerId: string): Promise<void> {
	const { joining } = clusterPathsOf(dataDir);
	await rm(joining, { recursive: true, force: true });
	await rename(work, joining);
	await syncPath(dataDir);
	await writeStep(dataDir, { step: "set-aside", formerNodeId: formerId });
}

/** A join that was not completed is undone: from the next start on the node is again what it was, `beforeId`, with all that it has. */
export async function prepareReturn(dataDir: string, beforeId: string, formerNodeId: string): Promise<void> {
	const { joining } = clusterPathsOf(dataDir);
	const before = formerFolderOf(dataDir, beforeId);
	await makeRoom(dataDir, formerNodeId);
	// Interrupted, it was moved already.
	if (existsSync(before)) {
		// With the same key it would be the member again that has forgotten its log: who joins anew is a new node.
		await rm(joiningKeyOf(before), { force: true });
		await prepareOther(dataDir, before, formerNodeId);
	} else if (existsSync(clusterPathsOf(joining).node)) await writeStep(dataDir, { step: "set-aside", formerNodeId });
	else throw new AppError("corrupt", `What this node was before it joined is missing: ${before}. Put it back.`);
}

/** From the next start on the node is a new cluster. */
export async function prepareFresh(dataDir: string, formerNodeId: string): Promise<void> {
	await rm(clusterPathsOf(dataDir).joining, { recursive: true, force: true });
	await makeRoom(dataDir, formerNodeId);
	await writeStep(dataDir, { step: "set-aside", formerNodeId });
}

/** This node was set aside under this id before: a backup was restored meanwhile. */
async function makeRoom(dataDir: string, formerNodeId: string): Promise<void> {
	const { former } = clusterPathsOf(dataDir);
	const taken = join(former, formerNodeId);
	if (!existsSync(taken)) return;
	let number = 2;
	while (existsSync(`${taken}-${number}`)) number += 1;
	await rename(taken, `${taken}-${number}`);
	await syncPath(former);
}

/** Kept while a join is under way: interrupted, it is repeated with the same key. */
export const joiningKeyOf = (dataDir: string): string => join(clusterPathsOf(dataDir).peer, "joining-key.pem");

type Rename = (from: string, to: string) => Promise<void>;

/**
 * At a start, before anything is opened. True when the node has become another one. `in-use` while somebody else does it.
 * `move`: for tests that interrupt it.
 */
export async function completeSwitch(dataDir: string, logger: Logger, move: Rename = rename): Promise<boolean> {
	if (!existsSync(clusterPathsOf(dataDir).switching)) return false;
	const lock = lockDataFolder(dataDir);
	try {
		return await switchLocked(dataDir, logger, move);
	} finally {
		lock.release();
	}
}

/** The same, for whoever holds the lock of the folder. */
export async function switchLocked(dataDir: string, logger: Logger, move: Rename = rename): Promise<boolean> {
	const paths = clusterPathsOf(dataDir);
	const step = await readStep(paths.switching);
	if (step === null) return false;
	const { formerNodeId } = step;
	const former = join(paths.former, formerNodeId);
	if (step.step === "set-aside") {
		await mkdir(former, { recursive: true, mode: 0o700 });
		await syncPath(paths.former);
		for (const name of allParts) {
			await moveIfThere(join(dataDir, name), join(former, name), move);
			passing(`${name} set aside`);
		}
		await syncPath(former);
		await syncPath(dataDir);
		await writeStep(dataDir, { step: "install", formerNodeId });
		passing("install planned");
	}
	for (const name of allParts) {
		await moveIfThere(join(paths.joining, name), join(dataDir, name), move);
		passing(`${name} installed`);
	}
	await syncPath(dataDir);
	for (const made of [paths.joining, paths.recoverWork]) await rm(made, { recursive: true, force: true });
	passing("joining removed");
	await rm(paths.switching);
	await syncPath(dataDir);
	passing("switched");
	logger.info("this node is another one now; what it was is kept", { former });
	return true;
}

export type JoinHints = Omit<Joined, "identity">;

/** Of the cluster that this node joined; null for one that began by itself. */
export async function readHints(dataDir: string): Promise<JoinHints | null> {
	const { members } = clusterPathsOf(dataDir);
	if (!existsSync(members)) return null;
	try {
		return JSON.parse(await readFile(members, "utf8")) as JoinHints;
	} catch (cause) {
		throw new AppError("corrupt", `The file ${members} cannot be read. Join the cluster again.`, { cause });
	}
}

/** Where what it was lies, as a data folder. */
export const formerFolderOf = (dataDir: string, formerNodeId: string): string =>
	join(clusterPathsOf(dataDir).former, formerNodeId);

async function readStep(path: string): Promise<Step | null> {
	if (!existsSync(path)) return null;
	const step = JSON.parse(await readFile(path, "utf8")) as Step;
	if (!isUuid(step.formerNodeId) || (step.step !== "set-aside" && step.step !== "install"))
		throw new AppError("corrupt", `The file ${path} cannot be read.`);
	return step;
}

const writeStep = (dataDir: string, step: Step): Promise<void> =>
	writeSecret(clusterPathsOf(dataDir).switching, `${JSON.stringify(step)}\n`);

async function moveIfThere(from: string, to: string, move: Rename): Promise<void> {
	if (existsSync(from)) await move(from, to);
}
