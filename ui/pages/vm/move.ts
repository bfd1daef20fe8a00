/** What moving a VM means: whether its node still has a say, and what is copied. Pure. */
import { vmActionObstacle } from "../../../src/model/actions.ts";
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
	const ids = new Set(vm.spec.disks.map(({ volumeId }) => volumeId));
	const copied = volumes.filter(({ id, nodeId }) => ids.has(id) && nodeId !== null);
	const [disk] = copied;
	const copyBytes = copied.reduce((sum, { allocatedBytes, sizeBytes }) => sum + (allocatedBytes ?? sizeBytes), 0);
	const lost = gone && disk ? t.lost(disk.name, from?.name ?? "") : null;
	return { gone, copied, copyBytes, obstacle: gone ? lost : vmActionObstacle("move", vm) };
}

export const isGone = (node: Node | undefined): boolean =>
	node === undefined || node.status.phase === "left" || node.status.phase === "not-ready";
