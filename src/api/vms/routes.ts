/** Virtual machines: create, read, change, delete. What is done with them: actions.ts; looking inside: inspect.ts. */

import { Type } from "@sinclair/typebox";
import { unknownWithNode } from "../../model/lost-node.ts";
import { Id, Strict } from "../../model/schema.ts";
import { Task } from "../../model/task.ts";
import { PowerState, Vm, VmCreate, VmPage, VmUpdate } from "../../model/vm.ts";
import { checkHeard, lostNodes } from "../as-known.ts";
import { freeingSources } from "../freeing-sources.ts";
import { anyOf, idParams, listQuery } from "../parameters.ts";
import { checkEverybodyLimits, checkEverybodyProvisions } from "../pools/plan-pool.ts";
import { vmRef } from "../refs.ts";
import { ok } from "../reply.ts";
import { accepted, create, created, expected, find, findForWrite, listed, listPage, newTask } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { vmActionRoutes } from "./actions.ts";
import { planDemo } from "./demo.ts";
import { foreignVmRoutes } from "./foreign.ts";
import { vmInspectRoutes } from "./inspect.ts";
import { vmMoveRoutes } from "./move.ts";
import { newVmTask } from "./placed-task.ts";
import { planVmCreate } from "./plan-create.ts";
import { planVmUpdate } from "./plan-update.ts";
import { showVm, vmFor } from "./redact.ts";

const tag = "vms" as const;

export const vmRoutes: Route[] = [
	route({
		operationId: "vmList",
		method: "GET",
		path: "/v1/vms",
		summary: "List VMs",
		description:
			"While a node is not heard of (its status.lost), its VMs that may run are unknown, with what they were in status.reason, here and wherever VMs are answered.",
		tag,
		query: listQuery(["name", "createdAt", "memoryBytes", "vcpus"] as const, {
			powerState: anyOf(PowerState),
			nodeId: anyOf(Id),
			tag: anyOf(Type.String({ maxLength: 63 }), "VMs with any of these tags"),
		}),
		responses: { 200: VmPage },
		handler({ context, query }) {
			const { role } = context.caller();
			const { store } = context.services;
			const anyLost = lostNodes(store).length > 0;
			if (role !== "viewer" && !anyLost) return listed(context, "vm", query);
			const wanted = query.powerState;
			// Those that are unknown only because of their node are stored as what they were.
			const more =
				anyLost && wanted?.includes("unknown") ? { powerState: [...new Set([...wanted, ...unknownWithNode])] } : {};
			const page = listPage(context, "vm", { ...query, ...more });
			const items = page.items.map((vm) => vmFor(store, role, vm));
			return ok({ ...page, items: items.filter(({ status }) => wanted?.includes(status.powerState) ?? true) });
		},
	}),
	route({
		operationId: "vmCreate",
		method: "POST",
		path: "/v1/vms",
		summary: "Create a VM",
		description:
			"Only the name is required. The VM is started once it is made, unless start is false. Without nodeId it goes to the node with the most memory left; the task says why.",
		tag,
		body: VmCreate,
		responses: { 201: Vm },
		idempotent: true,
		handler: ({ context, body }) =>
			created(context, "vm", () => {
				const { store, clock, random, ids } = context.services;
				checkEverybodyLimits(context, body.disks);
				checkEverybodyProvisions(context, body.disks);
				const plan = planVmCreate(body, store, { clock, random, ids });
				checkHeard(context, plan.vm.nodeId);
				const task = newVmTask(context, plan, true);
				return { kind: "vmCreate", vm: plan.vm, volumes: plan.volumes, task, ...freeingSources(context) };
			}),
	}),
	route({
		operationId: "vmCreateDemo",
		method: "POST",
		path: "/v1/vms/actions/create-demo",
		summary: "Create and start the demo VM",
		description: "Imports the demo image that comes with the node, unless it is there, and makes a small VM of it.",
		tag,
		responses: { 201: Vm },
		idempotent: true,
		longLived: true,
		handler: ({ context }) => created(context, "vm", () => planDemo(context)),
	}),
	route({
		operationId: "vmGet",
		method: "GET",
		path: "/v1/vms/{id}",
		summary: "Get a VM",
		tag,
		params: idParams,
		responses: { 200: Vm },
		handler: ({ context, params }) => showVm(context, find(context, "vm", params.id)),
	}),
	route({
		operationId: "vmUpdate",
		method: "PATCH",
		path: "/v1/vms/{id}",
		summary: "Change a VM",
		description:
			"Members that are left out stay; arrays are replaced whole. What cannot change while it runs waits for the next start (status.pendingRestart).",
		tag,
		params: idParams,
		body: VmUpdate,
		responses: { 200: Vm },
		ifMatch: true,
		async handler({ context, params, body }) {
			const { object, taskLocation } = await create(context, "vm", () => {
				const vm = findForWrite(context, "vm", params.id);
				checkEverybodyLimits(context, body.disks);
				const plan = planVmUpdate(vm, body, context.services.store);
				const task = newTask(context, "vm.update", vmRef(vm), { nodeId: vm.nodeId });
				// The spec was merged into this generation: a change in between must not be lost.
				const base = plan.spec ? { expectedGeneration: vm.generation } : expected(context);
				return { kind: "vmUpdate", id: vm.id, ...plan, ...base, task, ...freeingSources(context) };
			});
			const reply = showVm(context, object);
			return { ...reply, headers: { ...reply.headers, ...(taskLocation ? { taskLocation } : {}) } };
		},
	}),
	route({
		operationId: "vmDelete",
		method: "DELETE",
		path: "/v1/vms/{id}",
		summary: "Delete a VM",
		description:
			"Of a VM whose node was removed only the records go: what that host has of it stays there, and comes back when the node joins again.",
		tag,
		params: idParams,
		query: Strict({
			deleteVolumes: Type.Optional(
				Type.Boolean({ description: "Its volumes too; default true. False keeps them, detached." }),
			),
		}),
		responses: { 202: Task },
		ifMatch: true,
		handler: ({ context, params, query }) =>
			accepted(context, () => {
				const vm = findForWrite(context, "vm", params.id);
				const deleteVolumes = query.deleteVolumes ?? true;
				const task = newTask(context, "vm.delete", vmRef(vm), { nodeId: vm.nodeId, input: { deleteVolumes } });
				return { kind: "vmDelete", id: vm.id, deleteVolumes, task };
			}),
	}),
	...vmActionRoutes,
	...vmMoveRoutes,
	...vmInspectRoutes,
	...foreignVmRoutes,
];
