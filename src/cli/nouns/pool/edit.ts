/** `pool edit`. */
import type { Pool } from "../../../gen/api.ts";
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { resolveId } from "../../names.ts";
import { off, text, texts } from "../../options.ts";
import { given } from "../../pages.ts";
import { verb } from "../../verb.ts";
import { description } from "../common-options.ts";
import { probeTimeoutMs } from "./create.ts";
import { changedReach, type Reached } from "./reach.ts";
import { type ReachOptions, reachOptions } from "./reach-options.ts";
import { getPool, poolArgument, showPool } from "./show.ts";

export const editVerb = verb({
	name: "edit",
	aliases: ["set"],
	summary: "Change a storage pool",
	description:
		"Where its data are stays: folder, export, Ceph pool, LUN. Changes of how it is reached are tried on each of its nodes first. New credentials replace all that it has. For new monitors or portals they are given again: those that the pool has are not shown to them.",
	examples: [
		"limiquantix pool edit fast --description 'NVMe of rack 2'",
		"limiquantix pool edit shared --nfs-server nas2 --mount-option nconnect=4",
		"limiquantix pool edit rbd --key-file new-key --add-node node-3",
	],
	arguments: poolArgument,
	options: {
		name: text("--name <name>", "the new name"),
		description,
		node: texts("--node <node>", "node that uses it, in place of all that do; several times for several"),
		addNode: texts("--add-node <node>", "one more node that uses it; several times for several"),
		removeNode: texts("--remove-node <node>", "a node that uses it no more; several times for several"),
		...reachOptions,
		mountOptions: off("--no-mount-options", "nfs: mount without options"),
		chap: off("--no-chap", "iscsi-lvm: log in without CHAP"),
		mutualChap: off("--no-mutual-chap", "iscsi-lvm: the target need not prove itself"),
	},
	async run(cli, { pool }, options) {
		const { name, description: about, node, addNode, removeNode, ...rest } = options;
		const { mountOptions, chap, mutualChap, ...reach } = rest;
		const id = await resolveId(cli, "pool", pool);
		const { body: before } = await getPool(cli, id);
		const nodeIds = await changedNodes(cli, before, { node, addNode, removeNode });
		const reached = without(before, await changedReach(cli, before.type, before.config, reach), {
			...{ mountOptions: !mountOptions, chap: !chap, mutualChap: !mutualChap, reach },
		});
		const body = { ...given({ name, description: about, nodeIds }), ...reached };
		if (Object.keys(body).length === 0) throw usageError("Nothing is to be changed.");
		// Lists are replaced as a whole, by what was read.
		const ifMatch = reached.config || nodeIds ? { ifMatch: before.generation } : {};
		const result = await cli.call("poolUpdate", { path: { id }, body, ...ifMatch, timeoutMs: probeTimeoutMs });
		await showPool(cli, result.body);
	},
});

type NodeOptions = { node: string[]; addNode: string[]; removeNode: string[] };

async function changedNodes(cli: Cli, pool: Pool, options: NodeOptions): Promise<string[] | undefined> {
	const ids = (names: string[]) => Promise.all(names.map((name) => resolveId(cli, "node", name)));
	const [all, more, less] = await Promise.all([ids(options.node), ids(options.addNode), ids(options.removeNode)]);
	if (all.length > 0) {
		if (more.length + less.length > 0) throw usageError("Give either --node, or --add-node and --remove-node.");
		return all;
	}
	if (more.length + less.length === 0) return undefined;
	return [...new Set([...pool.nodeIds, ...more])].filter((id) => !less.includes(id));
}

type Removals = { mountOptions: boolean; chap: boolean; mutualChap: boolean; reach: ReachOptions };

/** The options that take something away. */
function without(
	pool: Pool,
	reached: Partial<Reached>,
	{ mountOptions, chap, mutualChap, reach }: Removals,
): Partial<Reached> {
	const contradicts =
		(mountOptions && reach.mountOption.length > 0) ||
		(chap && reach.chapUser !== undefined) ||
		(mutualChap && reach.mutualChapUser !== undefined);
	if (contradicts) throw usageError("The same is to be set and taken away.");
	const config = reached.config ?? pool.config;
	if ((mountOptions && !("exportPath" in config)) || ((chap || mutualChap) && !("wwid" in config)))
		throw usageError(
			`--no-mount-options, --no-chap, --no-mutual-chap: not all are options of pools of type ${pool.type}.`,
		);
	if ("exportPath" in config && mountOptions) return { ...reached, config: { ...config, mountOptions: [] } };
	if (!("wwid" in config) || !(chap || mutualChap)) return reached;
	const gone = { ...(chap ? { chapUser: null } : {}), ...(mutualChap || chap ? { mutualChapUser: null } : {}) };
	return { ...reached, config: { ...config, ...gone } };
}
