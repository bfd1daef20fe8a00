/** `limiquantix pool`: storage pools, where volumes and images are. The verbs are in pool/. */
import { resolveId } from "../names.ts";
import { confirm } from "../prompt.ts";
import { finishTask, waitOptions } from "../tasks.ts";
import { type Noun, verb } from "../verb.ts";
import { yes } from "./common-options.ts";
import { contentVerb } from "./pool/content.ts";
import { createVerb } from "./pool/create.ts";
import { discoverVerb } from "./pool/discover.ts";
import { editVerb } from "./pool/edit.ts";
import { poolOrphanVerbs } from "./pool/orphans.ts";
import { testVerb } from "./pool/probe.ts";
import { listVerb, poolArgument, showVerb } from "./pool/show.ts";

export const poolNoun: Noun = {
	name: "pool",
	summary: "storage pools, where volumes and images are",
	groups: { orphans: "what is in a pool and in no record, and records without content" },
	verbs: [
		listVerb,
		createVerb,
		showVerb,
		editVerb,
		testVerb,
		discoverVerb,
		contentVerb,
		verb({
			name: "delete",
			summary: "Delete a storage pool",
			description:
				"Refused while volumes or images are in it. When its place cannot be cleared, because the server is away for example, it is deleted all the same: what stays there, and how to remove it, is said, and the node goes on trying.",
			examples: ["limiquantix pool delete fast --yes"],
			arguments: poolArgument,
			options: { yes, ...waitOptions },
			async run(cli, { pool }, { yes: sure, ...wait }) {
				const id = await resolveId(cli, "pool", pool);
				await confirm(cli, `Delete the storage pool ${pool}?`, sure);
				await finishTask(cli, (await cli.call("poolDelete", { path: { id } })).body, wait);
			},
		}),
		...poolOrphanVerbs,
	],
};
