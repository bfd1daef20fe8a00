/** `limiquantix cluster`. */
import { fullTime } from "../format.ts";
import { type Noun, verb } from "../verb.ts";

export const clusterNoun: Noun = {
	name: "cluster",
	summary: "the cluster as a whole",
	verbs: [
		verb({
			name: "show",
			summary: "Show the cluster",
			examples: ["limiquantix cluster show"],
			async run(cli) {
				const { body: cluster } = await cli.call("clusterGet");
				await cli.output.object(
					cluster,
					[
						["name", cluster.name],
						["id", cluster.id],
						["version", cluster.version],
						["quorum", cluster.quorum],
						["leader", cluster.leaderNodeId],
						["created", fullTime(cluster.createdAt, cli.io.clock.nowMs())],
					],
					cluster.id,
				);
			},
		}),
		verb({
			name: "rename",
			summary: "Give the cluster another name",
			examples: ["limiquantix cluster rename berlin"],
			arguments: { "<name>": "the new name" },
			async run(cli, { name }) {
				const { body: cluster } = await cli.call("clusterUpdate", { body: { name } });
				await cli.output.object(cluster, [["name", cluster.name]], cluster.id);
			},
		}),
	],
};
