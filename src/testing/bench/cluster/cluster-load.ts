/**
 * Three members each, asked through one follower over HTTPS: durable writes and linearizable reads with 64 clients and with
 * one. Ours and etcd's take turns, round by round.
 */
import { type Bench, type Figures, median, percentile, round } from "../bench.ts";
import { atFollower, withArena } from "./arena.ts";
import type { Cluster } from "./cluster.ts";
import type { LoadAnswer } from "./exchange.ts";
import type { LoadClient } from "./load.ts";

const rounds = 5;
const durationMs = 3_000;
/** A node that has run for a day is compiled; one that has just started is not. */
const warmUpMs = 30_000;
export const manyClients = 64;
const kinds = ["write", "read"] as const;

export const clusterLoad: Bench = {
	name: "cluster-load",
	what: `writes and linearizable reads at a follower of three, 1 and ${manyClients} clients, against etcd`,
	run: () =>
		withArena({ members: 3, contenders: ["ours", "etcd"] }, async ({ clusters, load, figures }) => ({
			...figures,
			...(await measureLoad(clusters, load, rounds)),
		})),
};

/** `wanted` rounds, after a long one that warms up. */
export async function measureLoad(clusters: readonly Cluster[], load: LoadClient, wanted: number): Promise<Figures> {
	for (const kind of kinds) for (const cluster of clusters) await oneRun(cluster, load, kind, manyClients, warmUpMs);
	const runs = new Map<string, Run[]>();
	for (let at = 0; at < wanted; at++)
		for (const kind of kinds)
			for (const clients of [1, manyClients])
				for (const cluster of clusters) {
					const name = figureOf(cluster.name, kind, clients);
					runs.set(name, [...(runs.get(name) ?? []), await oneRun(cluster, load, kind, clients, durationMs)]);
				}
	const figures: Figures = {};
	for (const [name, of] of runs) {
		const times = of.flatMap(({ timesMs }) => timesMs);
		figures[`${name}PerSecond`] = round(median(of.map(({ perSecond }) => perSecond)), 0);
		figures[`${name}P50Ms`] = round(percentile(times, 0.5));
		figures[`${name}P99Ms`] = round(percentile(times, 0.99));
		figures[`${name}CpuMs`] = round(median(of.map(({ cpuMs }) => cpuMs)), 3);
	}
	return { ...figures, ...ratios(figures) };
}

/** `cpuMs`: of all members together, for each operation. */
type Run = LoadAnswer & { cpuMs: number };

async function oneRun(
	cluster: Cluster,
	load: LoadClient,
	kind: (typeof kinds)[number],
	clients: number,
	forMs: number,
): Promise<Run> {
	const exchanges = await atFollower(cluster, load, kind, clients);
	const before = cpuOf(cluster);
	const answer = await load.order({ kind: "load", clients: exchanges, durationMs: forMs, failures: "refused" });
	return { ...answer, cpuMs: ((cpuOf(cluster) - before) * 1000) / answer.timesMs.length };
}

const cpuOf = ({ members }: Cluster): number => members.reduce((sum, { process }) => sum + process.cpuSeconds, 0);

const figureOf = (cluster: string, kind: string, clients: number): string =>
	`${cluster}Cluster${kind === "write" ? "Writes" : "Reads"}${clients}Client${clients === 1 ? "" : "s"}`;

/** Ours over etcd's, for each figure that both have. */
function ratios(figures: Figures): Figures {
	const found: Figures = {};
	for (const [name, value] of Object.entries(figures)) {
		const theirs = figures[name.replace(/^ours/, "etcd")];
		if (!name.startsWith("ours") || typeof value !== "number" || typeof theirs !== "number") continue;
		found[`${name.replace(/^oursC/, "c")}PerEtcdRatio`] = round(value / theirs);
	}
	return found;
}
