/**
 * Live figures of this node and its VMs: sampled every five seconds, never replicated. Rates are over the time between
 * two samples, so a VM has figures from its second sample on; a counter that went back (another QEMU) begins anew.
 */
import type { DomainStats } from "../hypervisor/driver.ts";
import { toRfc3339 } from "../lib/clock.ts";
import type { NodeMetrics, VmMetrics } from "../model/node.ts";
import { limited, type NodeContext } from "./context.ts";
import type { CpuTimes } from "./host.ts";
import { limits } from "./limits.ts";

type Sample = { stats: DomainStats; atMs: number };

export class Metrics {
	readonly #context: NodeContext;
	#samples = new Map<string, Sample>();
	#vms = new Map<string, VmMetrics>();
	#node: NodeMetrics | null = null;
	#cpu: CpuTimes | null = null;
	#busy = false;

	constructor(context: NodeContext) {
		this.#context = context;
	}

	node(): NodeMetrics | null {
		return this.#node;
	}

	vm(vmId: string): VmMetrics | null {
		return this.#vms.get(vmId) ?? null;
	}

	/** One sample of everything; left out while the one before still goes on. Never fails. */
	async sample(): Promise<void> {
		if (this.#busy) return;
		this.#busy = true;
		try {
			await this.#sampleVms();
			await this.#sampleNode();
		} catch (error) {
			this.#context.logger.debug("no figures this time", { error });
		} finally {
			this.#busy = false;
		}
	}

	async #sampleVms(): Promise<void> {
		const { store, nodeId, connection, hypervisor, clock } = this.#context;
		const alive = store.count("vm", { nodeId, powerState: ["running", "paused", "starting", "stopping"] });
		const stats =
			alive === 0 || !connection.connected
				? []
				: await limited(this.#context, "Reading figures", limits.readMs, () => hypervisor.stats());
		const atMs = clock.monotonicMs();
		const sampledAt = toRfc3339(clock.nowMs());
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
	}

	async #sampleNode(): Promise<void> {
		const { host, store, nodeId, clock } = this.#context;
		const [cpu, memory, load1] = await Promise.all([host.cpuTimes(), host.memory(), host.load1()]);
		const before = this.#cpu;
		this.#cpu = cpu;
		this.#node = {
			sampledAt: toRfc3339(clock.nowMs()),
			cpuUsedRatio: before ? cpuRatio(before, cpu) : 0,
			memoryTotalBytes: memory.totalBytes,
			memoryUsedBytes: memory.usedBytes,
			load1,
			vmsRunning: store.count("vm", { nodeId, powerState: "running" }),
		};
	}
}

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
	return {
		sampledAt,
		cpuUsedRatio: (now.cpuTimeNs - before.cpuTimeNs) / 1e6 / elapsedMs / Math.max(1, now.vcpus),
		memoryUsedBytes: now.memoryUsedBytes ?? now.memoryActualBytes,
		diskReadBytesPerSecond: rate(before.diskReadBytes, now.diskReadBytes),
		diskWriteBytesPerSecond: rate(before.diskWriteBytes, now.diskWriteBytes),
		netReceivedBytesPerSecond: rate(before.netReceivedBytes, now.netReceivedBytes),
		netSentBytesPerSecond: rate(before.netSentBytes, now.netSentBytes),
	};
}
