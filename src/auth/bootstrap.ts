/**
 * The first start: everything that a working one-node cluster needs, as one command, and the first administrator's
 * password, which is written to `D/initial-admin-password` (mode 0600), shown nowhere else, and removed as soon as the
 * password was changed or reset.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Clock, toRfc3339 } from "../lib/clock.ts";
import { writeSecretDurably } from "../lib/durable-file.ts";
import type { IdSource } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { type Random, randomSecret } from "../lib/random.ts";
import type { User } from "../model/access.ts";
import type { Network } from "../model/network.ts";
import { networksCollide } from "../model/network-rules.ts";
import { type Node, unreportedStatus } from "../model/node.ts";
import { namePattern } from "../model/schema.ts";
import type { Pool } from "../model/storage.ts";
import type { CommandBody } from "../store/command.ts";
import { features } from "../store/command-features.ts";
import type { Store } from "../store/store.ts";
import type { PasswordHasher } from "./passwords.ts";

export const initialPasswordFile = "initial-admin-password";

export type FirstStart = {
	/** Ids of this node and of its cluster; the caller keeps them. */
	nodeId: string;
	clusterId: string;
	/** What the host calls itself, or what the administrator chose. */
	nodeName: string;
	version: string;
	/** Folder of the default pool. */
	poolPath: string;
	/** IPv4 subnets that the host is on: the NAT network keeps clear of them. */
	hostSubnets: readonly { address: string; prefixLength: number }[];
};
type Tools = { clock: Clock; random: Random; ids: IdSource; passwords: PasswordHasher };
type ClusterInit = Extract<CommandBody, { kind: "clusterInit" }>;

/** The command that sets the cluster up, and the password that the administrator `admin` has in it. */
export async function planClusterInit(
	first: FirstStart,
	{ clock, random, ids, passwords }: Tools,
): Promise<{ command: ClusterInit; password: string }> {
	const now = toRfc3339(clock.nowMs());
	const metadata = () => ({ id: ids.newId(), generation: 1, createdAt: now, updatedAt: now });
	// 24 characters, 144 bits.
	const password = randomSecret(random, 18);
	const node: Node = {
		...metadata(),
		id: first.nodeId,
		name: asName(first.nodeName, "node-1"),
		peerAddresses: [],
		witness: false,
		status: unreportedStatus({ reason: null, version: first.version, features: [...features], updatedAt: now }),
	};
	const pool: Pool = {
		...metadata(),
		name: "local",
		description: "The node's own disk.",
		type: "local",
		config: { path: first.poolPath },
		nodeIds: [node.id],
		phase: "pending",
		nodes: [],
	};
	const network: Network = {
		...metadata(),
		name: "nat",
		description: "A private network behind the node; guests reach out, nobody reaches in.",
		config: chooseNatNetwork(first.hostSubnets),
		nodes: [],
		deleting: false,
	};
	const admin: User = {
		...metadata(),
		name: "admin",
		displayName: "Administrator",
		role: "admin",
		enabled: true,
		mustChangePassword: true,
	};
	const command: ClusterInit = {
		kind: "clusterInit",
		cluster: { ...metadata(), id: first.clusterId, name: "cluster" },
		node,
		pools: [pool],
		networks: [network],
		admin,
		adminPasswordHash: await passwords.hash(password),
	};
	return { command, password };
}

/** The first of 10.64.0.0/24, 10.65.0.0/24 … 10.127.0.0/24 that the host is not on. */
export function chooseNatNetwork(hostSubnets: FirstStart["hostSubnets"]): Extract<Network["config"], { kind: "nat" }> {
	const inUse = hostSubnets.map(({ address, prefixLength }) => natOf(address, prefixLength));
	for (let second = 64; second < 128; second++) {
		const candidate = natOf(`10.${second}.0.1`, 24);
		if (!inUse.some((other) => networksCollide(candidate, other))) return candidate;
	}
	return natOf("192.168.250.1", 24);
}

const natOf = (gateway: string, prefixLength: number) => {
	const start = gateway.replace(/\d+$/, "");
	return { kind: "nat" as const, gateway, prefixLength, dhcpStart: `${start}10`, dhcpEnd: `${start}250` };
};

/** What a host calls itself, as a name of ours. */
function asName(text: string, fallback: string): string {
	const name = text.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, 63);
	return new RegExp(namePattern).test(name) ? name : fallback;
}

/** Writes the password where only root reads it, durable before the command is proposed: nobody else knows it. */
export function writeInitialPassword(dataDir: string, password: string): string {
	const path = join(dataDir, initialPasswordFile);
	writeSecretDurably(path, `${password}\n`);
	return path;
}

/** Sets the cluster up when it is not; resolves with the password's file, or null when nothing was to be done. */
export async function setUpCluster(
	dataDir: string,
	first: FirstStart,
	tools: Tools & { store: Store; proposeSystem: (body: CommandBody) => Promise<unknown> },
): Promise<{ passwordFile: string } | null> {
	if (tools.store.count("cluster") > 0) return null;
	const { command, password } = await planClusterInit(first, tools);
	const passwordFile = writeInitialPassword(dataDir, password);
	await tools.proposeSystem(command);
	return { passwordFile };
}

type Watched = { store: Store; passwords: PasswordHasher; logger: Logger };

/**
 * Removes the file as soon as `admin` has another password, now or later, whoever gave it: nothing that lies about
 * should open a door, or look as if it did. Resolves, when what is there has been looked at, with the function that
 * ends the watch.
 */
export async function removeInitialPasswordWhenChanged(dataDir: string, watched: Watched): Promise<() => void> {
	const { store, logger } = watched;
	const path = join(dataDir, initialPasswordFile);
	if (!existsSync(path)) return () => {};
	const firstHash = await hashOfFirstPassword(dataDir, watched);
	let unsubscribe = () => {};
	const check = () => {
		const admin = store.userByName("admin");
		if (admin !== null && admin.passwordHash === firstHash) return;
		rmSync(path, { force: true });
		logger.info("the first password was changed; its file is removed", { path });
		unsubscribe();
	};
	unsubscribe = store.subscribe((events) => {
		if (events.some(({ target }) => target.kind === "user")) check();
	});
	check();
	return unsubscribe;
}

/** The hash that `admin` has, when the password in the file is the one that it is of; else null. */
async function hashOfFirstPassword(dataDir: string, { store, passwords, logger }: Watched): Promise<string | null> {
	const admin = store.userByName("admin");
	if (!admin?.user.mustChangePassword) return null;
	// A password counts as a change of its user: nothing was changed yet. (Verifying takes time, at each start.)
	if (admin.user.generation === 1) return admin.passwordHash;
	try {
		const good = await passwords.verify(readInitialPassword(dataDir) ?? "", admin.passwordHash);
		return good ? admin.passwordHash : null;
	} catch (error) {
		logger.warn("whether the first password still works could not be found out; its file stays", { error });
		return admin.passwordHash;
	}
}

/** The password in the file, for whoever starts the node; null when there is none. */
export function readInitialPassword(dataDir: string): string | null {
	const path = join(dataDir, initialPasswordFile);
	return existsSync(path) ? readFileSync(path, "utf8").trim() : null;
}
