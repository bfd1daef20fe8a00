/** Ours and etcd's beside each other: one network, one load client, the same disk. */
import type { Figures } from "../bench.ts";
import { type Cluster, followerOf, settled } from "./cluster.ts";
import { etcdProgram, startEtcdCluster } from "./etcd-cluster.ts";
import { type LoadClient, startLoadClient } from "./load.ts";
import { type Network, startNetwork } from "./network.ts";
import { startOurCluster } from "./our-cluster.ts";

export type Arena = { network: Network; load: LoadClient; clusters: Cluster[]; figures: Figures };

/** The last two: with the election settings of the other one. */
export type Contender = "ours" | "etcd" | "etcdAtOurElection" | "oursAtEtcdElection";

/**
 * Our election settings as etcd's: ten ticks of 50 ms, a heartbeat every second one. Not quite the same, since the spread is not a
 * setting of either: etcd waits 500 to 1000 ms then, we 500 to 830.
 */
const ourElection = { heartbeatMs: 100, electionMs: 500 };
/** And etcd's as ours: a second and more without a leader (etcd up to 2 s, we up to 1.63), with a heartbeat every 200 ms instead of 100. */
const etcdElection = ["--tick-ms", "100"];

export type ArenaOptions = {
	members: number;
	contenders: readonly Contender[];
};

/** Enough for a volume for each client. */
export const fewVms = 64;

/** Nothing stays behind, however `action` ends. Without etcd-server on this machine ours is measured alone. */
export function withArena<T>(options: ArenaOptions, action: (arena: Arena) => Promise<T>): Promise<T> {
	const { members, contenders } = options;
	return withNetwork(async ({ network, load }) => {
		const clusters: Cluster[] = [];
		try {
			const common = { network, load, members };
			for (const name of contenders) {
				if (name === "ours") clusters.push(await startOurCluster({ ...common, name, vmCount: fewVms }));
				else if (name === "oursAtEtcdElection")
					clusters.push(await startOurCluster({ ...common, name, vmCount: fewVms, settings: etcdElection }));
				else if (etcdProgram() !== null)
					clusters.push(await startEtcdCluster({ ...common, name, ...(name === "etcd" ? {} : ourElection) }));
			}
			const etcd = clusters.find(({ name }) => name.startsWith("etcd"));
			const figures: Figures = { clusterMembers: members, ...(etcd ? { etcdVersion: etcd.version } : {}) };
			return await action({ network, load, clusters, figures });
		} finally {
			for (const cluster of clusters) await cluster.stop();
		}
	});
}

export async function withNetwork<T>(action: (place: Pick<Arena, "network" | "load">) => Promise<T>): Promise<T> {
	const network = await startNetwork();
	const load = startLoadClient(network.hubPrefix);
	try {
		return await action({ network, load });
	} finally {
		await load.stop();
		await network.stop();
	}
}

/** What `clients` of one follower send; with one member alone, of that one. */
export async function atFollower(cluster: Cluster, load: LoadClient, kind: "write" | "read", clients: number) {
	const member = followerOf(cluster, await settled(cluster, load));
	return Array.from({ length: clients }, (_, client) => cluster[kind](client, member));
}
