/** `pool list` and `pool show`. */
import type { Pool } from "../../../gen/api.ts";
import { isWorking } from "../../../model/pool-parts.ts";
import { isShared, type PoolUsage, poolPlace, poolUsage } from "../../../model/storage-rules.ts";
import type { Cli } from "../../cli.ts";
import { bytes, fullTime, relativeTime, share } from "../../format.ts";
import { namesById, resolveId } from "../../names.ts";
import { choices } from "../../options.ts";
import type { Column, Field } from "../../output.ts";
import { allPages, given, listOptions } from "../../pages.ts";
import { verb } from "../../verb.ts";
import { capabilityFields } from "./capabilities.ts";
import { poolTypes } from "./reach-options.ts";

export const poolArgument = { "<pool>": "name or id of the storage pool" } as const;
const phases = ["pending", "ready", "degraded", "error", "deleting"] as const;

export const listVerb = verb({
	name: "list",
	summary: "List storage pools",
	examples: ["limiquantix pool list", "limiquantix pool list --type nfs --phase degraded"],
	options: {
		phase: choices("--phase <phase>", phases, "only these"),
		type: choices("--type <type>", poolTypes, "only these"),
		...listOptions(["name", "createdAt"]),
	},
	async run(cli, _, { phase, type, limit, search, sort }) {
		const pools = await allPages(cli, "poolList", given({ phase, type, search, sort }), limit);
		await cli.output.list(pools, columns, (pool) => pool.id);
	},
});

export const showVerb = verb({
	name: "show",
	summary: "Show a storage pool",
	examples: ["limiquantix pool show local"],
	arguments: poolArgument,
	async run(cli, { pool }) {
		await showPool(cli, (await getPool(cli, await resolveId(cli, "pool", pool))).body);
	},
});

export const getPool = (cli: Cli, id: string) => cli.call("poolGet", { path: { id } });

/** Of no pool that works nowhere: what was seen last is in `show`. */
function usageNow(pool: Pool): PoolUsage | null {
	const usage = poolUsage(pool);
	return usage?.isOld === true ? null : usage;
}

const columns: Column<Pool>[] = [
	{ header: "NAME", value: (pool) => pool.name },
	{ header: "TYPE", value: (pool) => pool.type },
	{ header: "PHASE", value: (pool) => pool.phase, state: true },
	{ header: "USED", value: (pool) => bytes(usageNow(pool)?.usedBytes), right: true },
	{ header: "AVAILABLE", value: (pool) => bytes(usageNow(pool)?.availableBytes), right: true },
	{ header: "TOTAL", value: (pool) => bytes(usageNow(pool)?.totalBytes), right: true },
	{ header: "WHERE", value: (pool) => poolPlace(pool.config) },
	{ header: "ID", value: (pool) => pool.id },
];

export async function showPool(cli: Cli, pool: Pool): Promise<void> {
	const nodeName = await namesById(cli, "node");
	const usage = poolUsage(pool);
	const leftOut = usage?.leftOut.map(nodeName).sort().join(", ") ?? "";
	const note = usage?.isOld ? "when it was last seen" : leftOut === "" ? null : `without ${leftOut}`;
	const now = cli.io.clock.nowMs();
	const unheard = pool.nodeIds.filter((id) => !pool.nodes.some(({ nodeId }) => nodeId === id));
	const fields: Field[] = [
		["name", pool.name],
		["id", pool.id],
		["description", pool.description],
		["type", pool.type],
		...configFields(pool),
		["phase", pool.phase],
		["used", marked(share(usage?.usedBytes, usage?.totalBytes), note)],
		["available", marked(bytes(usage?.availableBytes), note)],
		...pool.nodes.map((node): Field => {
			// What all see is said above.
			const seen = isWorking(node) ? null : "when it was last seen";
			const used = isShared(pool) ? null : marked(share(node.usedBytes, node.totalBytes), seen);
			const since = node.health === "healthy" ? null : `since ${relativeTime(node.updatedAt, now)}`;
			const about = [node.health, used, since].filter((part) => part !== null).join(", ");
			return ["node", `${nodeName(node.nodeId)}: ${about}${node.reason === null ? "" : ` (${node.reason})`}`];
		}),
		...unheard.map((id): Field => ["node", `${nodeName(id)}: has not reported yet`]),
		...capabilityFields(pool, nodeName),
		["created", fullTime(pool.createdAt, now)],
	];
	await cli.output.object(pool, fields, pool.id);
}

const marked = (figure: string | null, note: string | null): string | null =>
	figure === null || note === null ? figure : `${figure} ${note}`;

function configFields({ config }: Pool): Field[] {
	if ("path" in config) return [["path", config.path]];
	if ("exportPath" in config)
		return [
			["server", config.server],
			["export", config.exportPath],
			["folder", config.folder],
			["NFS version", config.version ?? "newest"],
			["mount options", config.mountOptions.join(",")],
		];
	if ("cephPool" in config)
		return [
			["monitors", config.monitors.join(", ")],
			["user", `client.${config.user}`],
			["Ceph pool", config.cephPool],
			["namespace", config.namespace],
			["data pool", config.dataPool],
		];
	return [
		["portals", config.portals.join(", ")],
		["target", config.target],
		["LUN", config.wwid],
		["CHAP", config.chapUser === null ? "off" : `as ${config.chapUser}`],
		["mutual CHAP", config.mutualChapUser === null ? "off" : `the target is ${config.mutualChapUser}`],
		["layout", config.layout],
		["wipe on delete", config.wipeOnDelete],
	];
}
