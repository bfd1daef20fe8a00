/** What a simulated node is given of its host's files and of other nodes; each call is a point at which it can be killed. */
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { HostFacts } from "../../node/host.ts";
import type { NodeDeps } from "../../node/node.ts";
import type { RemoteNodes } from "../../node/remote.ts";
import type { NodeSources } from "../../node/sources.ts";
import { vmFolders } from "../../node/vm-folder.ts";
import { type VmStateFiles, vmStateFiles } from "../../node/vm-state.ts";
import type { FakePool } from "../../storage/fake.ts";
import type { Life } from "./life.ts";

/** Where a simulated node has what lies on its real file system. */
export const worldVmState = (dataDir: string): VmStateFiles => vmStateFiles(dataDir, join(dataDir, "tpm"));

/** `file` waits for what the real file system is asked for. */
export function fileDeps(
	life: Life,
	dataDir: string,
	file: <T>(work: Promise<T>) => Promise<T>,
): Pick<NodeDeps, "seeds" | "folders" | "vmState"> {
	const vmState = worldVmState(dataDir);
	return {
		seeds: ({ path }) => life.around("seeds", () => file(Bun.write(path, "seed").then(() => {}))),
		folders: {
			make: (folder) => life.around("folders.make", () => file(vmFolders.make(folder))),
			remove: (folder) => life.around("folders.remove", () => file(vmFolders.remove(folder))),
			removeSeed: (folder) => life.around("folders.removeSeed", () => file(vmFolders.removeSeed(folder))),
			writeRecord: (path, text) => life.around("folders.writeRecord", () => file(vmFolders.writeRecord(path, text))),
			readRecord: (path) => file(vmFolders.readRecord(path)),
		},
		vmState: {
			read: (vmId) => life.around("vmState.read", () => file(vmState.read(vmId))),
			write: (vmId, files) => life.around("vmState.write", () => file(vmState.write(vmId, files))),
			remove: (vmId) => life.around("vmState.remove", () => file(vmState.remove(vmId))),
			keep: (vmId, id) => life.around("vmState.keep", () => file(vmState.keep(vmId, id))),
			restore: (vmId, id) => life.around("vmState.restore", () => file(vmState.restore(vmId, id))),
			forget: (vmId, id) => life.around("vmState.forget", () => file(vmState.forget(vmId, id))),
		},
	};
}

export function remoteDeps(
	life: Life,
	nodeId: string,
	sourcesOf: (nodeId: string) => NodeSources | undefined,
): RemoteNodes {
	const from = (id: string): NodeSources => {
		const sources = sourcesOf(id);
		if (!sources) throw new AppError("unavailable", "The other node is not reached.");
		return sources;
	};
	return life.wrap<RemoteNodes>("remote", {
		openImage: async (id, imageId) => from(id).image(nodeId, imageId),
		openVolume: async (id, volumeId, options) => from(id).volume(nodeId, volumeId, options),
		diskSizes: async (id, vmId) => from(id).diskSizes(nodeId, vmId),
		readVmState: async (id, vmId) => from(id).vmState(nodeId, vmId),
	});
}

export const simulatedHost = (clock: Clock, bootId: () => string): HostFacts => ({
	bootId: async () => bootId(),
	bootedAtMs: async () => Date.UTC(2030, 0, 1),
	cpuTimes: async () => ({ busy: clock.monotonicMs() / 20, total: clock.monotonicMs() / 10 }),
	memory: async () => ({ totalBytes: 1000 * MiB, usedBytes: 400 * MiB }),
	load1: async () => 0.5,
});

/** What QEMU does when it copies a disk to another file. */
export function copyContent(pools: readonly FakePool[], from: string, to: string): void {
	const volumes = pools.flatMap((pool) => [...pool.volumes.values()]);
	const source = volumes.find(({ path }) => path === from);
	const target = volumes.find(({ path }) => path === to);
	if (source && target) target.content = source.content.copy();
}
