/** What moving a VM means: whether its node still has a say, and what is copied. Pure. */
import { runsElsewhere, vmActionObstacle } from "../../../src/model/actions.ts";
import type { Node, Vm, Volume } from "../../api/types.ts";
import { move as t } from "../../strings/move.ts";

export type MovePlan = {
	/** Its node was removed, or is not heard of: the record alone moves, once somebody says that the node is off. */
	gone: boolean;
	/** Disks that lie on its node. */
	copied: readonly Volume[];
	/** They take this much at most. */
	copyBytes: number;
	/** Why it cannot be moved anywhere, as a sentence. */
	obstacle: string | null;
};

/** `from`: the node that has it; undefined when its record is gone. */
export function planMove(vm: Vm, from: Node | undefined, volumes: readonly Volume[]): MovePlan {
	const gone = isGone(from);
	const elsewhere = runsElsewhere(vm);
	const ids = new Set(vm.spec.disks.map(({ volumeId }) => volumeId));
	const copied = volumes.filter(({ id, nodeId }) => ids.has(id) && nodeId !== null);
	const [disk] = copied;
	const copyBytes = copied.reduce((sum, { allocatedBytes, sizeBytes }) => sum + (allocatedBytes ?? sizeBytes), 0);
	const lost = gone && disk ? t.lost(disk.name, from?.name ?? "") : null;
	const obstacle = elsewhere ?? (gone ? lost : (vmActionObstacle("move", vm) ?? waits(from)));
	return { gone, copied, copyBytes, obstacle };
}

/**
 * Removed, or not heard of. A node says of itself that it is not ready while libvirt is away, and its VMs run on. Members of
 * before that was told apart (`lost`) leave what the node said of libvirt as it was.
 */
export function isGone(node: Node | undefined): boolean {
	if (node === undefined || node.status.phase === "left") return true;
	const { phase, lost, hypervisor } = node.status;
	return phase === "not-ready" && (lost === true || hypervisor === "connected");
}

const waits = (node: Node | undefined): string | null =>
	node?.status.phase === "not-ready" ? t.waits(node.name, node.status.reason) : null;
