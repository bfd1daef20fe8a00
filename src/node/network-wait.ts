/**
 * A VM that is to start on a node where one of its networks cannot be used yet: the bridge comes with the next step of whoever
 * sets the host up, the subnet that is in the way goes. What only waiting can show is waited for, with a limit.
 */
import { isAppError } from "../lib/errors.ts";
import type { TaskKind } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import type { NodeContext } from "./context.ts";

/** A change of a running VM does not wait: a stop could not overtake it. */
const waitsForNetwork: readonly TaskKind[] = ["vm.create", "vm.start"];

/** What the task says while it waits; null when waiting does not help against the error. */
export function networkAwaited(
	{ store, nodeId }: Pick<NodeContext, "store" | "nodeId">,
	vm: Vm,
	kind: TaskKind,
	error: unknown,
): string | null {
	if (!waitsForNetwork.includes(kind) || !isAppError(error, "network")) return null;
	const networks = vm.spec.nics.map(({ networkId }) => store.get("network", networkId));
	const missing = networks.find((network) =>
		network?.nodes.some((part) => part.nodeId === nodeId && part.health === "error"),
	);
	return `Waits for the network "${missing?.name ?? "?"}" on this node: ${error.message}`;
}
