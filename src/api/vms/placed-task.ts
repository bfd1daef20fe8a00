/** The task that makes a VM. Why it is on its node is said in the task's message, from its beginning to its end. */
import type { Task } from "../../model/task.ts";
import type { RequestContext } from "../context.ts";
import { vmRef } from "../refs.ts";
import { newTask } from "../resources.ts";
import type { PlannedVm } from "./plan-create.ts";

export function newVmTask(context: RequestContext, { vm, start, placement }: PlannedVm, cancelable: boolean): Task {
	const input = { start, ...(placement === null ? {} : { placement }) };
	const task = newTask(context, "vm.create", vmRef(vm), { nodeId: vm.nodeId, input, cancelable });
	return { ...task, message: placement };
}
