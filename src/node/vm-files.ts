/**
 * What is done to one VM's files on this node is done in the order in which it was asked for. Who asked may have given up waiting (a disk
 * of the host that hangs): what was begun goes on all the same, and must not make the folder again after the VM is gone.
 */
import { dirname } from "node:path";
import type { NodeDeps } from "./context.ts";
import { KeyedMutex } from "./gates.ts";
import { vmFolder } from "./vm-folder.ts";

type VmFiles = Pick<NodeDeps, "folders" | "seeds" | "vmState">;

export function vmFilesInOrder({ folders, seeds, vmState, dataDir }: VmFiles & Pick<NodeDeps, "dataDir">): VmFiles {
	const order = new KeyedMutex();
	const of = <T>(vmId: string, work: () => Promise<T>): Promise<T> => order.run(vmFolder(dataDir, vmId), work);
	return {
		folders: {
			...folders,
			make: (folder) => order.run(folder, () => folders.make(folder)),
			remove: (folder) => order.run(folder, () => folders.remove(folder)),
			removeSeed: (folder) => order.run(folder, () => folders.removeSeed(folder)),
		},
		seeds: (options) =>
			order.run(dirname(options.path), async () => {
				options.signal.throwIfAborted();
				await seeds(options);
			}),
		vmState: {
			read: (vmId) => of(vmId, () => vmState.read(vmId)),
			write: (vmId, files) => of(vmId, () => vmState.write(vmId, files)),
			remove: (vmId) => of(vmId, () => vmState.remove(vmId)),
			keep: (vmId, snapshotId) => of(vmId, () => vmState.keep(vmId, snapshotId)),
			restore: (vmId, snapshotId) => of(vmId, () => vmState.restore(vmId, snapshotId)),
			forget: (vmId, snapshotId) => of(vmId, () => vmState.forget(vmId, snapshotId)),
		},
	};
}
