/**
 * Whether what is shown is still so, and whether anything can be changed. Two things make it old: the event stream is
 * lost, or the cluster has no quorum (no change can be committed then, so no event says so: answers and failures do).
 * Everything that shows states goes grey with `staleness`; everything that writes is off with `writeObstacle`.
 */
import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import { common as t } from "../strings/common.ts";
import { setAnswerListener } from "./call.ts";
import { clusterStatus } from "./cluster-status.ts";
import { cluster, connection, live, refreshCluster } from "./live/live.ts";

/** A short break (a daemon that restarts) is not worth greying everything. */
const patienceMs = 3000;
/**
 * Without a quorum nothing is committed: neither its loss nor its return is an event. A cluster of several nodes is asked
 * every now and then, lest a page that reads nothing believes for long what it shows.
 */
const quorumReadEveryMs = 5000;

export type Staleness = {
	cause: "connection" | "quorum";
	/** What is shown was so then; null when that cannot be told. */
	asOf: string | null;
};

const reconnecting = computed(() => connection.value.state === "reconnecting");
const lost = signal(false);
effect(() => {
	if (!reconnecting.value) {
		lost.value = false;
		return;
	}
	const timer = setTimeout(() => {
		lost.value = true;
	}, patienceMs);
	return () => clearTimeout(timer);
});

const noQuorum = computed(() => cluster.value?.quorum === false);
const asked = computed(() => noQuorum.value || (cluster.value !== null && live.node.count.value > 1));
effect(() => {
	if (!asked.value) return;
	const timer = setInterval(() => {
		if (!document.hidden) void refreshCluster();
	}, quorumReadEveryMs);
	return () => clearInterval(timer);
});

/** The last answer that a quorum vouched for. */
let provenAtMs: number | null = null;
setAnswerListener((stale) => {
	if (!stale) provenAtMs = Date.now();
	if (stale !== noQuorum.peek()) void refreshCluster();
});

/** A page that was opened without a quorum has no answer to go by: what was reported last is as new as it gets. */
function newestReport(): string | null {
	let newest: string | null = null;
	for (const { status } of [...live.node.items.value, ...live.vm.items.value]) {
		if (newest === null || status.updatedAt > newest) newest = status.updatedAt;
	}
	return newest;
}

export const staleness: ReadonlySignal<Staleness | null> = computed(() => {
	if (lost.value) return { cause: "connection", asOf: new Date(connection.value.heardAtMs).toISOString() };
	if (!noQuorum.value) return null;
	return { cause: "quorum", asOf: provenAtMs === null ? newestReport() : new Date(provenAtMs).toISOString() };
});

/** Why nothing can be changed now, whoever asks; null when it can. */
export function writeObstacle(): string | null {
	if (lost.value) return t.lostObstacle;
	if (!noQuorum.value) return null;
	const status = clusterStatus.value;
	if (status?.recoveredElsewhere) return t.recoveredObstacle;
	return status?.removed ? t.removedObstacle : t.quorumObstacle;
}

/** Why the node cannot be asked at all. */
export const readObstacle = (): string | null => (lost.value ? t.lostObstacle : null);
