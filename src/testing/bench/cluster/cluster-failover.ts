/**
 * From the loss of the leader to the next acknowledged write: the leader of three is killed, stopped or cut off, and a
 * client tries the other two at once, without an end. Each with its own election settings and with the other's. The clusters
 * take turns, loss by loss; the writes are the only load.
 */

import { present } from "../../../lib/assert.ts";
import { type Bench, type BenchOptions, type Figures, median, round } from "../bench.ts";
import { type Arena, withArena } from "./arena.ts";
import { type Cluster, settled } from "./cluster.ts";
import { wallMs } from "./exchange.ts";
import type { LoadClient } from "./load.ts";

const losses = ["Kill", "Stop", "Cut"] as const;
type Loss = (typeof losses)[number];
const defaultRuns = 30;
const limitMs = 60_000;
/** Between two losses of a cluster: election time-outs are over by then, and a run does not see the one before. */
const restMs = 2_000;

export const clusterFailover: Bench = {
	name: "cluster-failover",
	what: "loss of the leader (killed, stopped, cut off) to the next acknowledged write, against etcd",
	run: ({ runs = defaultRuns }: BenchOptions) =>
		withArena({ members: 3, contenders: ["ours", "etcd", "etcdAtOurElection", "oursAtEtcdElection"] }, (arena) =>
			measureFailover(arena, runs),
		),
};

export async function measureFailover({ clusters, load, figures }: Arena, runs: number): Promise<Figures> {
	const times = new Map<string, number[]>();
	for (let at = 0; at < runs; at++)
		for (const loss of losses)
			for (const cluster of clusters) {
				const name = `${cluster.name}FailoverAfter${loss}`;
				times.set(name, [...(times.get(name) ?? []), await loseLeader(cluster, load, loss, at / runs)]);
			}
	const all: Figures = { ...figures, failoverRuns: runs };
	for (const [name, of] of times) {
		all[`${name}MedianMs`] = round(median(of), 0);
		all[`${name}MaximumMs`] = round(Math.max(...of), 0);
	}
	return all;
}

const settledAt = new WeakMap<Cluster, number>();

/** @param phase 0 to 1: losses fall at all points between two heartbeats */
export async function loseLeader(cluster: Cluster, load: LoadClient, loss: Loss, phase: number): Promise<number> {
	const rested = performance.now() - (settledAt.get(cluster) ?? performance.now());
	await Bun.sleep(Math.max(0, restMs - rested) + phase * 100);
	const leader = await settled(cluster, load);
	const { process, host } = present(cluster.members[leader], "the leader");
	const others = cluster.members.map((_, member) => member).filter((member) => member !== leader);
	const clients = others.map((member) => cluster.write(member, member));
	await load.order({ kind: "warm", clients });
	if (loss === "Cut") await host.cut();
	const lostAtMs = wallMs();
	if (loss === "Kill") await process.kill();
	if (loss === "Stop") process.pause();
	try {
		const { atMs } = await load.order({ kind: "next-acknowledged", clients, limitMs });
		return atMs - lostAtMs;
	} finally {
		if (loss === "Kill") process.start();
		if (loss === "Stop") process.resume();
		if (loss === "Cut") await host.mend();
		// Nothing of this goes on while the next cluster is looked at.
		await settled(cluster, load);
		settledAt.set(cluster, performance.now());
	}
}
