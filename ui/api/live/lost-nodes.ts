/**
 * What the API answers of VMs, tasks, pools and networks depends on whether their node is heard of, and no event of theirs says when that changes: the
 * node's does. Then they are read anew.
 */
import type { Event } from "../types.ts";

type Listener = (event: Event) => boolean;

/**
 * True for an event after which what was read of a node's VMs, tasks and so on is not so any more. `wasLost`: what was read of a node that no
 * event was about yet; where nothing was read, it is taken for one that is heard of, as most are.
 */
export function watchLostNodes(wasLost: (nodeId: string) => boolean): Listener {
	const known = new Map<string, boolean>();
	return ({ target, object }) => {
		if (target.kind !== "node") return false;
		const before = known.get(target.id) ?? wasLost(target.id);
		const lost = isLost(object);
		if (object === null) known.delete(target.id);
		else known.set(target.id, lost);
		return before !== lost;
	};
}

function isLost(object: Event["object"]): boolean {
	if (typeof object !== "object" || object === null || !("status" in object)) return false;
	const { status } = object;
	return typeof status === "object" && status !== null && "lost" in status && status.lost === true;
}
