/** `limiquantix pool`: storage pools. */

import type { Pool } from "../../gen/api.ts";
import { localPath } from "../../model/storage-rules.ts";
import type { Cli } from "../cli.ts";
import { usageError } from "../failure.ts";
import { bytes, fullTime, share } from "../format.ts";
import { namesById, resolveId } from "../names.ts";
import { choice, choices, text, texts } from "../options.ts";
import type { Column, Field } from "../output.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { confirm } from "../prompt.ts";
import { finishObject, finishTask, waitOptions } from "../tasks.ts";
import { type Noun, verb } from "../verb.ts";
import { description, yes } from "./common-options.ts";

const poolArgument = { "<pool>": "name or id of the storage pool" } as const;
const phases = ["pending", "ready", "degraded", "error", "deleting"] as const;

export const poolNoun: Noun = {
	name: "pool",
	summary: "storage pools, where volumes and images are",
	verbs: [
		verb({
			name: "list",
			summary: "List storage pools",
			examples: ["limiquantix pool list"],
			options: { phase: choices("--phase <phase>", phases, "only these"), ...listOptions(["name", "createdAt"]) },
			async run(cli, _, { phase, limit, search, sort }) {
				const pools = await allPages(cli, "poolList", given({ phase, search, sort }), limit);
				await cli.output.list(pools, columns, (pool) => pool.id);
			},
		}),
		verb({
			name: "create",
			summary: "Create a storage pool",
			description: "The folder is made when it is not there.",
			examples: ["limiquantix pool create fast --path /srv/nvme"],
			arguments: { "<name>": "name of the storage pool" },
			options: {
				type: choice("--type <type>", ["local"], "kind of storage (default local)"),
				path: { ...text("--path <folder>", "folder on the node"), completes: "folder" },
				node: texts("--node <node>", "node that has it (default: the one asked); several times for several"),
				description,
				...waitOptions,
			},
			async run(cli, { name }, { type, path, node, description: about, ...wait }) {
				if (path === undefined) throw usageError("--path is missing.");
				const nodeIds = await Promise.all(node.map((one) => resolveId(cli, "node", one)));
				const result = await cli.call("poolCreate", {
					body: { name, type: type ?? "local", config: { path }, ...given({ description: about, nodeIds }) },
				});
				await showOne(cli, await finishObject(cli, result, wait, () => get(cli, result.body.id)));
			},
		}),
		verb({
			name: "show",
			summary: "Show a storage pool",
			examples: ["limiquantix pool show local"],
			arguments: poolArgument,
			async run(cli, { pool }) {
				await showOne(cli, (await get(cli, await resolveId(cli, "pool", pool))).body);
			},
		}),
		verb({
			name: "edit",
			aliases: ["set"],
			summary: "Change name or description of a storage pool",
			examples: ["limiquantix pool edit fast --description 'NVMe of rack 2'"],
			arguments: poolArgument,
			options: { name: text("--name <name>", "the new name"), description },
			async run(cli, { pool }, changes) {
				const body = given(changes);
				if (Object.keys(body).length === 0) throw usageError("Nothing is to be changed.");
				const id = await resolveId(cli, "pool", pool);
				await showOne(cli, (await cli.call("poolUpdate", { path: { id }, body })).body);
			},
		}),
		verb({
			name: "delete",
			summary: "Delete a storage pool",
			description: "Refused while volumes or images are in it.",
			examples: ["limiquantix pool delete fast --yes"],
			arguments: poolArgument,
			options: { yes, ...waitOptions },
			async run(cli, { pool }, { yes: sure, ...wait }) {
				const id = await resolveId(cli, "pool", pool);
				await confirm(cli, `Delete the storage pool ${pool}?`, sure);
				await finishTask(cli, (await cli.call("poolDelete", { path: { id } })).body, wait);
			},
		}),
	],
};

const get = (cli: Cli, id: string) => cli.call("poolGet", { path: { id } });

/** Sum over the nodes that know; null when none does. */
function total(pool: Pool, member: "totalBytes" | "usedBytes" | "availableBytes"): number | null {
	const known = pool.nodes.flatMap((node) => node[member] ?? []);
	return known.length === 0 ? null : known.reduce((sum, one) => sum + one, 0);
}

const columns: Column<Pool>[] = [
	{ header: "NAME", value: (pool) => pool.name },
	{ header: "TYPE", value: (pool) => pool.type },
	{ header: "PHASE", value: (pool) => pool.phase, state: true },
	{ header: "USED", value: (pool) => bytes(total(pool, "usedBytes")), right: true },
	{ header: "AVAILABLE", value: (pool) => bytes(total(pool, "availableBytes")), right: true },
	{ header: "TOTAL", value: (pool) => bytes(total(pool, "totalBytes")), right: true },
	{ header: "PATH", value: (pool) => localPath(pool) ?? null },
	{ header: "ID", value: (pool) => pool.id },
];

async function showOne(cli: Cli, pool: Pool): Promise<void> {
	const nodeName = await namesById(cli, "node");
	const fields: Field[] = [
		["name", pool.name],
		["id", pool.id],
		["description", pool.description],
		["type", pool.type],
		["path", localPath(pool)],
		["phase", pool.phase],
		["used", share(total(pool, "usedBytes"), total(pool, "totalBytes"))],
		["available", bytes(total(pool, "availableBytes"))],
		...pool.nodes.map((node): Field => {
			const used = share(node.usedBytes, node.totalBytes);
			const about = [node.health, node.reason, used].filter((part) => part !== null).join(", ");
			return ["node", `${nodeName(node.nodeId)}: ${about}`];
		}),
		["created", fullTime(pool.createdAt, cli.io.clock.nowMs())],
	];
	await cli.output.object(pool, fields, pool.id);
}
