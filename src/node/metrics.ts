/**
 * Live figures of this node and its VMs: sampled every five seconds, never replicated. Rates are over the time between
 * two samples, so a VM has figures from its second sample on; a counter that went back (another QEMU) begins anew.
 * The node's own do not wait for libvirt, and what could not be sampled anew is soon nobody's: old figures are never
 * given as those of now.
 * Every ten seconds they also go into the history of the last hour (8.4 KiB for each VM); rates there are over those
 * ten seconds.
 */
import type { DomainStats } from "../hypervisor/driver.ts";
import { toRfc3339 } from "../lib/clock.ts";
import type { NodeMetrics, VmMetrics } from "../model/node.ts";
import { limited, type NodeContext } from "./context.ts";
import { FigureRings } from "./figure-rings.ts";
import type { CpuTimes } from "./host.ts";
import { bounds, intervals, limits } from "./limits.ts";

type Sample = { stats: DomainStats; atMs: number };

export class Metrics {
	readonly #context: NodeContext;
	#samples = new Map<string, Sample>();
	#vms = new Map<string, VmMetrics>();
	#node: NodeMetrics | null = null;
	#cpu: CpuTimes | null = null;
	#nodeAtMs = Number.NEGATIVE_INFINITY;
	#vmsAtMs = Number.NEGATIVE_INFINITY;
	#busy = false;
	#vmsBusy = false;
	readonly #vmHistory = new FigureRings(vmFields, bounds.metricsHistorySamples);
	readonly #nodeHistory = new FigureRings(nodeFields, bounds.metricsHistorySamples);
	/** As they were when the history was last written. */
	#recorded: { atMs: number; vmsAtMs: number; samples: ReadonlyMap<string, Sample>; cpu: CpuTimes | null } | null =
		null;

	constructor(context: NodeContext) {
		this.#context = context;
	}

	/** Null before the first sample, and when the last one is too old. */
	node(): NodeMetrics | null {
		return this.#isFresh(this.#nodeAtMs) ? this.#node : null;
	}

	/** The same for a VM; null as well for one that is off, or that libvirt could not ask. */
	vm(vmId: string): VmMetrics | null {
		return this.#isFresh(this.#vmsAtMs) ? (this.#vms.get(vmId) ?? null) : null;
	}

	#isFresh(atMs: number): boolean {
		return this.#context.clock.monotonicMs() - atMs <= limits.figuresAgeMs;
	}

	/** Of the last hour, behind `afterMs`, oldest first. */
	nodeHistory(afterMs: number): NodeMetrics[] {
		return this.#nodeHistory.read(this.#context.nodeId, afterMs).map(({ atMs, figures }) => ({
			sampledAt: toRfc3339(atMs),
			cpuUsedRatio: ratio(figures.cpuUsedRatio),
			memoryTotalBytes: whole(figures.memoryTotalBytes),
			memoryUsedBytes: whole(figures.memoryUsedBytes),
			load1: ratio(figures.load1),
			vmsRunning: whole(figures.vmsRunning),
		}));
	}

	/** The same for a VM; what it was before it stopped stays for that hour. */
	vmHistory(vmId: string, afterMs: number): VmMetrics[] {
		return this.#vmHistory.read(vmId, afterMs).map(({ atMs, figures }) => ({
			sampledAt: toRfc3339(atMs),
			cpuUsedRatio: ratio(figures.cpuUsedRatio),
			memoryUsedBytes: wholeIfKnown(figures.memoryUsedBytes),
			diskReadBytesPerSecond: wholeIfKnown(figures.diskReadBytesPerSecond),
			diskWriteBytesPerSecond: wholeIfKnown(figures.diskWriteBytesPerSecond),
			netReceivedBytesPerSecond: whole(figures.netReceivedBytesPerSecond),
			netSentBytesPerSecond: whole(figures.netSentBytesPerSecond),
		}));
	}

	/** One sample of everything; left out while the one before still goes on. Never fails. */
	async sample(): Promise<void> {
		if (this.#busy) return;
		this.#busy = true;
		// Each for itself: libvirt may take long, or fail.
		const vms = this.#sampleVms();
		await this.#sampleNode().catch((error) =>
			this.#context.logger.debug("no figures of the node this time", { error }),
		);
		await limited(this.#context, "Reading figures of VMs", limits.figuresWaitMs, () => vms).catch(() => {});
		this.#record();
		this.#busy = false;
	}

	/** A reading that goes on is not begun again. */
	async #sampleVms(): Promise<void> {
		if (this.#vmsBusy) return;
		this.#vmsBusy = true;
		try {
			this.#take(await this.#readStats());
		} catch (error) {
			this.#context.logger.debug("no figures of VMs this time", { error });
		} finally {
			this.#vmsBusy = false;
		}
	}

	async #readStats(): Promise<DomainStats[]> {
		const { store, nodeId, connection, hypervisor } = this.#context;
		const alive = store.count("vm", { nodeId, powerState: ["running", "paused", "starting", "stopping"] });
		if (alive === 0 || !connection.connected) return [];
		return limited(this.#context, "Reading figures", limits.readMs, () => hypervisor.stats());
	}

	#take(stats: readonly DomainStats[]): void {
		const atMs = this.#context.clock.monotonicMs();
		const sampledAt = toRfc3339(this.#context.clock.nowMs());
		const samples = new Map<string, Sample>();
		const vms = new Map<string, VmMetrics>();
		for (const one of stats) {
			const before = this.#samples.get(one.id);
			samples.set(one.id, { stats: one, atMs });
			const rates = before && vmMetrics(before.stats, one, atMs - before.atMs, sampledAt);
			if (rates) vms.set(one.id, rates);
		}
		this.#samples = samples;
		this.#vms = vms;
		this.#vmsAtMs = atMs;
	}

	async #sampleNode(): Promise<void> {
		const { host, store, nodeId, clock } = this.#context;
		const [cpu, memory, load1] = await Promise.all([host.cpuTimes(), host.memory(), host.load1()]);
		const before = this.#cpu;
		this.#cpu = cpu;
		this.#nodeAtMs = clock.monotonicMs();
		this.#node = {
			sampledAt: toRfc3339(clock.nowMs()),
			cpuUsedRatio: before ? cpuRatio(before, cpu) : 0,
			memoryTotalBytes: memory.totalBytes,
			memoryUsedBytes: memory.usedBytes,
			load1,
			vmsRunning: store.count("vm", { nodeId, powerState: "running" }),
		};
	}

	/** Writes the history when it is time; half a sampling interval early is in time too, timers are never exact. */
	#record(): void {
		const { clock, store, nodeId } = this.#context;
		const atMs = clock.monotonicMs();
		const before = this.#recorded;
		if (before && atMs - before.atMs < intervals.metricsHistoryMs - intervals.metricsMs / 2) return;
		this.#recorded = { atMs, vmsAtMs: this.#vmsAtMs, samples: this.#samples, cpu: this.#cpu };
		const node = this.node();
		if (!node) return;
		const cpuUsedRatio = before?.cpu && this.#cpu ? cpuRatio(before.cpu, this.#cpu) : node.cpuUsedRatio;
		this.#nodeHistory.record(Date.parse(node.sampledAt), new Map([[nodeId, { ...node, cpuUsedRatio }]]));
		const figures = new Map<string, VmMetrics>();
		// Figures that are in the history already are not those of this time.
		for (const [id, now] of this.#vmsAtMs === before?.vmsAtMs ? [] : this.#vms) {
			const from = before?.samples.get(id);
			const to = this.#samples.get(id);
			figures.set(id, (from && to && vmMetrics(from.stats, to.stats, to.atMs - from.atMs, now.sampledAt)) || now);
		}
		const [any] = figures.values();
		const sampledAt = any?.sampledAt ?? node.sampledAt;
		this.#vmHistory.record(Date.parse(sampledAt), figures, (id) => store.get("vm", id) !== null);
	}
}

