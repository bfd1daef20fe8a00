/**
 * Three real daemons while nodes are killed, stopped, cut off, run out of disk, join and leave: what clients saw is linearizable, what
 * was acknowledged is there once, and in the end all copies are the same. `npm run soak` does this for hours.
 */
import { expect, test } from "bun:test";
import { Campaign } from "../cluster/campaign.ts";
import { linkFaults, processFaults } from "../cluster/faults.ts";
import { LabCluster } from "../cluster/lab-cluster.ts";
import { chosenSeed } from "./crash-points.ts";

const roundMs = 25_000;
const limitMs = 180_000;

for (const membership of [false, true])
	test(
		membership ? "three nodes, and who they are changes" : "three nodes and every fault of processes and links",
		async () => {
			const seed = chosenSeed();
			await using cluster = await LabCluster.start(3);
			const campaign = await Campaign.prepare({ cluster, seed, membership, folder: null });
			const { violations, operations, creations, faults } = await campaign.round(roundMs);
			expect({ seed, violations }).toEqual({ seed, violations: [] });
			expect(operations.ok).toBeGreaterThan(100);
			expect(creations).toBeGreaterThan(0);
			// Something did go wrong, and in more than one way.
			const happened = Object.entries(faults).filter(([, count]) => count > 0);
			expect(happened.length).toBeGreaterThan(2);
			expect(happened.reduce((sum, [, count]) => sum + count, 0)).toBeGreaterThan(4);
			const sorts = [...processFaults, ...linkFaults].map(({ name }) => name);
			if (!membership) expect(Object.keys(faults).sort()).toEqual(sorts.sort());
			const changes = ["join", "leave", "remove"];
			const changed = happened.filter(([name]) => changes.includes(name));
			expect(changed.length > 0).toBe(membership);
		},
		limitMs,
	);
