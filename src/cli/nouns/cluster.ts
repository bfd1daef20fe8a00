/** `limiquantix cluster`. What has to do with its members is in cluster/. */
import { fullTime } from "../format.ts";
import { type Noun, verb } from "../verb.ts";
import { backupVerb, restoreVerb } from "./cluster/backup.ts";
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
		backupVerb,
		restoreVerb,
		recoverVerb,
	],
};
