/** `limiquantix vm move`. */
import { resolveId } from "../../names.ts";
import { text } from "../../options.ts";
import { given } from "../../pages.ts";
import { finishTask, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { vmArgument } from "./show.ts";

export const moveVerb: Verb = verb({
	name: "move",
	summary: "Move a VM that is off to another node",
	description:
		"Its disks go along where they lie on its node, with the state of its firmware and its TPM. Until all of it has arrived the VM stays where it is; to call it off, cancel the task. A VM of a node that is gone moves as its record, when its disks are on shared storage: --confirm-node-off with the name of that node says that it is off and stays off, since a VM that runs twice destroys its disks. It is refused while the node answers, and until nobody has heard of it for some seconds: a node that is only not ready may run its VMs.",
	examples: ["limiquantix vm move web node2", "limiquantix vm move web node2 --confirm-node-off node1"],
	arguments: { ...vmArgument, "<node>": "name or id of the node that it goes to" },
	options: {
		confirmNodeOff: text("--confirm-node-off <name>", "name of the VM's node, which is off and stays off"),
		...waitOptions,
	},
	async run(cli, { vm, node }, { confirmNodeOff, ...wait }) {
		const id = await resolveId(cli, "vm", vm);
		const nodeId = await resolveId(cli, "node", node);
		const body = { nodeId, ...given({ confirmNodeOff }) };
		await finishTask(cli, (await cli.call("vmMove", { path: { id }, body })).body, wait);
	},
});
