/**
 * A node that the others do not hear from, or that has left: what is said of it is what it said last, and work for it waits. Pure;
 * imported by the browser, so it must not import schemas at run time.
 */
import type { Node } from "./node.ts";
import type { Task } from "./task.ts";

/** Not ready alone is not enough: a node says that of itself while its libvirt is away. */
export const isLost = ({ status }: Pick<Node, "status">): boolean =>
	status.phase === "left" || (status.phase === "not-ready" && status.lost === true);

/**
 * Whether a task of a node that is lost can be ended without it. Should the node be at work all the same, it gives up when it hears of
 * that, and cleans up as after any cancel. Not so an adoption, which is undone with its task, nor what a move left there:
 * that has to go.
 */
export const endsWithoutNode = ({ kind }: Pick<Task, "kind">): boolean =>
	kind !== "vm.adopt" && kind !== "volume.discard";
