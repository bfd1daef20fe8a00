/**
 * Are heartbeats late while a snapshot of a large state is made? Three nodes, 100 MB of state, some writes; snapshots one after
 * the other on the leader. The leader itself counts how late each tick of its consensus comes (/metrics): a heartbeat goes
 * with every second one.
 */
import { type Bench, type Figures, round } from "../bench.ts";
import { atFollower, withNetwork } from "./arena.ts";
import { settled } from "./cluster.ts";
import { type OurNode, startOurCluster } from "./our-cluster.ts";

/** About 100 MB of state.db. */
const manyVms = 8_000;
/** Twenty ticks a second: enough for one in a thousand. */
const lookMs = 100_000;
const clients = 4;
const metric = "limiquantix_cluster_tick_delay_seconds";

export const clusterSnapshot: Bench = {
	name: "cluster-snapshot",
	what: "how late heartbeats are while snapshots of a state of 100 MB are made",
	long: true,
	run: () =>
		withNetwork(async (place) => {
			const ours = await startOurCluster({ ...place, name: "ours", members: 3, vmCount: manyVms });
			try {
				const leader = ours.members[await settled(ours, place.load)] as OurNode;
				const calm = await delays(leader, () => Bun.sleep(lookMs / 2));
				const exchanges = await atFollower(ours, place.load, "write", clients);
				const load = () =>
					place.load.order({ kind: "load", clients: exchanges, durationMs: lookMs, failures: "counted" });
				const busy = await delays(leader, load);
				let snapshots = 0;
				const saved = await delays(leader, async () => {
					let over = false;
					const loaded = load().finally(() => {
						over = true;
					});
					while (!over) {
						const { body } = await leader.api.call("clusterBackupGet");
						await body.bytes();
						snapshots += 1;
					}
					await loaded;
				});
				return {
					snapshotsTaken: snapshots,
					...named("heartbeatDelayIdle", calm),
					...named("heartbeatDelayWithWrites", busy),
					...named("heartbeatDelayWithSnapshots", saved),
				};
			} finally {
				await ours.stop();
			}
		}),
};

type Buckets = Map<number, number>;

/** Ticks of `action`'s time by how late they were at most, in seconds. */
async function delays(node: OurNode, action: () => Promise<unknown>): Promise<Buckets> {
	const before = await buckets(node);
	await action();
	const after = await buckets(node);
	return new Map([...after].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]));
}

async function buckets(node: OurNode): Promise<Buckets> {
	const { body } = await node.api.call("metricsGet");
	const text = await body.text();
	const found = [...text.matchAll(new RegExp(`^${metric}_bucket\\{.*?le="([^"]+)".*?\\} (\\d+)`, "gm"))];
	if (found.length === 0) throw new Error(`/metrics has no ${metric}.`);
	return new Map(
		found.map(([, bound, count]) => [bound === "+Inf" ? Number.POSITIVE_INFINITY : Number(bound), Number(count)]),
	);
}

/** Upper bounds: a histogram knows no more. */
function named(name: string, of: Buckets): Figures {
	const total = of.get(Number.POSITIVE_INFINITY) ?? 0;
	const at = (share: number) => [...of].sort(([a], [b]) => a - b).find(([, count]) => count >= total * share)?.[0];
	return {
		[`${name}Ticks`]: total,
		[`${name}P99AtMostMs`]: round((at(0.99) ?? Number.NaN) * 1000),
		[`${name}P999AtMostMs`]: round((at(0.999) ?? Number.NaN) * 1000),
	};
}
