/**
 * Live figures of nodes and VMs. They are not part of the cluster's state, so no events carry them: while somebody
 * looks (the page is visible), the newest are read every few seconds, behind the hour that the node keeps.
 */
import { useEffect } from "preact/hooks";
import { read } from "./call.ts";
import { type ApiError, toApiError } from "./errors.ts";
import { type Sampled, Sampler, type SamplerPage, type Source } from "./sampler.ts";
import type { NodeMetrics, VmMetrics } from "./types.ts";

const page: SamplerPage = {
	hidden: () => document.hidden,
	nowMs: () => performance.now(),
	schedule(run, ms) {
		const timer = setTimeout(run, ms);
		return { cancel: () => clearTimeout(timer) };
	},
};

const nodeSamplers = new Map<string, Sampler<NodeMetrics>>();
const vmSamplers = new Map<string, Sampler<VmMetrics>>();
/** More VMs than this are not remembered; the one looked at longest ago goes. */
const mostSamplers = 50;

function samplerOf<Sample extends Sampled>(
	samplers: Map<string, Sampler<Sample>>,
	id: string,
	source: Source<Sample>,
): Sampler<Sample> {
	const known = samplers.get(id);
	const sampler = known ?? new Sampler(source, page);
	// Last in the map is the one looked at last.
	if (known) samplers.delete(id);
	else if (samplers.size >= mostSamplers) samplers.delete(samplers.keys().next().value ?? "");
	samplers.set(id, sampler);
	return sampler;
}

const since = (time: string | undefined): { since?: string } => (time === undefined ? {} : { since: time });

export type Samples<Sample> = {
	/** Of the last hour, oldest first. */
	samples: readonly Sample[];
	/** What holds now; null: the node does not know. */
	current: Sample | null;
	/** The node has said what it knows. */
	loaded: boolean;
	/** Why the node cannot be asked now; null when it can. */
	failure: ApiError | null;
};

function samplesOf<Sample extends Sampled>({ samples, current, loaded, failure }: Sampler<Sample>): Samples<Sample> {
	const error = failure.value;
	return {
		...{ samples: samples.value, current: current.value, loaded: loaded.value },
		failure: error === null ? null : toApiError(error),
	};
}

export function useNodeSamples(id: string): Samples<NodeMetrics> {
	const sampler = samplerOf(nodeSamplers, id, {
		history: async (time) => (await read("nodeMetricsHistoryGet", { id, query: since(time) })).items,
		newest: () => read("nodeMetricsGet", { id }),
	});
	useEffect(() => sampler.watch(), [sampler]);
	return samplesOf(sampler);
}

/** The same of a VM. Not `running`: what was measured before, read once. */
export function useVmSamples(id: string, running: boolean): Samples<VmMetrics> {
	const sampler = samplerOf(vmSamplers, id, {
		history: async (time) => (await read("vmMetricsHistoryGet", { id, query: since(time) })).items,
		newest: () => read("vmMetricsGet", { id }),
	});
	useEffect(() => {
		if (running) return sampler.watch();
		void sampler.look();
		return undefined;
	}, [sampler, running]);
	return samplesOf(sampler);
}
