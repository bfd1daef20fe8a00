/**
 * A node that the others do not hear from, or that has left: what the state holds of it is what it said last, and work for it waits. What
 * people are shown says so. Pure.
 */
import type { Network } from "./network.ts";
import type { Node } from "./node.ts";
import { snapshotsToGo } from "./orphan-tasks.ts";
import type { Pool } from "./storage.ts";
import { poolPhase } from "./storage-rules.ts";
import { isFinished, type Task } from "./task.ts";
import type { PowerState, Vm } from "./vm.ts";

/** Not ready alone is not enough: a node says that of itself while its libvirt is away. */
export const isLost = ({ status }: Pick<Node, "status">): boolean =>
	status.phase === "left" || (status.phase === "not-ready" && status.lost === true);

/**
 * Whether a task of a node that is lost can be ended without it. Should the node be at work all the same, it gives up when it hears of
 * that, and cleans up as after any cancel. Not so an adoption, which is undone with its task, nor what a move left there:
 * that has to go; nor a volume that goes over to another pool just now, since only the node knows in which one it is; nor what
 * deletes or adopts content that no record names: others may see that pool, and would make a volume of it meanwhile.
 */
export function endsWithoutNode(task: Pick<Task, "kind" | "cancelable" | "input">): boolean {
	const { kind, cancelable } = task;
	if (kind === "vm.adopt" || kind === "volume.discard" || kind === "pool.deleteOrphans") return false;
	return kind === "volume.move" ? cancelable : snapshotsToGo(task).length === 0;
}

/** What its VMs may have changed to meanwhile. What is off stays off: nobody but the node could have started it. */
export const unknownWithNode: readonly PowerState[] = ["starting", "running", "paused", "stopping", "migrating"];

/** The VM as far as anybody knows. `node`: its own. */
export function vmAsKnown(vm: Vm, node: Node): Vm {
	const { powerState } = vm.status;
	if (!isLost(node) || !unknownWithNode.includes(powerState)) return vm;
	const reason = `Its node, ${node.name}, is not heard of. The VM was ${powerState} when it last reported.`;
	return { ...vm, status: { ...vm.status, powerState: "unknown", reason } };
}

/** The pool without figures of nodes that nobody hears. `lost`: those nodes. */
export function poolAsKnown(pool: Pool, lost: readonly Node[]): Pool {
	const unheard = (nodeId: string) => lost.find(({ id }) => id === nodeId);
	if (!pool.nodes.some(({ nodeId }) => unheard(nodeId))) return pool;
	const unknown = { health: "error", totalBytes: null, usedBytes: null, availableBytes: null } as const;
	const nodes = pool.nodes.map((report) => {
		const node = unheard(report.nodeId);
		return node ? { ...report, ...unknown, reason: `Its node, ${node.name}, is not heard of.` } : report;
	});
	return { ...pool, nodes, phase: poolPhase({ ...pool, nodes }) };
}

/** The network where anybody knows how it is: whether it works on a node that nobody hears is not known. */
export function networkAsKnown(network: Network, lost: readonly Node[]): Network {
	const nodes = network.nodes.filter(({ nodeId }) => !lost.some(({ id }) => id === nodeId));
	return nodes.length === network.nodes.length ? network : { ...network, nodes };
}

/** The task with what it waits for. `node`: its own. */
export function taskAsKnown(task: Task, node: Node): Task {
	if (!isLost(node) || isFinished(task.state)) return task;
	const message = `Waits for its node, ${node.name}, which is not heard of.`;
	return { ...task, message, cancelable: task.cancelable || endsWithoutNode(task) };
}
