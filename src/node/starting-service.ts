/**
 * This node's service from the first moment of the daemon: until `started` is called (the accelerator is being probed,
 * which can take seconds where KVM is broken) figures are unknown, and everything else waits for the node, for a while.
 */
import { existsSync } from "node:fs";
import type { Clock } from "../lib/clock.ts";
import type { NodeService } from "./service.ts";
import { withLimit } from "./wait.ts";

export type StartingService = NodeService & {
	started(service: NodeService): void;
	/** Whoever waits is told `error`. */
	failed(error: unknown): void;
};

/** A node that has just joined may take longer: whoever asks tries again. */
const startLimitMs = 30_000;

export function startingService(nodeId: string, demoImage: string | null, clock: Clock): StartingService {
	const ready = Promise.withResolvers<NodeService>();
	// Nobody may be waiting when the start fails.
	ready.promise.catch(() => {});
	let service: NodeService | null = null;
	let hasFailed = false;
	const whenStarted = () =>
		withLimit(clock, { what: "The start of the node", limitMs: startLimitMs }, () => ready.promise);
	return {
		nodeId,
		started(running) {
			service = running;
			ready.resolve(running);
		},
		failed(error) {
			hasFailed = true;
			ready.reject(error);
		},
		nodeMetrics: () => service?.nodeMetrics() ?? null,
		vmMetrics: (vmId) => service?.vmMetrics(vmId) ?? null,
		nodeMetricsHistory: (afterMs) => service?.nodeMetricsHistory(afterMs) ?? [],
		vmMetricsHistory: (vmId, afterMs) => service?.vmMetricsHistory(vmId, afterMs) ?? [],
		demoImagePath() {
			if (service) return service.demoImagePath();
			return demoImage !== null && existsSync(demoImage) ? demoImage : null;
		},
		hypervisorState: () => service?.hypervisorState() ?? (hasFailed ? "disconnected" : "connecting"),
		screenshot: async (vmId) => (await whenStarted()).screenshot(vmId),
		serialLog: async (vmId, maxBytes) => (await whenStarted()).serialLog(vmId, maxBytes),
		domainXml: async (vmId) => (await whenStarted()).domainXml(vmId),
		vncSocket: async (vmId) => (await whenStarted()).vncSocket(vmId),
		stopWithoutQuorum: async (vmId) => (await whenStarted()).stopWithoutQuorum(vmId),
		openSerial: async (vmId) => (await whenStarted()).openSerial(vmId),
		foreignVms: async () => (await whenStarted()).foreignVms(),
		planAdoption: async (domainId) => (await whenStarted()).planAdoption(domainId),
		networkLeases: async (networkId) => (await whenStarted()).networkLeases(networkId),
		writeImageContent: async (imageId, offset, body) => (await whenStarted()).writeImageContent(imageId, offset, body),
		imageUploadOffset: async (imageId) => (await whenStarted()).imageUploadOffset(imageId),
		openImage: async (imageId) => (await whenStarted()).openImage(imageId),
		discoverStorage: async (query) => (await whenStarted()).discoverStorage(query),
		probePool: async (pool) => (await whenStarted()).probePool(pool),
		poolContent: async (poolId, folder) => (await whenStarted()).poolContent(poolId, folder),
		poolOrphans: async (poolId) => (await whenStarted()).poolOrphans(poolId),
		orphanVolume: async (...asked) => (await whenStarted()).orphanVolume(...asked),
		exportVolume: async (volumeId, format, signal) => (await whenStarted()).exportVolume(volumeId, format, signal),
	};
}
