/**
 * What one member, three and five cost, with 100 objects in the state and with 100,000. Ours grows by joining; etcd, with as
 * many keys, is started anew for each size. How long each join takes, too.
 */
import { type Bench, type BenchOptions, type Figures, median, round } from "../bench.ts";
import { withNetwork } from "./arena.ts";
import { measureLoad } from "./cluster-load.ts";
import { etcdProgram, startEtcdCluster } from "./etcd-cluster.ts";
import { startOurCluster } from "./our-cluster.ts";

const rounds = 2;
const memberCounts = [1, 3, 5];
const objectCounts = [100, 100_000];
/** A VM has a volume, and a task made it. */
const objectsOfVm = 3;
/** A volume for each client all the same. */
const leastVms = 64;

export const clusterGrowth: Bench = {
	name: "cluster-growth",
	what: `writes and reads with ${memberCounts.join(", ")} members and ${objectCounts.join(", ")} objects, against etcd`,
	long: true,
	async run(options: BenchOptions) {
		const all: Figures = {};
		for (const objects of options.objects === undefined ? objectCounts : [options.objects])
			for (const [name, value] of Object.entries(await growing(objects))) all[`objects${objects}${name}`] = value;
		return all;
	},
};

function growing(objects: number): Promise<Figures> {
	return withNetwork(async ({ network, load }) => {
		const vmCount = Math.max(leastVms, Math.ceil(objects / objectsOfVm));
		const common = { network, load };
		const ours = await startOurCluster({ ...common, name: "ours", members: 1, vmCount });
		const all: Figures = {};
		try {
			for (const members of memberCounts) {
				const joinMs: number[] = [];
				while (ours.members.length < members) joinMs.push(await ours.grow());
				if (joinMs.length > 0) all[`Members${members}JoinMedianMs`] = round(median(joinMs), 0);
				const etcd = etcdProgram()
					? await startEtcdCluster({ ...common, name: "etcd", members, keys: objects })
					: undefined;
				try {
					const figures = await measureLoad([ours, ...(etcd ? [etcd] : [])], load, rounds);
					for (const [name, value] of Object.entries(figures)) all[`Members${members}${name}`] = value;
				} finally {
					await etcd?.stop();
				}
			}
		} finally {
			await ours.stop();
		}
		return all;
	});
}
