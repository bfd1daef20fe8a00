/** `limiquantix vm delete`. */
import { resolveId } from "../../names.ts";
import { flag } from "../../options.ts";
import { confirm } from "../../prompt.ts";
import { finishTask, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { yes } from "../common-options.ts";
import { vmArgument } from "./show.ts";

export const deleteVerb: Verb = verb({
	name: "delete",
	summary: "Delete a VM and its volumes",
	examples: ["limiquantix vm delete web", "limiquantix vm delete web --keep-volumes --yes"],
	arguments: vmArgument,
	options: { keepVolumes: flag("--keep-volumes", "keep its volumes, detached"), yes, ...waitOptions },
	async run(cli, { vm }, { keepVolumes, yes: sure, ...wait }) {
		const id = await resolveId(cli, "vm", vm);
		await confirm(cli, `Delete the VM ${vm}${keepVolumes ? ", and keep its volumes?" : " and its volumes?"}`, sure);
		const query = keepVolumes ? { query: { deleteVolumes: false } } : {};
		await finishTask(cli, (await cli.call("vmDelete", { path: { id }, ...query })).body, wait);
	},
});
