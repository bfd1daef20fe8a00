/** `limiquantix cluster`. What has to do with its members is in cluster/. */
import { download } from "../download.ts";
import { usageError } from "../failure.ts";
import { bytes, fullTime } from "../format.ts";
import { flag, text } from "../options.ts";
import { type Noun, verb } from "../verb.ts";
import { joinVerb } from "./cluster/join.ts";
import { joinTokenVerbs } from "./cluster/join-token.ts";
import { initVerb, memberVerbs, renameVerb } from "./cluster/members.ts";
import { recoverVerb } from "./cluster/recover.ts";
import { statusVerb } from "./cluster/status.ts";

export const clusterNoun: Noun = {
	name: "cluster",
	summary: "the cluster as a whole",
	groups: { token: "tokens with which new nodes join" },
	verbs: [
		verb({
			name: "show",
			summary: "Show the cluster",
			examples: ["limiquantix cluster show"],
			async run(cli) {
				const { body: cluster } = await cli.call("clusterGet");
				const { leaderNodeId: id } = cluster;
				const named = id !== null && cli.output.forPeople;
				const leader = named ? (await cli.call("nodeGet", { path: { id } })).body.name : id;
				await cli.output.object(
					cluster,
					[
						["name", cluster.name],
						["id", cluster.id],
						["version", cluster.version],
						["quorum", cluster.quorum],
						["leader", leader],
						["created", fullTime(cluster.createdAt, cli.io.clock.nowMs())],
					],
					cluster.id,
				);
			},
		}),
		statusVerb,
		initVerb,
		...joinTokenVerbs,
		joinVerb,
		...memberVerbs,
		renameVerb,
		verb({
			name: "backup",
			summary: "Save the state of the cluster to a file",
			description:
				"Everything but the disks of VMs and what lies beside them: VMs, networks, users, the audit. As root on a node; it goes on running. The file holds the hashes of all secrets. limiquantix cluster restore takes it.",
			examples: ["limiquantix cluster backup /backup/limiquantix-monday.db"],
			arguments: { "<file>": "where to; - is standard output" },
			options: { force: flag("--force", "replace the file when it is there") },
			async run(cli, { file }, { force }) {
				const received = await download(cli, { title: "backup", path: file, force }, (signal) =>
					cli.call("clusterBackupGet", { signal, timeoutMs: null }),
				);
				if (file !== "-") await cli.output.say(`${file}: ${bytes(received)}`);
			},
		}),
		verb({
			name: "restore",
			summary: "Make a backup the state of a node that does not run",
			description:
				"On the node, as root, without its service. The file is what limiquantix cluster backup made, or one of the folder snapshots/ of a data folder. The data folder must hold no state: raft/, snapshots/ and state.db* are moved elsewhere before. What else is in it, such as pools/, vms/ and tls/, stays. Changes made after the backup are lost. The node is a cluster of its own afterwards, with a new id: other nodes of the backup are members no more, and join again. All sessions are ended; tokens, users and passwords are those of the backup, also those that were revoked or changed since: review them. Interrupted, it is run again.",
			examples: ["limiquantix cluster restore /backup/limiquantix-monday.db --data-dir /var/lib/limiquantix"],
			arguments: { "<file>": "the backup" },
			options: {
				dataDir: { ...text("--data-dir <folder>", "data folder of the node"), completes: "folder" },
				node: text("--node <name>", "which node of the backup this machine is, when it does not know itself"),
			},
			async run(cli, { file }, { dataDir, node }) {
				if (dataDir === undefined) throw usageError("--data-dir is missing.");
				const { index, nodeName, membersLeft } = await cli.io.offline.restoreSnapshot(file, dataDir, node);
				await cli.output.say(
					`${dataDir} holds the state of ${file} (up to change ${index}), as a cluster of ${nodeName} alone. The node can be started.`,
				);
				if (membersLeft.length > 0)
					await cli.output.say(
						`No members any more: ${membersLeft.join(", ")}. They must not be started with what they have: their VMs are unknown here. They join again: limiquantix cluster join.`,
					);
				await cli.output.say(
					"All sessions are ended. Tokens, users and passwords are those of the backup: what was revoked, disabled or changed since is valid again. Review them first: limiquantix user list, limiquantix token list --all.",
				);
			},
		}),
		recoverVerb,
	],
};
