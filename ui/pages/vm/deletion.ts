/**
 * What deleting VMs loses. Of those whose node was removed only the records go, at once and for good: nobody is there to delete more, and
 * what is on that host comes back with it. What is on no host in particular is kept then, without a VM.
 */
import type { Vm, Volume } from "../../api/types.ts";

type Gone = { vms: Vm[]; volumes: Volume[] };
export type Deletion = { lost: Gone; forgotten: Gone; kept: Volume[] };

/** `volumes`: those that are to go, too. `removed`: ids of nodes. Pure. */
export function deletionOf(vms: readonly Vm[], volumes: readonly Volume[], removed: ReadonlySet<string>): Deletion {
	const isOfRemoved = ({ nodeId }: Vm) => removed.has(nodeId);
	const ofRemoved = new Set(vms.filter(isOfRemoved).map(({ id }) => id));
	const staysThere = ({ vmId }: Volume) => vmId !== null && ofRemoved.has(vmId);
	return {
		lost: {
			vms: vms.filter((vm) => !isOfRemoved(vm)),
			volumes: volumes.filter((volume) => !staysThere(volume)),
		},
		forgotten: {
			vms: vms.filter(isOfRemoved),
			volumes: volumes.filter((volume) => staysThere(volume) && volume.nodeId !== null),
		},
		kept: volumes.filter((volume) => staysThere(volume) && volume.nodeId === null),
	};
}

export const namesOf = (objects: readonly { name: string }[]): string => objects.map(({ name }) => name).join(", ");
