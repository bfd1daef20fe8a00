/** The problems of the moment, from the live store. */
import { computed } from "@preact/signals";
import { clusterStatus } from "../api/cluster-status.ts";
import { cluster, live } from "../api/live/live.ts";
import { findProblems, healthOf } from "./health.ts";

export const problems = computed(() =>
	findProblems({
		cluster: cluster.value,
		nodes: live.node.items.value,
		members: clusterStatus.value?.members ?? [],
		vms: live.vm.items.value,
		pools: live.pool.items.value,
		images: live.image.items.value,
		networks: live.network.items.value,
	}),
);

export const health = computed(() =>
	healthOf({ cluster: cluster.value, nodes: live.node.items.value }, problems.value),
);

/** Loads what the frame shows; pages load the rest themselves. */
export function ensureFrameData(): void {
	for (const kind of ["node", "vm", "pool", "image", "network", "task"] as const) void live[kind].ensure();
}
