/** `pool discover`: what a storage server offers. */
import type { PoolDiscover, PoolDiscovered, PoolType } from "../../../model/storage.ts";
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { bytes } from "../../format.ts";
import { resolveId } from "../../names.ts";
import { choice, text } from "../../options.ts";
import { given } from "../../pages.ts";
import { verb } from "../../verb.ts";
import { probeTimeoutMs } from "./create.ts";
import { changedReach, chapCredentials, chapUsers, neededList, newCephAccess } from "./reach.ts";
import { type AccessOptions, accessOptions, refuseOthers } from "./reach-options.ts";
import { getPool } from "./show.ts";

export const discoverVerb = verb({
	name: "discover",
	summary: "Look for what a storage server offers",
	description:
		"The exports of an NFS server, the pools of a Ceph cluster, the targets of iSCSI portals; with --target the LUNs behind that one. What is on a LUN is named: pool create destroys it when it is told so. With --pool as that one reaches it, with its credentials, and with what the options say instead; at monitors or portals that it does not have, its credentials are not used: give them again.",
	examples: [
		"limiquantix pool discover --type nfs --nfs-server nas1",
		"limiquantix pool discover --type ceph-rbd --ceph-conf ceph.conf --keyring ceph.client.vms.keyring",
		"limiquantix pool discover --type iscsi-lvm --portal 10.0.0.5",
		"limiquantix pool discover --type iscsi-lvm --portal 10.0.0.5 --target iqn.2026-01.net.example:disks",
		"limiquantix pool discover --pool san",
		"limiquantix pool discover --pool san --portal 10.0.0.6 --chap-user node --chap-password-file chap.txt",
	],
	options: {
		type: choice("--type <type>", ["nfs", "ceph-rbd", "iscsi-lvm"], "kind of storage"),
		pool: text("--pool <pool>", "name or id of a storage pool that is there"),
		node: text("--node <node>", "as seen from this node (default: the one asked)"),
		...accessOptions,
	},
	async run(cli, _, { type, node, pool, ...access }) {
		const query = node === undefined ? {} : { nodeId: await resolveId(cli, "node", node) };
		const body = pool === undefined ? await question(cli, type, access) : await ofPool(cli, pool, type, access);
		const found = (await cli.call("poolDiscover", { query, body, timeoutMs: probeTimeoutMs })).body;
		await show(cli, body, found);
	},
});

type Type = Exclude<PoolType, "local">;

/** As a pool is reached, with what the options say in place of what it has. Its LUNs are asked for with --target only. */
async function ofPool(cli: Cli, name: string, type: Type | undefined, access: AccessOptions): Promise<PoolDiscover> {
	const { body: pool } = await getPool(cli, await resolveId(cli, "pool", name));
	if (type !== undefined && type !== pool.type) throw usageError(`${pool.name} is of type ${pool.type}.`);
	const { config = pool.config, credentials } = await changedReach(cli, pool.type, pool.config, access);
	const about = { poolId: pool.id, ...given({ credentials }) };
	if ("exportPath" in config) return { type: "nfs", server: config.server };
	if ("cephPool" in config) return { type: "ceph-rbd", monitors: config.monitors, user: config.user, ...about };
	if (!("wwid" in config)) throw usageError(`${pool.name} is a folder of its nodes: there is nothing to look for.`);
	const { portals, chapUser, mutualChapUser } = config;
	return { type: "iscsi-lvm", portals, target: access.target ?? null, chapUser, mutualChapUser, ...about };
}

async function question(cli: Cli, type: Type | undefined, access: AccessOptions): Promise<PoolDiscover> {
	if (type === undefined) throw usageError("--type is missing, or --pool.");
	refuseOthers(type, access);
	switch (type) {
		case "nfs":
			if (access.nfsServer === undefined) throw usageError("--nfs-server is missing.");
			return { type, server: access.nfsServer };
		case "ceph-rbd": {
			const { monitors, user, cephKey } = await newCephAccess(cli, access);
			return { type, monitors, user, ...(cephKey === undefined ? {} : { credentials: { cephKey } }) };
		}
		case "iscsi-lvm": {
			const portals = neededList(access.portal, "--portal");
			const credentials = await chapCredentials(cli, access);
			return { type, portals, target: access.target ?? null, ...chapUsers(access), ...credentials };
		}
	}
}

type Export = PoolDiscovered["exports"][number];
type CephPool = PoolDiscovered["cephPools"][number];
type Target = PoolDiscovered["targets"][number];
type Lun = PoolDiscovered["luns"][number];

async function show(cli: Cli, asked: PoolDiscover, found: PoolDiscovered): Promise<void> {
	const { output } = cli;
	if (asked.type === "nfs")
		return output.list(
			found.exports,
			[
				{ header: "EXPORT", value: ({ path }: Export) => path },
				{ header: "CLIENTS", value: ({ clients }) => clients.join(" ") },
			],
			({ path }) => path,
		);
	if (asked.type === "ceph-rbd")
		return output.list(
			found.cephPools,
			[
				{ header: "CEPH POOL", value: ({ name }: CephPool) => name },
				{ header: "NAMESPACES", value: ({ namespaces }) => namespaces.join(" ") },
				{ header: "FOR", value: ({ erasureCoded }) => (erasureCoded ? "data (--data-pool)" : "disks") },
			],
			({ name }) => name,
		);
	if (asked.target === null)
		return output.list(
			found.targets,
			[
				{ header: "TARGET", value: ({ name }: Target) => name },
				{ header: "PORTALS", value: ({ portals }) => portals.join(" ") },
			],
			({ name }) => name,
		);
	return output.list(
		found.luns,
		[
			{ header: "LUN", value: ({ lun }: Lun) => lun, right: true },
			{ header: "SIZE", value: ({ sizeBytes }) => bytes(sizeBytes), right: true },
			{ header: "VENDOR", value: ({ vendor }) => vendor },
			{ header: "MODEL", value: ({ model }) => model },
			{ header: "CONTENT", value: ({ content }) => content ?? "empty" },
			{ header: "WWID", value: ({ wwid }) => wwid },
		],
		({ wwid }) => wwid,
	);
}
