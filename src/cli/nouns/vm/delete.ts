/** `limiquantix vm delete`. */

import type { Cli } from "../../cli.ts";
import { resolveId } from "../../names.ts";
import { flag } from "../../options.ts";
import { allPages } from "../../pages.ts";
import { confirm } from "../../prompt.ts";
import { finishTask, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { yes } from "../common-options.ts";
import { getVm, vmArgument } from "./show.ts";

export const deleteVerb: Verb = verb({
	name: "delete",
	summary: "Delete a VM and its volumes",
	examples: ["limiquantix vm delete web", "limiquantix vm delete web --keep-volumes --yes"],
	arguments: vmArgument,
	options: { keepVolumes: flag("--keep-volumes", "keep its volumes, detached"), yes, ...waitOptions },
	async run(cli, { vm }, { keepVolumes, yes: sure, ...wait }) {
		const id = await resolveId(cli, "vm", vm);
		const stays = sure || !cli.io.stdin.isTTY ? "" : await whatStays(cli, id);
		const question = `Delete the VM ${vm}${keepVolumes ? ", and keep its volumes?" : " and its volumes?"}`;
		await confirm(cli, `${stays}${question}`, sure);
		const query = keepVolumes ? { query: { deleteVolumes: false } } : {};
		await finishTask(cli, (await cli.call("vmDelete", { path: { id }, ...query })).body, wait);
	},
});

/** Of a VM whose node was removed: nobody deletes anything there. */
async function whatStays(cli: Cli, id: string): Promise<string> {
	const { nodeId } = (await getVm(cli, id)).body;
	const node = (await allPages(cli, "nodeList", {})).find((one) => one.id === nodeId);
	if (node?.status.phase !== "left") return "";
	return `Its node, ${node.name}, was removed: what is on that host of the VM, disks included, stays there, and comes back when the node joins again. `;
}
