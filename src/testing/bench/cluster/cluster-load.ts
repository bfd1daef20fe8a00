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

/** One more round warms up. */
export async function measureLoad(clusters: readonly Cluster[], load: LoadClient, wanted: number): Promise<Figures> {
	const answers = new Map<string, LoadAnswer[]>();
	for (let at = 0; at <= wanted; at++)
		for (const kind of kinds)
			for (const clients of [1, manyClients])
				for (const cluster of clusters) {
					const exchanges = await atFollower(cluster, load, kind, clients);
					const answer = await load.order({ kind: "load", clients: exchanges, durationMs, failures: "refused" });
					const name = figureOf(cluster.name, kind, clients);
					if (at > 0) answers.set(name, [...(answers.get(name) ?? []), answer]);
				}
	const figures: Figures = {};
	for (const [name, of] of answers) {
		const times = of.flatMap(({ timesMs }) => timesMs);
		figures[`${name}PerSecond`] = round(median(of.map(({ perSecond }) => perSecond)), 0);
		figures[`${name}P50Ms`] = round(percentile(times, 0.5));
		figures[`${name}P99Ms`] = round(percentile(times, 0.99));
	}
	return { ...figures, ...ratios(figures) };
}

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
