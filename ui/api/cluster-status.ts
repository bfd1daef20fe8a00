/**
 * How the members of the cluster are, as the node that this page talks to sees it. Who leads and who is reached is no part
 * of the cluster's state, so no event says it: while somebody looks (the page is visible), it is read every few seconds.
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { read } from "./call.ts";
import { type ApiError, toApiError } from "./errors.ts";
import type { ClusterStatus } from "./types.ts";

const everyMs = 3000;

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

let watchers = 0;
let timer: ReturnType<typeof setInterval> | null = null;

function watch(): () => void {
	watchers += 1;
	void refreshClusterStatus();
	timer ??= setInterval(() => {
		if (!document.hidden) void refreshClusterStatus();
	}, everyMs);
	return () => {
		watchers -= 1;
		if (watchers > 0 || timer === null) return;
		clearInterval(timer);
		timer = null;
	};
}

/** Kept fresh while the component is there. */
export function useClusterStatus(): ClusterStatus | null {
	useEffect(watch, []);
	return statusSignal.value;
}

/** Of another user, or another cluster: not to be shown. */
export function forgetClusterStatus(): void {
	statusSignal.value = null;
	errorSignal.value = null;
}
