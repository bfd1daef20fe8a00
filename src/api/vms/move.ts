/** Moving a VM that is off to another node. What may be moved where is decided where the command applies. */
import { vmObstacle } from "../../control/placement.ts";
import { AppError } from "../../lib/errors.ts";
import { VmMove } from "../../model/cluster.ts";
import type { Node } from "../../model/node.ts";
import type { Volume } from "../../model/storage.ts";
import { provisioningObstacle } from "../../model/storage-rules.ts";
import { Task } from "../../model/task.ts";
import type { Vm } from "../../model/vm.ts";
import { howItAnswers } from "../cluster/answers.ts";
import type { RequestContext } from "../context.ts";
import { idParams } from "../parameters.ts";
import { vmRef } from "../refs.ts";
import { accepted, find, newTask } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { type PlanState, placementState } from "./plan-state.ts";

export const vmMoveRoutes: Route[] = [
	route({
		operationId: "vmMove",
		method: "POST",
		path: "/v1/vms/{id}/actions/move",
		summary: "Move a VM that is off to another node",
		description:
			"Disks that lie on its node are copied to the other one; where a pool is shared only the record changes. For a VM of a node that is gone, confirmNodeOff is the name of that node, typed: it is off and stays off. 409 for a node that answers, or that was heard of a moment ago: one that is not ready may run its VMs.",
		tag: "vms",
		params: idParams,
		body: VmMove,
		responses: { 202: Task },
		idempotent: true,
		handler: ({ context, params, body }) =>
			accepted(context, async () => {
				const vm = find(context, "vm", params.id);
				const { nodeId, confirmNodeOff = null } = body;
				if (confirmNodeOff !== null) await checkSilent(context, vm);
				checkFits(context.services.store, vm, nodeId);
				const task = newTask(context, "vm.move", vmRef(vm), {
					...{ nodeId, cancelable: true },
					input: { fromNodeId: vm.nodeId, toNodeId: nodeId },
				});
				const known = context.services.cluster.everybodyHas("runs-once-1");
				const careful = known ? { onlyLost: true as const, keepDiscards: true as const } : {};
				return { kind: "vmMove", id: vm.id, nodeId, confirmNodeOff, task, ...careful };
			}),
	}),
];

/** A node without libvirt is not ready and runs its VMs all the same. Where the command applies nobody knows whom others hear. */
async function checkSilent(context: RequestContext, { name, nodeId }: Vm): Promise<void> {
	const node = context.services.store.get("node", nodeId);
	const answers = node === null ? null : await howItAnswers(context.services.cluster, nodeId);
	if (node === null || answers === null) return;
	const by = answers.by === null ? "" : ` ${answers.by}`;
	if (node.status.phase === "left")
		throw new AppError(
			"wrong-state",
			`${node.name} was removed, and is not off: it asks${by} to be let in, and ${name} may run there. Let it join again, or switch the host off first.`,
		);
	throw new AppError(
		"wrong-state",
		`${node.name} is not off: it answers${by}, and ${name} may run there. Switch the host off first.`,
	);
}

/** What only turns out at its end, or at the VM's next start, is said at once: no such network there, too little memory. */
function checkFits(state: PlanState, { name, nodeId: from, spec }: Vm, nodeId: string): void {
	const target = state.get("node", nodeId);
	if (!target || nodeId === from) return;
	const discs = spec.cdroms.flatMap(({ imageId }) => (imageId === null ? [] : (state.get("image", imageId) ?? [])));
	const disks = spec.disks.flatMap(({ volumeId }) => state.get("volume", volumeId) ?? []);
	const obstacle = vmObstacle(placementState(state), target, {
		memoryBytes: spec.memory.sizeBytes,
		vcpus: spec.cpu.vcpus,
		networks: spec.nics.flatMap(({ networkId }) => state.get("network", networkId) ?? []),
		pools: [...disks, ...discs].map(({ poolId }) => ({ id: poolId })),
		// They come along.
		volumes: [],
	});
	if (obstacle !== null)
		throw new AppError("wrong-state", `The VM ${name} cannot be moved: the node ${target.name} ${obstacle}.`);
	for (const volume of disks) checkStaysThick(state, name, volume, target);
}

/** A disk that is copied there has all of its space there, too. What the node has not said yet turns out when it does it. */
function checkStaysThick(state: PlanState, vmName: string, volume: Volume, target: Node): void {
	const pool = volume.nodeId === null ? null : state.get("pool", volume.poolId);
	const told = pool?.nodes.find(({ nodeId }) => nodeId === target.id)?.capabilities?.provisioning;
	if (!pool || told === undefined) return;
	const obstacle = provisioningObstacle(pool, volume.provisioning, { shares: false, nodeId: target.id });
	if (obstacle !== null)
		throw new AppError(
			"wrong-state",
			`The VM ${vmName} cannot be moved: its disk ${volume.name} is thick, and in the pool ${pool.name} on the node ${target.name} it cannot be. ${obstacle}`,
		);
}
