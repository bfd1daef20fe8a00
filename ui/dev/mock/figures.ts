/** The mock's figures of nodes and VMs: waves, so that any moment has some. */
import { GiB } from "../../../src/lib/units.ts";
import type { VmMetrics } from "../../../src/model/node.ts";

export const historyIntervalMs = 10_000;
const samples = 360;

/** The last hour, behind the query's `since`. */
export function historyOf<Sample>(query: URLSearchParams, figuresAt: (atMs: number) => Sample): Sample[] {
	const now = Math.floor(Date.now() / historyIntervalMs) * historyIntervalMs;
	const since = Date.parse(query.get("since") ?? "") || 0;
	const times = Array.from({ length: samples }, (_, at) => now - (samples - 1 - at) * historyIntervalMs);
	return times.filter((atMs) => atMs > since).map(figuresAt);
}

export function vmFigures(atMs: number): VmMetrics {
	const wave = Math.sin(atMs / 70_000) * Math.cos(atMs / 411_000);
	return {
		sampledAt: new Date(atMs).toISOString(),
		cpuUsedRatio: Math.min(1, 0.6 + 0.6 * wave),
		memoryUsedBytes: Math.round((1.1 + 0.1 * wave) * GiB),
		diskReadBytesPerSecond: 2.2e6 * (1 + wave),
		diskWriteBytesPerSecond: 0.9e6 * (1.2 - wave),
		netReceivedBytesPerSecond: 310_000 * (1.3 + wave),
		netSentBytesPerSecond: 120_000 * (1.1 - wave),
	};
}

/** Without the count of running VMs. */
export const nodeFigures = (atMs: number) => ({
	sampledAt: new Date(atMs).toISOString(),
	cpuUsedRatio: 0.32 + 0.2 * Math.sin(atMs / 90_000),
	memoryTotalBytes: 128 * GiB,
	memoryUsedBytes: Math.round((61 + 3 * Math.sin(atMs / 200_000)) * GiB),
	load1: 6.4,
});
