/** What one member, three and five cost, with 100 objects in the state and with 100,000, beside etcd with as many keys. */
import type { Bench, Figures } from "../bench.ts";
import { withArena } from "./arena.ts";
import { measureLoad } from "./cluster-load.ts";

const rounds = 2;
const memberCounts = [1, 3, 5];
const objectCounts = [100, 100_000];

export const clusterGrowth: Bench = {
	name: "cluster-growth",
	what: `writes and reads with ${memberCounts.join(", ")} members and ${objectCounts.join(", ")} objects, against etcd`,
	long: true,
	async run() {
		const all: Figures = {};
		for (const objects of objectCounts)
			for (const members of memberCounts) {
				const figures = await withArena({ members, objects, contenders: ["ours", "etcd"] }, ({ clusters, load }) =>
					measureLoad(clusters, load, rounds),
				);
				for (const [name, value] of Object.entries(figures)) all[`members${members}Objects${objects}${name}`] = value;
			}
		return all;
	},
};
