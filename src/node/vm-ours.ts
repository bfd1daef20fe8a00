/** Whether a VM is this node's to work on: a node that was cut off may be the last to hear that it is not. */
import { AppError } from "../lib/errors.ts";
import { runsElsewhere } from "../model/actions.ts";
import type { Vm } from "../model/vm.ts";
import type { NodeContext } from "./context.ts";
import { type TaskRun, upToDate } from "./task-run.ts";
import type { VmStep } from "./vm-plan.ts";

/** `wrong-state` when the VM is another node's: the work was asked of a copy of the state that did not know it yet. */
export function requireOurs({ store, nodeId }: NodeContext, vm: Vm): void {
	if (vm.nodeId === nodeId) return;
	const node = store.get("node", vm.nodeId)?.name ?? "?";
	throw new AppError("wrong-state", `The VM is on the node ${node} by now. Try again.`);
}

/** By which the guest runs, or its disks change. */
const needsOurs: readonly VmStep["kind"][] = ["start", "resume", "take-snapshot", "revert-snapshot"];

/**
 * Before a step by which the guest runs, which may come long after the work began: a node that was cut off meanwhile was
 * perhaps declared off, and the VM runs on another one. `Later` while nobody can say.
 */
export async function mayRunHere(context: NodeContext, vmId: string, step: VmStep, { signal }: TaskRun): Promise<void> {
	if (!needsOurs.includes(step.kind)) return;
	await upToDate(context, "It is not known whether the VM is still this node's to start.");
	signal.throwIfAborted();
	const vm = context.store.get("vm", vmId);
	if (!vm) throw new AppError("canceled", "The VM does not exist any more.");
	requireOurs(context, vm);
	const elsewhere = step.kind === "start" ? runsElsewhere(vm) : null;
	if (elsewhere !== null) throw new AppError("wrong-state", elsewhere);
}
