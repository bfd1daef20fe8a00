/**
 * Live figures of nodes and VMs. They are not part of the cluster's state, so no events carry them: while somebody
 * looks (the page is visible), the figures are sampled every few seconds and the last minutes kept for the charts.
 */
import { type Signal, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { read } from "./call.ts";
import type { NodeMetrics, VmMetrics } from "./types.ts";

const everyMs = 5000;
const kept = 720;

class Sampler<Sample extends { sampledAt: string }> {
	readonly samples: Signal<readonly Sample[]> = signal([]);
	private watchers = 0;
	private timer: ReturnType<typeof setTimeout> | null = null;

	constructor(private readonly load: () => Promise<Sample | null>) {}

	watch(): () => void {
		this.watchers += 1;
		if (this.watchers === 1) void this.sample();
		return () => {
			this.watchers -= 1;
			if (this.watchers > 0 || this.timer === null) return;
			clearTimeout(this.timer);
			this.timer = null;
		};
	}

	private async sample(): Promise<void> {
		if (!document.hidden) {
			// Not there (stopped, just started, node away): the charts show the gap.
			const sample = await this.load().catch(() => null);
			if (sample && sample.sampledAt !== this.samples.peek().at(-1)?.sampledAt) {
				this.samples.value = [...this.samples.peek(), sample].slice(-kept);
			}
		}
		if (this.watchers > 0) this.timer = setTimeout(() => void this.sample(), everyMs);
	}
}

const nodeSamplers = new Map<string, Sampler<NodeMetrics>>();
const vmSamplers = new Map<string, Sampler<VmMetrics>>();
/** More VMs than this are not remembered; the one looked at longest ago goes. */
const mostSamplers = 50;

function samplerOf<Sample extends { sampledAt: string }>(
	samplers: Map<string, Sampler<Sample>>,
	id: string,
	load: () => Promise<Sample | null>,
): Sampler<Sample> {
	let sampler = samplers.get(id);
	if (!sampler) {
		sampler = new Sampler(load);
		if (samplers.size >= mostSamplers) samplers.delete(samplers.keys().next().value ?? "");
		samplers.set(id, sampler);
	}
	return sampler;
}

/** The samples since the page was first opened, oldest first. */
export function useNodeSamples(id: string): readonly NodeMetrics[] {
	const sampler = samplerOf(nodeSamplers, id, () => read("nodeMetricsGet", { id }));
	useEffect(() => sampler.watch(), [sampler]);
	return sampler.samples.value;
}

/** `running` false: no sampling, what was measured stays. */
export function useVmSamples(id: string, running: boolean): readonly VmMetrics[] {
	const sampler = samplerOf(vmSamplers, id, () => read("vmMetricsGet", { id }));
	useEffect(() => (running ? sampler.watch() : undefined), [sampler, running]);
	return sampler.samples.value;
}
