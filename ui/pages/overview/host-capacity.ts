/** What the hosts have for VMs: those that are heard of. What the others have is no use to anybody now. */
import type { Node } from "../../api/types.ts";

export type HostCapacity = { cpus: number; memoryBytes: number };

export function hostCapacity(nodes: readonly Pick<Node, "status" | "witness">[]): HostCapacity {
	const capacity = { cpus: 0, memoryBytes: 0 };
	for (const { status, witness } of nodes) {
		if (witness || status.phase === "left" || status.lost === true) continue;
		capacity.cpus += status.cpuCount;
		capacity.memoryBytes += status.memoryBytes;
	}
	return capacity;
}
