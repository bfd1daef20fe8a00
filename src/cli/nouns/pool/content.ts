/** `pool content`: what really lies in a pool. */
import type { PoolContentEntry } from "../../../model/pool-content.ts";
import { bytes, relativeTime } from "../../format.ts";
import { namesById, resolveId } from "../../names.ts";
import { text } from "../../options.ts";
import { given } from "../../pages.ts";
import { verb } from "../../verb.ts";
import { poolArgument } from "./show.ts";

export const contentVerb = verb({
	name: "content",
	summary: "Show what lies in a storage pool, and whose it is",
	description:
		"Files and folders, images of RBD or logical volumes, as the node finds them now. Nothing is followed or changed. What has no owner was put there by somebody else.",
	examples: ["limiquantix pool content local", "limiquantix pool content local images --node node-2"],
	arguments: { ...poolArgument, "[folder]": "a folder of it, for example images; default: its top" },
	options: { node: text("--node <node>", "whose part of the pool, when each node has its own") },
	async run(cli, { pool, folder }, { node }) {
		const id = await resolveId(cli, "pool", pool);
		const nodeId = node === undefined ? undefined : await resolveId(cli, "node", node);
		const { body } = await cli.call("poolContentList", { path: { id }, query: given({ folder, nodeId }) });
		const nowMs = cli.io.clock.nowMs();
		await cli.output.list(
			body.items,
			[
				{ header: "NAME", value: ({ name, kind }) => (kind === "folder" ? `${name}/` : name) },
				{ header: "KIND", value: ({ kind }) => kind },
				{ header: "SIZE", value: ({ sizeBytes }) => bytes(sizeBytes), right: true },
				{ header: "ALLOCATED", value: ({ allocatedBytes }) => bytes(allocatedBytes), right: true },
				{ header: "CHANGED", value: ({ modifiedAt }) => relativeTime(modifiedAt, nowMs) },
				{ header: "BELONGS TO", value: owner },
			],
			({ name }) => name,
		);
		if (body.truncated) {
			const nameOf = await namesById(cli, "node");
			await cli.note(`There is more on ${nameOf(body.nodeId)}: these are the first ${body.items.length}.`);
		}
	},
});

function owner({ belongsTo }: PoolContentEntry): string | null {
	if (belongsTo === null) return null;
	if (belongsTo.kind === "pool") return "the pool";
	const { kind, id, name, recorded } = belongsTo;
	return `${kind} ${name ?? id}${recorded ? "" : name === null ? " (no record)" : " (not here by its record)"}`;
}
