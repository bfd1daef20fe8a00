/** `pool test`: tries a pool on its nodes, one that is there or one that might be made. */
import type { PoolProbeResult, PoolType } from "../../../model/storage.ts";
import type { Cli } from "../../cli.ts";
import { exitCode, usageError } from "../../failure.ts";
import { bytes } from "../../format.ts";
import { namesById, resolveId } from "../../names.ts";
import { choice, texts } from "../../options.ts";
import { given } from "../../pages.ts";
import { verb } from "../../verb.ts";
import { probeTimeoutMs } from "./create.ts";
import { changedReach, newReach } from "./reach.ts";
import { overwriteOption, poolTypes, type ReachOptions, reachOptions } from "./reach-options.ts";
import { getPool } from "./show.ts";

export const testVerb = verb({
	name: "test",
	summary: "Try a storage pool on its nodes",
	description:
		"Reaches it from each node, writes and removes something small, and leaves nothing behind. Of a pool that is there, with what the options say in place of what it has; without one, as pool create would make it. Its credentials are used at its own monitors or portals; for others give them again. Exits with 1 when it does not work on one of the nodes.",
	examples: [
		"limiquantix pool test shared",
		"limiquantix pool test shared --nfs-server nas2",
		"limiquantix pool test --type nfs --nfs-server nas1 --export /export/vms",
	],
	arguments: { "[pool]": "name or id of a storage pool that is there" },
	options: {
		type: choice("--type <type>", poolTypes, "kind of storage, for one that is not there yet"),
		node: texts(
			"--node <node>",
			"try it on this node (default: its nodes, or those that it would have); several times",
		),
		...reachOptions,
		overwrite: overwriteOption,
	},
	async run(cli, { pool }, { type, node, overwrite, ...reach }) {
		const nodeIds = await Promise.all(node.map((one) => resolveId(cli, "node", one)));
		const asked = pool === undefined ? await asNew(cli, type, reach) : await asKnown(cli, pool, type, reach);
		const body = { ...asked, ...given({ nodeIds, overwrite }) };
		const { nodes } = (await cli.call("poolProbe", { body, timeoutMs: probeTimeoutMs })).body;
		const nodeName = await namesById(cli, "node");
		await cli.output.list(
			nodes,
			[
				{ header: "NODE", value: ({ nodeId }: PoolProbeResult) => nodeName(nodeId) },
				{ header: "RESULT", value: ({ ok }) => (ok ? "ok" : "failed"), state: true },
				{ header: "AVAILABLE", value: ({ availableBytes }) => bytes(availableBytes), right: true },
				{ header: "TOTAL", value: ({ totalBytes }) => bytes(totalBytes), right: true },
				{ header: "REASON", value: ({ error }) => error?.message },
			],
			({ nodeId }) => nodeId,
		);
		const found = new Set(nodes.flatMap((node) => node.found ?? []));
		// Names have spaces in them.
		const named = [...found].map((what) => `--overwrite "${what}"`).join(" ");
		if (found.size > 0) await cli.note(`To destroy what is there: ${named}`);
		return nodes.every(({ ok }) => ok) ? exitCode.ok : exitCode.failed;
	},
});

async function asNew(cli: Cli, type: PoolType | undefined, reach: ReachOptions) {
	if (type === undefined) throw usageError("Give the name of a storage pool, or --type.");
	return { type, ...(await newReach(cli, type, reach)) };
}

async function asKnown(cli: Cli, pool: string, type: PoolType | undefined, reach: ReachOptions) {
	const poolId = await resolveId(cli, "pool", pool);
	const { body: known } = await getPool(cli, poolId);
	if (type !== undefined && type !== known.type) throw usageError(`${known.name} is of type ${known.type}.`);
	const { config, nodeIds } = known;
	return { poolId, type: known.type, config, nodeIds, ...(await changedReach(cli, known.type, config, reach)) };
}
