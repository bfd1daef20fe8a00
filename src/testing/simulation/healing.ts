/** The end of all faults: what the network and the disks do wrong stops, and whoever is down comes back. */
import type { Cluster } from "./cluster.ts";
import type { Random } from "./random.ts";

export function heal(cluster: Cluster, random: Random): void {
	const { network, nodes } = cluster;
	cluster.healed = true;
	cluster.event(null, "all faults end");
	network.heal();
	const noFaults = { loss: 0, duplicates: 0, replay: 0, late: 0, forged: 0, flippedChunk: 0, lostEnd: 0, jitterMs: 1 };
	network.rates = { ...network.rates, ...noFaults };
	for (const node of nodes.values()) {
		node.slowUntil = 0;
		node.fullUntil = 0;
		node.hangsUntil = 0;
		if (node.unreadableUntil !== Number.POSITIVE_INFINITY) node.unreadableUntil = 0;
		node.tickMs = cluster.plan.tickMs;
		node.wake();
		if (node.isDown) cluster.restartLater(node, 1 + random.below(100));
	}
}
