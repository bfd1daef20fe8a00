/** Moving a VM that is off to another node. What may be moved where is decided where the command applies. */
import { VmMove } from "../../model/cluster.ts";
import { Task } from "../../model/task.ts";
import { idParams } from "../parameters.ts";
import { vmRef } from "../refs.ts";
import { accepted, find, newTask } from "../resources.ts";
import { type Route, route } from "../route.ts";

export const vmMoveRoutes: Route[] = [
	route({
		operationId: "vmMove",
		method: "POST",
		path: "/v1/vms/{id}/actions/move",
		summary: "Move a VM that is off to another node",
		description:
			"Disks that lie on its node are copied to the other one; where a pool is shared only the record changes. For a VM of a node that is gone, confirmNodeOff is the name of that node, typed: it is off and stays off.",
		tag: "vms",
		params: idParams,
		body: VmMove,
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params, body }) =>
			accepted(context, () => {
				const vm = find(context, "vm", params.id);
				const { nodeId, confirmNodeOff = null } = body;
				const task = newTask(context, "vm.move", vmRef(vm), {
					...{ nodeId, cancelable: true },
					input: { fromNodeId: vm.nodeId, toNodeId: nodeId },
				});
				return { kind: "vmMove", id: vm.id, nodeId, confirmNodeOff, task };
			}),
	}),
];
