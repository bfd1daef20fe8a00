/** The problems of the moment, from the live store. */
import { computed } from "@preact/signals";
import { clusterStatus, clusterStatusError, watchClusterStatus } from "../api/cluster-status.ts";
import { cluster, live } from "../api/live/live.ts";
import { staleness } from "../api/staleness.ts";
import { findProblems, healthOf } from "./health.ts";

/** What was heard before a read failed may not be so any more; when everything is old, that is said of everything. */
const clocks = computed(() =>
	clusterStatusError.value === null || staleness.value !== null ? clusterStatus.value : null,
);

export const problems = computed(() =>
	findProblems({
		cluster: cluster.value,
		nodes: live.node.items.value,
		clocks: clocks.value,
		vms: live.vm.items.value,
		pools: live.pool.items.value,
		images: live.image.items.value,
		networks: live.network.items.value,
	}),
);

export const health = computed(() =>
	healthOf({ cluster: cluster.value, nodes: live.node.items.value }, problems.value),
);

/** Loads what the frame shows, and keeps it fresh until the returned function is called; pages load the rest themselves. */
export function ensureFrameData(): () => void {
	for (const kind of ["node", "vm", "pool", "image", "network", "task"] as const) void live[kind].ensure();
	return watchClusterStatus();
}
