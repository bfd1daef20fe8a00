/**
 * Three members under full load for an hour and for a million writes: the memory of each idle, after the million and at the end;
 * elections that nobody needed (none of the members was disturbed); writes at the beginning and at the end. etcd gets the million
 * only, after ours, as it refuses writes when its database has two gigabytes. Where it has come to is said on stderr.
 */
import { type Bench, type BenchOptions, type Figures, median, percentile, round } from "../bench.ts";
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
			...(await soaks(arena, options)),
		})),
};

async function idle({ clusters }: Arena): Promise<Figures> {
	await Bun.sleep(idleMs);
	return Object.assign({}, ...clusters.map((cluster) => prefixed(cluster.name, resident(cluster, "Idle"))));
}

async function soaks({ clusters, load }: Arena, options: BenchOptions): Promise<Figures> {
	const writes = options.writes ?? defaultWrites;
	const hours = options.hours ?? defaultHours;
	const figures: Figures = { soakWrites: writes, soakHours: hours };
	for (const cluster of clusters)
		Object.assign(figures, await soak(cluster, load, writes, cluster.name === "ours" ? hours : 0));
	return figures;
}

/** Full load until there were so many writes and so many hours of them. */
async function soak(cluster: Cluster, load: LoadClient, writes: number, hours: number): Promise<Figures> {
	const { name } = cluster;
	const term = await termOf(cluster);
	const perSecond: number[] = [];
	const p99: number[] = [];
	const figures: Figures = {};
	const begin = performance.now();
	let done = 0;
	let failed = 0;
	let said = 0;
	while (done < writes || performance.now() - begin < hours * 3_600_000) {
		const answer = await turn(cluster, load);
		const enoughBefore = done >= writes;
		done += answer.timesMs.length;
		failed += answer.failed;
		perSecond.push(answer.perSecond);
		p99.push(percentile(answer.timesMs, 0.99));
		if (done >= writes && !enoughBefore) Object.assign(figures, resident(cluster, "AfterWrites"));
		const minutes = Math.floor((performance.now() - begin) / 60_000);
		if (minutes === said) continue;
		said = minutes;
		const { LargestResidentMegabytes: megabytes } = resident(cluster, "");
		const elections = (await termOf(cluster)) - term;
		console.error(
			`${name}: ${minutes} min, ${done} writes, ${round(answer.perSecond, 0)}/s, ${failed} failed, ${elections} elections, ${megabytes} MB`,
		);
	}
	return prefixed(name, {
		...figures,
		NeedlessElections: (await termOf(cluster)) - term,
		Writes: done,
		FailedWrites: failed,
		FirstWritesPerSecond: round(median(perSecond.slice(0, 6)), 0),
		LastWritesPerSecond: round(median(perSecond.slice(-6)), 0),
		SlowestWritesPerSecond: round(Math.min(...perSecond), 0),
		WorstP99Ms: round(Math.max(...p99)),
		...resident(cluster, "AtEnd"),
	});
}

async function turn(cluster: Cluster, load: LoadClient) {
	const clients = await atFollower(cluster, load, "write", manyClients);
	return load.order({ kind: "load", clients, durationMs: turnMs, failures: "counted" });
}

const termOf = async (cluster: Cluster): Promise<number> => (await cluster.view(0)).term;

function resident(cluster: Cluster, when: string): Figures {
	const bytes = cluster.members.map(({ process }) => process.residentBytes);
	return { [`${when}LargestResidentMegabytes`]: round(Math.max(...bytes) / 1e6, 1) };
}

const prefixed = (prefix: string, figures: Figures): Figures =>
	Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${prefix}${name}`, value]));
