/**
 * While a node is not heard of, its VMs and tasks are answered as far as they are known, and so are pools and networks, by all routes and in events. Nothing of that is
 * in the state, so it is over as soon as the node is back; whoever keeps what was answered reads it anew when `status.lost` of a node changes.
 */
import { AppError } from "../lib/errors.ts";
import { isLost, networkAsKnown, poolAsKnown, taskAsKnown, vmAsKnown } from "../model/lost-node.ts";
import type { Network } from "../model/network.ts";
import type { Node } from "../model/node.ts";
import type { Pool } from "../model/storage.ts";
import type { Task } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import type { StoreReader } from "../store/store.ts";
import type { RequestContext } from "./context.ts";

type Nodes = Pick<StoreReader, "get">;

/** The nodes that are not heard of, most often none: then lists are answered as they are stored. */
export function lostNodes(store: Pick<StoreReader, "all">): Node[] {
	return store.all("node", { phase: ["not-ready", "left"] }).filter(isLost);
}

export function knownVm(store: Nodes, vm: Vm): Vm {
	const node = store.get("node", vm.nodeId);
	return node === null ? vm : vmAsKnown(vm, node);
}

export const knownPool = (store: Pick<StoreReader, "all">, pool: Pool): Pool => poolAsKnown(pool, lostNodes(store));

export const knownNetwork = (store: Pick<StoreReader, "all">, network: Network): Network =>
	networkAsKnown(network, lostNodes(store));

export function knownTask(store: Nodes, task: Task): Task {
	const node = store.get("node", task.nodeId);
	return node === null ? task : taskAsKnown(task, node);
}

/**
 * For what only the node can do: it would be done when the node is back, whenever that is, and nobody would expect it then. Whoever asks
 * the node itself hears from it, whatever the others do.
 */
export function checkHeard({ services: { store, node } }: Pick<RequestContext, "services">, nodeId: string): void {
	const known = store.get("node", nodeId);
	if (nodeId === node.nodeId || known?.status.phase !== "not-ready" || !isLost(known)) return;
	throw new AppError(
		"wrong-state",
		`The node ${known.name} is not heard of: nothing can be done there until it is back.`,
	);
}

/** Which of these nodes does what any of them can do: the first that is heard of. Null for none. */
export const firstHeard = (store: Nodes, nodeIds: readonly string[]): string | null => {
	const isHeard = (id: string) => {
		const node = store.get("node", id);
		return node !== null && !isLost(node);
	};
	return nodeIds.find(isHeard) ?? nodeIds[0] ?? null;
};
