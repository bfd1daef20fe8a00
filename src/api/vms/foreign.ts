/** Domains that are not ours: libvirt of some node has them, no state of ours does. */

import { Type } from "@sinclair/typebox";
import { AppError, toAppError } from "../../lib/errors.ts";
import { ForeignVmList } from "../../model/api.ts";
import type { Node } from "../../model/node.ts";
import { Strict } from "../../model/schema.ts";
import { Task } from "../../model/task.ts";
import type { RequestContext } from "../context.ts";
import { nodeQuery } from "../parameters.ts";
import { vmRef } from "../refs.ts";
import { askNode } from "../relay.ts";
import { ok } from "../reply.ts";
import { accepted, newTask, nodeOfQuery } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { fieldErrors } from "../validation.ts";

const tag = "vms" as const;

const listRoute: Route = route({
	operationId: "foreignVmList",
	method: "GET",
	path: "/v1/foreign-vms",
	summary: "Domains that were made outside LimiQuantix",
	description: "Of one node, or of all that answer: `unanswered` names the others.",
	tag,
	query: nodeQuery("Default: all nodes"),
	responses: { 200: ForeignVmList },
	at: nodeOfQuery,
	async handler({ context, query }) {
		if (query.nodeId === undefined && !context.passedOn) return ok(await ofAllNodes(context));
		return ok({ items: await context.services.node.foreignVms() });
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

const runsVms = ({ status, witness }: Node): boolean =>
	!witness && status.phase !== "left" && status.phase !== "joining";

/** One node that is away does not hide what the others have; when nobody answers, this node's own error is the answer. */
async function ofAllNodes(context: RequestContext): Promise<ForeignVmList> {
	const { node, store } = context.services;
	const nodes = store.all("node").filter(runsVms);
	const answers = await Promise.allSettled(
		nodes.map(({ id }) => (id === node.nodeId ? node.foreignVms() : ofOther(context, id))),
	);
	const items = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
	const unanswered = answers.flatMap((answer, at) => {
		const asked = nodes[at];
		if (answer.status === "fulfilled" || !asked) return [];
		return [{ nodeId: asked.id, nodeName: asked.name, message: toAppError(answer.reason).message }];
	});
	context.credentialEnded.throwIfAborted();
	const own = answers[nodes.findIndex(({ id }) => id === node.nodeId)];
	if (own?.status === "rejected" && unanswered.length === nodes.length) throw own.reason;
	return { items, ...(unanswered.length > 0 ? { unanswered } : {}) };
}

async function ofOther(context: RequestContext, nodeId: string): Promise<ForeignVmList["items"]> {
	const answer = await askNode(context, listRoute, nodeId, { nodeId });
	if (fieldErrors(ForeignVmList, answer).length > 0)
		throw new AppError("unavailable", "The node answered with something that is not understood here.");
	// It speaks for itself only.
	return (answer as ForeignVmList).items.filter((vm) => vm.nodeId === nodeId);
}