const vmFields = [
	"cpuUsedRatio",
	"memoryUsedBytes",
	"diskReadBytesPerSecond",
	"diskWriteBytesPerSecond",
	"netReceivedBytesPerSecond",
	"netSentBytesPerSecond",
] as const satisfies readonly (keyof VmMetrics)[];
const nodeFields = [
	"cpuUsedRatio",
	"memoryTotalBytes",
	"memoryUsedBytes",
	"load1",
	"vmsRunning",
] as const satisfies readonly (keyof NodeMetrics)[];

/** 32-bit floats as people write them. */
const ratio = (value: number | null): number => Math.round((value ?? 0) * 10_000) / 10_000;
const whole = (value: number | null): number => Math.round(value ?? 0);
const wholeIfKnown = (value: number | null): number | null => (value === null ? null : Math.round(value));

export function cpuRatio(before: CpuTimes, now: CpuTimes): number {
	const total = now.total - before.total;
	return total <= 0 ? 0 : Math.min(1, Math.max(0, (now.busy - before.busy) / total));
}

/** Null when the two samples cannot be compared: no time passed, or the counters are those of another process. Pure. */
export function vmMetrics(
	before: DomainStats,
	now: DomainStats,
	elapsedMs: number,
	sampledAt: string,
): VmMetrics | null {
	if (elapsedMs <= 0 || now.cpuTimeNs < before.cpuTimeNs) return null;
	const seconds = elapsedMs / 1000;
	const rate = (from: number, to: number): number => Math.max(0, to - from) / seconds;
	const rateIfKnown = (from: number | null, to: number | null): number | null =>
		from === null || to === null ? null : rate(from, to);
	return {
		sampledAt,
		cpuUsedRatio: (now.cpuTimeNs - before.cpuTimeNs) / 1e6 / elapsedMs / Math.max(1, now.vcpus),
		memoryUsedBytes: now.memoryUsedBytes ?? now.memoryActualBytes,
		diskReadBytesPerSecond: rateIfKnown(before.diskReadBytes, now.diskReadBytes),
		diskWriteBytesPerSecond: rateIfKnown(before.diskWriteBytes, now.diskWriteBytes),
		netReceivedBytesPerSecond: rate(before.netReceivedBytes, now.netReceivedBytes),
		netSentBytesPerSecond: rate(before.netSentBytes, now.netSentBytes),
	};
}
