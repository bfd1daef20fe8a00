/** `cluster recover`: what one node has left becomes a single-node cluster. Needs no node, and none may run. */

import { usageError } from "../../failure.ts";
import type { Recoverable } from "../../io.ts";
import { text } from "../../options.ts";
import { typed } from "../../prompt.ts";
import { verb } from "../../verb.ts";

export const recoverVerb = verb({
	name: "recover",
	summary: "Make a single-node cluster of a survivor, when the others are lost",
	description:
		"The last resort, when so many nodes are lost for good that there will be no quorum again. On the survivor that has the most, as root, without its service. Changes that it had not received are lost. The other nodes must be off (it is refused while one answers) and stay off: they are members no more, and their VMs are unknown. It is a new cluster, with a new id; all sessions and join tokens end. One that comes back is told so; limiquantix cluster join on it takes it in again, with the VMs that are still its own. Interrupted, nothing has happened, or the next start completes it. What the node was is kept in former/ of the data folder.",
	examples: [
		"limiquantix cluster recover --data-dir /var/lib/limiquantix",
		"limiquantix cluster recover --data-dir /var/lib/limiquantix --confirm node1",
	],
	options: {
		dataDir: { ...text("--data-dir <folder>", "data folder of the node"), completes: "folder" },
		confirm: text("--confirm <name>", "the node's name: the others are off and stay off; asked for otherwise"),
	},
	async run(cli, _, { dataDir, confirm }) {
		if (dataDir === undefined) throw usageError("--data-dir is missing.");
		const recovered = await cli.io.offline.recoverCluster(dataDir, async (found) => {
			await cli.note(consequences(found));
			return confirm ?? (await typed(cli, found.nodeName, "--confirm"));
		});
		const { index, clusterId, membersLeft } = recovered;
		if (!cli.output.forPeople) return cli.output.object(recovered, [], clusterId);
		await cli.output.say(`${dataDir} holds a single-node cluster (up to change ${index}). The node can be started.`);
		if (membersLeft.length > 0) await cli.output.say(`No members any more: ${membersLeft.join(", ")}.`);
	},
});

const consequences = ({ clusterName, nodeName, index, otherMembers, damage }: Recoverable): string =>
	[
		...(damage === null ? [] : [damage]),
		`${nodeName} of the cluster ${clusterName} has the state up to change ${index}. Later changes, if there are any, are lost.`,
		otherMembers.length > 0
			? `${otherMembers.join(", ")} must be off, and stay off. ${otherMembers.length === 1 ? "Its" : "Their"} VMs become unknown.`
			: "It is its only member.",
	].join("\n");
