/**
 * Three members under full load for long: the memory of each idle, and after a million writes; elections that nobody
 * needed (none of the members was disturbed); writes at the beginning and at the end. Ours and etcd's take turns in the million;
 * the hours after it are ours alone, as etcd refuses writes when its database has two gigabytes.
 */
import { type Bench, type BenchOptions, type Figures, percentile, round } from "../bench.ts";
import { type Arena, atFollower, withArena } from "./arena.ts";
import type { Cluster } from "./cluster.ts";
import { manyClients } from "./cluster-load.ts";
import type { LoadClient } from "./load.ts";

const defaultHours = 1;
const defaultWrites = 1_000_000;
const idleMs = 30_000;
const turnMs = 10_000;

export const clusterSoak: Bench = {
	name: "cluster-soak",
	what: "memory idle and after a million writes, needless elections in hours of full load (--hours, --writes)",
	long: true,
	run: (options: BenchOptions) =>
		withArena({ members: 3, contenders: ["ours", "etcd"] }, async (arena) => ({
			...arena.figures,
			...(await idle(arena)),
			...(await million(arena, options.writes ?? defaultWrites)),
			...(await hours(arena, options.hours ?? defaultHours)),
		})),
};

async function idle({ clusters }: Arena): Promise<Figures> {
	await Bun.sleep(idleMs);
	return Object.assign({}, ...clusters.map((cluster) => resident(cluster, "Idle")));
}

async function million({ clusters, load }: Arena, writes: number): Promise<Figures> {
	const before = await Promise.all(clusters.map((cluster) => termOf(cluster)));
	const done = clusters.map(() => 0);
	const figures: Figures = { soakWrites: writes };
	while (done.some((count) => count < writes))
		for (const [at, cluster] of clusters.entries()) {
			if ((done[at] ?? 0) >= writes) continue;
			const { timesMs } = await turn(cluster, load);
			done[at] = (done[at] ?? 0) + timesMs.length;
			if ((done[at] ?? 0) >= writes) Object.assign(figures, resident(cluster, "AfterWrites"));
		}
	for (const [at, cluster] of clusters.entries())
		figures[`${cluster.name}NeedlessElectionsInWrites`] = (await termOf(cluster)) - (before[at] ?? 0);
	return figures;
}

async function hours({ clusters, load }: Arena, wanted: number): Promise<Figures> {
	const [ours] = clusters.filter(({ name }) => name === "ours");
	if (!ours) return {};
	const term = await termOf(ours);
	const perSecond: number[] = [];
	const p99: number[] = [];
	const end = performance.now() + wanted * 3_600_000;
	let failed = 0;
	while (performance.now() < end) {
		const answer = await turn(ours, load);
		perSecond.push(answer.perSecond);
		p99.push(percentile(answer.timesMs, 0.99));
		failed += answer.failed;
	}
	return {
		soakHours: wanted,
		soakNeedlessElections: (await termOf(ours)) - term,
		soakFailedWrites: failed,
		soakFirstWritesPerSecond: round(perSecond[0] ?? Number.NaN, 0),
		soakLastWritesPerSecond: round(perSecond.at(-1) ?? Number.NaN, 0),
		soakSlowestWritesPerSecond: round(Math.min(...perSecond), 0),
		soakWorstP99Ms: round(Math.max(...p99)),
		...resident(ours, "AfterHours"),
	};
}

async function turn(cluster: Cluster, load: LoadClient) {
	const clients = await atFollower(cluster, load, "write", manyClients);
	return load.order({ kind: "load", clients, durationMs: turnMs, failures: "counted" });
}

const termOf = async (cluster: Cluster): Promise<number> => (await cluster.view(0)).term;

function resident(cluster: Cluster, when: string): Figures {
	const bytes = cluster.members.map(({ process }) => process.residentBytes);
	return { [`${cluster.name}${when}LargestResidentMegabytes`]: round(Math.max(...bytes) / 1e6, 1) };
}
