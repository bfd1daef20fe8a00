/**
 * How the members of the cluster are, as the node that this page talks to sees it. Who leads and who is reached is no part
 * of the cluster's state, so no event says it: while somebody looks (the page is visible), it is read every few seconds, and for what
 * the frame says about it a few times a minute.
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { read } from "./call.ts";
import { type ApiError, toApiError } from "./errors.ts";
import { PacedWatch } from "./paced-watch.ts";
import type { ClusterStatus } from "./types.ts";

const everyMs = 3000;
const calmMs = 15_000;

const statusSignal = signal<ClusterStatus | null>(null);
/** As it was last heard; null before that. */
export const clusterStatus: ReadonlySignal<ClusterStatus | null> = statusSignal;
const errorSignal = signal<ApiError | null>(null);
/** Why the last attempt to read it failed; null when it did not. */
export const clusterStatusError: ReadonlySignal<ApiError | null> = errorSignal;

let reading: Promise<void> | null = null;
let again = false;

/** Asked for while an answer is under way, it is read once more: that one may be old. */
export function refreshClusterStatus(): Promise<void> {
	if (reading) {
		again = true;
		return reading;
	}
	reading = readStatus().finally(() => {
		reading = null;
	});
	return reading;
}

async function readStatus(): Promise<void> {
	do {
		again = false;
		try {
			statusSignal.value = await read("clusterStatusGet", { timeoutMs: 10_000 });
			errorSignal.value = null;
		} catch (error) {
			errorSignal.value = toApiError(error);
		}
	} while (again);
}

let started: PacedWatch | null = null;

function start(): PacedWatch {
	const watching = new PacedWatch({
		read: () => void refreshClusterStatus(),
		hidden: () => document.hidden,
		every(ms, run) {
			const timer = setInterval(run, ms);
			return { cancel: () => clearInterval(timer) };
		},
	});
	document.addEventListener("visibilitychange", () => {
		if (!document.hidden) watching.shown();
	});
	return watching;
}

/** Until the returned function is called; for the frame, which is always there. */
export function watchClusterStatus(paceMs = calmMs): () => void {
	started ??= start();
	return started.watch(paceMs);
}

/** Kept fresh while the component is there. */
export function useClusterStatus(): ClusterStatus | null {
	useEffect(() => watchClusterStatus(everyMs), []);
	return statusSignal.value;
}

/** Of another user, or another cluster: not to be shown. */
export function forgetClusterStatus(): void {
	statusSignal.value = null;
	errorSignal.value = null;
}
