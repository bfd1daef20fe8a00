/**
 * `cluster recover`: what one node has left becomes a single-node cluster, when so many others are lost for good that there will
 * be no quorum again. Needs that no daemon runs on the folder.
 *
 * The state is brought as far as anything in the folder goes: also entries of the log of which this node does not know that
 * they were committed, since whoever proposed them may have been told so. What the node then is comes from sole-member.ts.
 *
 * All of it is made in `recover.tmp/`, of copies; until `prepareOther` nothing has happened to the node. From then on it is
 * another one, as after a join (switch.ts): interrupted, its next start completes it. What it was is in `former/<cluster id>/`.
 */
import { existsSync } from "node:fs";
import { copyFile, cp, mkdir, readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { initialPasswordFile } from "../auth/bootstrap.ts";
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { UndoStack } from "../lib/undo.ts";
import type { Node } from "../model/node.ts";
import { type Address, parseAddress } from "../peer/address.ts";
import { damagedState, restoreAdvice } from "../store/advice.ts";
import { lockDataFolder } from "../store/data-lock.ts";
import { openDiskFiles } from "../store/log/disk-files.ts";
import { SegmentLog } from "../store/log/segment-log.ts";
import { pathsOf, refuseUnfinishedRestore, type StoreIdentity } from "../store/open-store.ts";
import { openStateFile } from "../store/sqlite/database.ts";
import { checkSnapshot, copyDurably, syncPath } from "../store/sqlite/snapshot-files.ts";
import { checkStateFile } from "../store/sqlite/state-check.ts";
import type { StateDatabase } from "../store/sqlite/state-database.ts";
import { StateMachine } from "../store/state-machine.ts";
import { type LocalAddresses, readLocalAddresses } from "./local-addresses.ts";
import { buildFolder } from "./new-folder.ts";
import { clusterPathsOf, readNodeFile, writeNodeFile } from "./node-file.ts";
import { refuseUnfinishedSwitch } from "./restore.ts";
import { makeSoleMember, otherMembers } from "./sole-member.ts";
import { prepareOther, switchLocked } from "./switch.ts";

/** `index`: the last change that is there. `damage`: what is wrong with the log; what came after it is lost. */
export type Recoverable = {
	clusterName: string;
	nodeName: string;
	index: number;
	otherMembers: string[];
	damage: string | null;
};
export type Recovered = { index: number; clusterId: string; membersLeft: string[] };

export type RecoverOptions = {
	dataDir: string;
	/** Before anything changes; answers with the name of the node, as it was typed. */
	confirm: (found: Recoverable) => Promise<string>;
	/** Null when the node is at one of these addresses; else why not. */
	reach: (addresses: readonly Address[], nodeId: string) => Promise<string | null>;
	newId: () => string;
	nowMs: number;
	logger: Logger;
	/** For tests: called after each step, so that they see what a crash there leaves. */
	afterStep?: (step: string) => void;
};

/**
 * `not-found`: no node has this folder; `in-use`: its daemon runs; `wrong-state`: this node cannot be the survivor, or another one is
 * not off; `corrupt`:
 * what it has cannot be read; `invalid`: another name was typed. Then nothing has changed.
 */
export async function recoverCluster(options: RecoverOptions): Promise<Recovered> {
	const { logger, newId, afterStep = () => {} } = options;
	const dataDir = resolve(options.dataDir);
	const paths = clusterPathsOf(dataDir);
	if (!existsSync(dataDir)) throw new AppError("not-found", `There is no folder ${dataDir}.`);
	await using cleanup = new UndoStack((what, error) =>
		logger.warn(`could not undo: ${what}`, { error: toAppError(error) }),
	);
	const lock = lockDataFolder(dataDir);
	cleanup.add("lock of the data folder", () => lock.release());
	refuseUnfinishedRestore(dataDir);
	refuseUnfinishedSwitch(dataDir);
	// Members have told it so, also when its own copy of the state has not heard.
	if (existsSync(paths.removed)) throw noMember("This node");
	const identity = await readNodeFile(paths.node);
	if (identity === null)
		throw new AppError("not-found", `In ${dataDir} is no node.json: no member of a cluster has it.`);
	const work = paths.recoverWork;
	await rm(work, { recursive: true, force: true });
	await mkdir(work, { mode: 0o700 });
	cleanup.add("what was made so far", () => rm(work, { recursive: true, force: true }));
	const { state, damage } = await collect(dataDir, work, identity, logger);
	cleanup.add("copy of the state", () => state.close());
	afterStep("collected");
	const node = survivorOf(state, identity);
	const others = otherMembers(state, node.id);
	await checkOff(others, await readLocalAddresses(dataDir, logger), options.reach);
	const found: Recoverable = {
		clusterName: state.all("cluster")[0]?.name ?? "",
		nodeName: node.name,
		index: state.appliedIndex,
		otherMembers: others.map(({ name }) => name),
		damage,
	};
	const confirmation = await options.confirm(found);
	if (confirmation !== node.name)
		throw new AppError("invalid", `The name of this node is ${node.name}, not ${confirmation}. Nothing was changed.`);
	const clusterId = newId();
	const sole = { node, clusterId, operation: "clusterRecover", confirmation, newId, nowMs: options.nowMs } as const;
	const membersLeft = makeSoleMember(state, sole);
	const made = join(work, "new");
	await mkdir(made, { mode: 0o700 });
	await buildFolder(state, made, { logger, afterStep });
	await writeNodeFile(clusterPathsOf(made).node, { nodeId: node.id, clusterId, founder: true });
	// Whoever has not signed in yet still does so with it.
	if (existsSync(join(dataDir, initialPasswordFile)))
		await copyDurably(join(dataDir, initialPasswordFile), join(made, initialPasswordFile));
	await syncPath(made);
	afterStep("made");
	await prepareOther(dataDir, made, identity.clusterId);
	afterStep("prepared");
	await switchLocked(dataDir, logger);
	afterStep("switched");
	return { index: found.index, clusterId, membersLeft };
}

/**
 * Their VMs would run on, and be started elsewhere: as for `cluster remove`, who answers is not off, whatever is typed. Where only this
 * node was told that they are is looked at as well, also when the state knows a newer place: it is their certificate that counts.
 */
async function checkOff(others: readonly Node[], local: LocalAddresses, reach: RecoverOptions["reach"]): Promise<void> {
	const problems = await Promise.all(
		others.map(({ id, peerAddresses }) => {
			const said = local.find(({ nodeId }) => nodeId === id)?.addresses ?? [];
			const addresses = [...new Set([...peerAddresses, ...said])];
			return reach(
				addresses.flatMap((text) => parseAddress(text) ?? []),
				id,
			);
		}),
	);
	const answering = others.filter((_, at) => problems[at] === null).map(({ name }) => name);
	if (answering.length > 0)
		throw new AppError(
			"wrong-state",
			`Not off, since LimiQuantix answers there: ${answering.join(", ")}. Switch off what is lost, or end the service there, first. Nothing was changed.`,
		);
}

/** A copy of the state, in `work`, that has everything that the folder has, in its log too. Whoever gets it closes it. "confirmed":
 * without what may never have been committed. */
export async function collect(
	dataDir: string,
	work: string,
	{ clusterId }: Pick<StoreIdentity, "clusterId">,
	logger: Logger,
	which: "all" | "confirmed" = "all",
): Promise<{ state: StateDatabase; damage: string | null }> {
	const { path, received } = await copyState(dataDir, work, logger);
	const state = openStateFile(path);
	try {
		const [cluster] = state.all("cluster");
		if (cluster !== undefined && cluster.id !== clusterId)
			throw new AppError("corrupt", `The state in ${dataDir} is that of another cluster. Nothing was changed.`);
		// Of several voters, what only the log has may be what the others never took.
		if (which === "confirmed" && (state.configuration?.configuration.voters.length ?? 1) > 1)
			return { state, damage: null };
		const damage = await applyLog(state, pathsOf(dataDir).log, join(work, "log"), logger);
		// The log of before a snapshot that is complete: it goes on after it, or not at all.
		return { state, damage: received ? null : damage };
	} catch (error) {
		state.close();
		throw error;
	}
}

const snapshotPattern = /^(received-)?(\d{16})\.db$/;

/** The newest of the state, the snapshots, and a snapshot that was received and is not the state yet. */
async function copyState(dataDir: string, work: string, logger: Logger): Promise<{ path: string; received: boolean }> {
	const paths = pathsOf(dataDir);
	const copy = join(work, "state.db");
	let index = 0;
	if (existsSync(paths.state)) {
		for (const suffix of ["", "-wal"])
			if (existsSync(paths.state + suffix)) await copyFile(paths.state + suffix, copy + suffix);
		const held = await checkStateFile(copy);
		if ("found" in held) throw damagedState(paths.state, held.found);
		index = held.index;
	}
	const names = await readdir(paths.snapshots).catch(() => []);
	const newer = names
		.flatMap((name) => {
			const [, prefix, digits] = snapshotPattern.exec(name) ?? [];
			return digits === undefined ? [] : [{ name, received: prefix !== undefined, index: Number(digits) }];
		})
		.filter((snapshot) => snapshot.index > index)
		.sort((a, b) => b.index - a.index);
	for (const { name, received } of newer) {
		try {
			await checkSnapshot(join(paths.snapshots, name));
		} catch (error) {
			if (!isAppError(error, "corrupt")) throw error;
			logger.warn("a snapshot is damaged", { name, error });
			continue;
		}
		for (const suffix of ["-wal", "-shm"]) await rm(copy + suffix, { force: true });
		await copyDurably(join(paths.snapshots, name), copy);
		return { path: copy, received };
	}
	return { path: copy, received: false };
}

/** Answers with what is damaged; null when nothing is. */
async function applyLog(state: StateDatabase, folder: string, copy: string, logger: Logger): Promise<string | null> {
	if (existsSync(folder)) await cp(folder, copy, { recursive: true });
	const files = await openDiskFiles({ directory: copy, sync: false });
	let damage: string | null = null;
	try {
		const log = await SegmentLog.open(
			{
				...{ files, logger, onFatal: () => {}, knownIndex: state.appliedIndex, knownTerm: state.appliedTerm },
				// It is a copy that is cut there.
				onDamage: async ({ found }) => {
					damage = found;
				},
			},
			null,
		);
		try {
			await applyAll(state, log, logger);
		} finally {
			await log.close();
		}
	} finally {
		await files.close();
	}
	return damage;
}

const readBytes = 4 * 1024 * 1024;

async function applyAll(state: StateDatabase, log: SegmentLog, logger: Logger): Promise<void> {
	const machine = new StateMachine(state, logger);
	if (log.firstIndex > machine.appliedIndex + 1)
		throw new AppError(
			"corrupt",
			`The log begins at ${log.firstIndex}, and there is no state that reaches it. Nothing was changed. ${restoreAdvice}`,
		);
	while (machine.appliedIndex < log.lastIndex)
		for (let entries = await log.read(machine.appliedIndex + 1, readBytes); entries.length > 0; )
			entries = entries.slice(machine.apply(entries).appliedCount);
}

function survivorOf(state: StateDatabase, { nodeId }: StoreIdentity): Node {
	const node = state.get("node", nodeId);
	if (node === null)
		throw new AppError(
			"wrong-state",
			"This node has not received the state of the cluster yet: there is nothing to recover here. What it was before is in former/.",
		);
	if (node.status.phase === "left") throw noMember(node.name);
	return node;
}

const noMember = (name: string): AppError =>
	new AppError(
		"wrong-state",
		`${name} is no member of the cluster any more: it was removed. Recover another node, or restore a backup.`,
	);
