/**
 * `<data>/peer/addresses.json`: where an administrator says, on this node alone, that other members are (`cluster readdress --data-dir`).
 * For when all nodes got other addresses at once: nobody reaches anybody then, and without a quorum the state cannot be changed.
 * The links try these beside what the state says, until the state has other addresses of the member than it had then. One such word
 * on one node is enough for two to find each other: whoever is reached is told where the other one is (peer/whereabouts.ts).
 */
import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { AppError } from "../lib/errors.ts";
import { type Logger, silentLogger } from "../lib/log.ts";
import type { Node } from "../model/node.ts";
import { type Address, formatAddress, parseAddress } from "../peer/address.ts";
import { writeSecret } from "../peer/identity.ts";
import type { PeerMember } from "../peer/peer.ts";
import { lockDataFolder } from "../store/data-lock.ts";
import { pathsOf, refuseUnfinishedRestore } from "../store/open-store.ts";
import { clusterPathsOf, readNodeFile } from "./node-file.ts";
import { refuseUnfinishedSwitch } from "./restore.ts";

/** `recorded`: what the state said of the node then. */
export type LocalAddresses = { nodeId: string; recorded: string[]; addresses: string[] }[];

const most = 16;

/** Of a start: a file that cannot be read is none. */
export async function readLocalAddresses(dataDir: string, logger: Logger): Promise<LocalAddresses> {
	const path = clusterPathsOf(dataDir).addresses;
	if (!existsSync(path)) return [];
	try {
		return JSON.parse(await readFile(path, "utf8")) as LocalAddresses;
	} catch (error) {
		logger.warn("what was said here of other members' addresses cannot be read, and is not used", { path, error });
		return [];
	}
}

/** The members, with what was said of them here where the state is as it was then. Pure. */
export function withLocalAddresses(members: readonly PeerMember[], local: LocalAddresses): PeerMember[] {
	return members.map((member) => {
		const said = local.find(({ nodeId }) => nodeId === member.nodeId);
		if (said === undefined || said.recorded.join() !== member.addresses.map(formatAddress).join()) return member;
		return { ...member, alsoAt: said.addresses.map(parseAddress).filter((one): one is Address => one !== null) };
	});
}

/**
 * Needs that no daemon runs on the folder. Answers with the node's name. `not-found`: no member has this folder, or it knows no such
 * node; `in-use`: its daemon runs; `invalid`: no addresses, or of the node itself.
 */
export async function readdressLocally(dataDir: string, nodeNameOrId: string, addresses: string[]): Promise<string> {
	const folder = resolve(dataDir);
	const paths = clusterPathsOf(folder);
	if (addresses.length === 0 || addresses.length > most)
		throw new AppError("invalid", `A node has 1 to ${most} addresses.`);
	const bad = addresses.find((address) => parseAddress(address) === null);
	if (bad !== undefined) throw new AppError("invalid", `"${bad}" is not HOST:PORT.`);
	if (!existsSync(folder)) throw new AppError("not-found", `There is no folder ${folder}.`);
	const lock = lockDataFolder(folder);
	try {
		refuseUnfinishedRestore(folder);
		refuseUnfinishedSwitch(folder);
		const identity = await readNodeFile(paths.node);
		if (identity === null)
			throw new AppError("not-found", `In ${folder} is no node.json: no member of a cluster has it.`);
		const nodes = nodesOf(pathsOf(folder).state);
		const node = nodes.find(({ id, name }) => id === nodeNameOrId || name === nodeNameOrId);
		if (node === undefined)
			throw new AppError(
				"not-found",
				`The state in ${folder} knows no node ${nodeNameOrId}. It knows: ${nodes.map(({ name }) => name).join(", ")}.`,
			);
		if (node.id === identity.nodeId)
			throw new AppError(
				"invalid",
				`${node.name} is the node of this folder: where it is, is said on another one, or found out by it.`,
			);
		const before = await readLocalAddresses(folder, silentLogger);
		const local = before.filter(({ nodeId }) => nodeId !== node.id);
		local.push({ nodeId: node.id, recorded: node.peerAddresses, addresses });
		await writeSecret(paths.addresses, `${JSON.stringify(local)}\n`);
		return node.name;
	} finally {
		lock.release();
	}
}

function nodesOf(path: string): Node[] {
	if (!existsSync(path)) return [];
	const database = new Database(path, { readonly: true });
	try {
		const rows = database.query("SELECT doc FROM node ORDER BY name").all() as { doc: string }[];
		return rows.map(({ doc }) => JSON.parse(doc) as Node).filter(({ status }) => status.phase !== "left");
	} catch (cause) {
		throw new AppError("corrupt", `The state ${path} cannot be read. Nothing was changed.`, { cause });
	} finally {
		database.close();
	}
}
