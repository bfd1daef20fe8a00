/**
 * This node's service from the first moment of the daemon: until `started` is called (the accelerator is being probed,
 * which can take seconds where KVM is broken) figures are unknown, and everything else waits for the node.
 */
import { existsSync } from "node:fs";
import type { NodeService } from "./service.ts";

export type StartingService = NodeService & {
	started(service: NodeService): void;
	/** Whoever waits is told `error`. */
	failed(error: unknown): void;
};

export function startingService(nodeId: string, demoImage: string | null): StartingService {
	const ready = Promise.withResolvers<NodeService>();
	// Nobody may be waiting when the start fails.
	ready.promise.catch(() => {});
	let service: NodeService | null = null;
	return {
		nodeId,
		started(running) {
			service = running;
			ready.resolve(running);
		},
		failed: (error) => ready.reject(error),
		nodeMetrics: () => service?.nodeMetrics() ?? null,
		vmMetrics: (vmId) => service?.vmMetrics(vmId) ?? null,
		nodeMetricsHistory: (afterMs) => service?.nodeMetricsHistory(afterMs) ?? [],
		vmMetricsHistory: (vmId, afterMs) => service?.vmMetricsHistory(vmId, afterMs) ?? [],
		demoImagePath() {
			if (service) return service.demoImagePath();
			return demoImage !== null && existsSync(demoImage) ? demoImage : null;
		},
		hypervisorState: () => service?.hypervisorState() ?? "connecting",
		screenshot: async (vmId) => (await ready.promise).screenshot(vmId),
		serialLog: async (vmId, maxBytes) => (await ready.promise).serialLog(vmId, maxBytes),
		domainXml: async (vmId) => (await ready.promise).domainXml(vmId),
		vncSocket: async (vmId) => (await ready.promise).vncSocket(vmId),
		stopWithoutQuorum: async (vmId) => (await ready.promise).stopWithoutQuorum(vmId),
		openSerial: async (vmId) => (await ready.promise).openSerial(vmId),
		foreignVms: async () => (await ready.promise).foreignVms(),
		planAdoption: async (domainId) => (await ready.promise).planAdoption(domainId),
		networkLeases: async (networkId) => (await ready.promise).networkLeases(networkId),
		writeImageContent: async (imageId, offset, body) => (await ready.promise).writeImageContent(imageId, offset, body),
		imageUploadOffset: async (imageId) => (await ready.promise).imageUploadOffset(imageId),
		openImage: async (imageId) => (await ready.promise).openImage(imageId),
		exportVolume: async (volumeId, format, signal) => (await ready.promise).exportVolume(volumeId, format, signal),
	};
}
