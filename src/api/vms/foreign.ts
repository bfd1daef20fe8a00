/** Domains that are no VMs of their node: made by others, or VMs that another node has by now. */

import { Type } from "@sinclair/typebox";
import { ForeignVmList } from "../../model/api.ts";
import { Strict } from "../../model/schema.ts";
import { Task } from "../../model/task.ts";
import type { ForeignVm } from "../../model/vm.ts";
import { ofAllNodes } from "../all-nodes.ts";
import { nodeQuery } from "../parameters.ts";
import { vmRef } from "../refs.ts";
import { ok } from "../reply.ts";
import { accepted, newTask, nodeOfQuery } from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "vms" as const;

const listRoute: Route = route({
	operationId: "foreignVmList",
	method: "GET",
	path: "/v1/foreign-vms",
	summary: "Domains that were made outside LimiQuantix, or whose VM another node has by now",
	description: "Of one node, or of all that answer: `unanswered` names the others.",
	tag,
	query: nodeQuery("Default: all nodes"),
	responses: { 200: ForeignVmList },
	at: nodeOfQuery,
	async handler({ context, query }) {
		const own = () => context.services.node.foreignVms();
		if (query.nodeId !== undefined || context.passedOn) return ok({ items: await own() });
		const isOf = (vm: ForeignVm, nodeId: string) => vm.nodeId === nodeId;
		return ok(await ofAllNodes(context, { route: listRoute, params: {}, answer: ForeignVmList, own, isOf }));
	},
});

export const foreignVmRoutes: Route[] = [
	listRoute,
	route({
		operationId: "foreignVmAdopt",
		method: "POST",
		path: "/v1/foreign-vms/{id}/actions/adopt",
		summary: "Make a foreign domain a VM of the cluster",
		tag,
		params: Strict({ id: Type.String({ pattern: "^[0-9A-Fa-f-]{36}$", description: "libvirt UUID" }) }),
		query: nodeQuery("Where the domain is; default: the node that is asked"),
		responses: { 202: Task },
		idempotent: true,
		at: nodeOfQuery,
		handler: ({ context, params }) =>
			accepted(context, async () => {
				const { vm, volumes } = await context.services.node.planAdoption(params.id.toLowerCase());
				const task = newTask(context, "vm.adopt", vmRef(vm), { nodeId: vm.nodeId });
				return { kind: "vmAdopt", vm, volumes, task };
			}),
	}),
];
