/**
 * How long a join takes, from the request on the new node until it votes: of an empty node to a small cluster, of an empty
 * node to one whose state has 100 MB, and of a node that brings more VMs than a host can run to an empty cluster.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { type Bench, type Figures, median, round } from "../bench.ts";
import { fewVms, withNetwork } from "./arena.ts";
import { type OurCluster, startOurCluster } from "./our-cluster.ts";

/** About 100 MB of state.db. */
const manyVms = 11_000;
const broughtVms = 2_000;
const joins = 4;

export const clusterJoin: Bench = {
	name: "cluster-join",
	what: "joins of an empty node, to a state of 100 MB, and with many VMs",
	async run() {
		const toFew = await joining(fewVms, async (ours) => {
			const tookMs: number[] = [];
			for (let i = 0; i < joins; i++) tookMs.push(await ours.grow());
			return { joinEmptyMedianMs: round(median(tookMs), 0), joinEmptyMaximumMs: round(Math.max(...tookMs), 0) };
		});
		const toMany = await joining(manyVms, async (ours) => ({
			joinToLargeStateMs: round(await ours.grow(), 0),
			joinLargeStateMegabytes: stateMegabytes(ours),
		}));
		// Those that it brings have the names that ours have.
		const withMany = await joining(0, async (ours) => ({
			[`joinWith${broughtVms}VmsMs`]: round(await ours.grow(broughtVms), 0),
		}));
		return { ...toFew, ...toMany, ...withMany };
	},
};

function joining(vmCount: number, action: (ours: OurCluster) => Promise<Figures>): Promise<Figures> {
	return withNetwork(async (place) => {
		const ours = await startOurCluster({ ...place, name: "ours", members: 1, vmCount });
		try {
			return await action(ours);
		} finally {
			await ours.stop();
		}
	});
}

function stateMegabytes({ members: [first] }: OurCluster): number {
	return first ? round(statSync(join(first.dataDir, "state.db")).size / 1e6, 1) : 0;
}
