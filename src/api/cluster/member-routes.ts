/** Members of the cluster: how they are, who leads, joining, leaving, being removed. */
import { AppError, isAppError } from "../../lib/errors.ts";
import {
	ClusterJoin,
	ClusterStatus,
	JoinPreview,
	LeaderTransfer,
	NodeCertificateInfo,
	NodeRemove,
} from "../../model/cluster.ts";
import { Id, Strict } from "../../model/schema.ts";
import type { RequestContext } from "../context.ts";
import { idParams } from "../parameters.ts";
import { recorded } from "../recorded.ts";
import { refTo } from "../refs.ts";
import { nothing, ok } from "../reply.ts";
import { find } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { howItAnswers } from "./answers.ts";
import { checkPeerAddresses } from "./peer-addresses.ts";

const tag = "cluster" as const;

export const memberRoutes: Route[] = [
	route({
		operationId: "clusterStatusGet",
		method: "GET",
		path: "/v1/cluster/status",
		summary: "The members of the cluster and how they are",
		description:
			"As the node that answers sees it. Who is reachable and how far they are is known to the leader, who is asked; when it does not answer at once, the node says what it sees itself.",
		tag,
		responses: { 200: ClusterStatus },
		handler: async ({ context }) => ok(await context.services.cluster.freshStatus()),
	}),
	route({
		operationId: "clusterLeaderTransfer",
		method: "POST",
		path: "/v1/cluster/actions/transfer-leader",
		summary: "Transfer leadership to another member",
		description: "Answers when it does. Requests that come meanwhile wait; nothing is lost.",
		tag,
		direct: true,
		body: LeaderTransfer,
		bodyOptional: true,
		responses: { 200: Strict({ leaderNodeId: Id }) },
		async handler({ context, body }) {
			const to = body?.nodeId ?? null;
			const node = to === null ? null : find(context, "node", to);
			if (node?.witness)
				throw new AppError("wrong-state", `${node.name} is a witness: it only votes, and hands leadership on at once.`);
			const targets = node === null ? [] : [refTo("node", node)];
			const work = () => context.services.cluster.transferLeadership(to);
			return ok({ leaderNodeId: await recorded(context, targets, work) });
		},
	}),
	route({
		operationId: "clusterJoin",
		method: "POST",
		path: "/v1/cluster/actions/join",
		summary: "Make this node a member of another cluster",
		description:
			"Over the local socket of the node that joins. What clashes is listed, and then nothing is done. When the answer says `joining`, the node begins anew as a member; its API is away for a moment, and users, passwords and API tokens are those of the cluster from then on.",
		tag,
		body: ClusterJoin,
		responses: { 200: JoinPreview },
		longLived: true,
		async handler({ context, body }) {
			checkPeerAddresses(body.ownAddresses ?? [], "/ownAddresses");
			return ok(await context.services.cluster.join(body));
		},
	}),
	route({
		operationId: "nodeLeave",
		method: "POST",
		path: "/v1/nodes/{id}/actions/leave",
		summary: "Take this node out of the cluster",
		description:
			"Answered by that node itself. Refused while VMs, volumes or images are on it. It is a cluster of its own afterwards, with nothing in it, and its API is away for a moment. A node that was admitted to a cluster and has not received its state asks nobody: it is what it was before, with its VMs.",
		tag,
		direct: true,
		params: idParams,
		responses: { 204: null },
		longLived: true,
		at: ({ services, params }) =>
			isNowhere(services, params.id) ? params.id : find({ services }, "node", params.id).id,
		// The others end their links to it once it has left, with its answer on the way.
		whenLost({ services, params }) {
			return isMember(services, params.id) ? null : nothing();
		},
		async handler({ context, params }) {
			const { cluster } = context.services;
			if (isNowhere(context.services, params.id)) {
				await cluster.leave(async () => {});
				return nothing();
			}
			const { id, name } = find(context, "node", params.id);
			if (id !== cluster.nodeId)
				throw new AppError("unavailable", `Only ${name} itself can do this: ask it.`, { retryAfterMs: 5000 });
			await cluster.leave(() => context.mutate(() => ({ kind: "nodeRemove", id, leaving: true, confirmName: null })));
			return nothing();
		},
	}),
	route({
		operationId: "nodeRemove",
		method: "POST",
		path: "/v1/nodes/{id}/actions/remove",
		summary: "Remove a node that is gone",
		description:
			"For one that does not come back. Its VMs are `unknown` afterwards. Should it come back, it is told so and changes nothing. 409 for a node that answers, unless it has not got to the end of joining: it leaves by itself, actions/leave. Of one that is removed already, or has left, 204 as well, also when the cluster keeps nothing but its id.",
		tag,
		params: idParams,
		body: NodeRemove,
		responses: { 204: null },
		async handler({ context, params, body }) {
			const { cluster } = context.services;
			// Whoever had no answer asks again, maybe when nothing but its id is left of it.
			const isForgotten = context.services.store.get("node", params.id) === null && cluster.wasMember(params.id);
			if (isForgotten && params.id !== cluster.nodeId) return nothing();
			const { id, name, status } = find(context, "node", params.id);
			if (id === cluster.nodeId)
				throw new AppError(
					"wrong-state",
					`${name} is the node that was asked, and works: it leaves by itself, with \`limiquantix cluster leave\`.`,
				);
			if (body.confirmName !== name) {
				const message = `Type the name of the node, ${name}, to confirm that it is off and stays off.`;
				throw new AppError("invalid", message, { fields: [{ path: "/confirmName", message }] });
			}
			if (status.phase === "left") return nothing();
			// One that does not get to the end of joining has nothing that runs, and cannot leave.
			const answers = status.phase === "joining" ? null : await howItAnswers(cluster, id);
			if (answers !== null)
				throw new AppError(
					"wrong-state",
					`${name} is not off: it answers${answers.by === null ? "" : ` ${answers.by}`}. Let it leave (\`limiquantix cluster leave\`, on it), or switch it off first.`,
				);
			try {
				await context.mutate(() => ({ kind: "nodeRemove", id, leaving: false, confirmName: body.confirmName }));
			} catch (error) {
				// Somebody else did it meanwhile: where the refusal comes from, this node has applied that as well.
				if (!isAppError(error, "wrong-state") && !isAppError(error, "not-found")) throw error;
				if (isMember(context.services, id)) throw error;
			}
			return nothing();
		},
	}),
	route({
		operationId: "nodeCertificateRenew",
		method: "POST",
		path: "/v1/nodes/{id}/actions/renew-certificate",
		summary: "Give a node a new key and certificate for the links between nodes",
		description:
			"Answered by that node itself, which also does so by itself once a year. New connections take over from old ones, and nothing pauses. The certificate before stays good until its date: a node whose key was stolen is removed, and joins again as another one. That does not help when its whole disk was stolen: the key of the cluster's authority was on it, and a restored backup is the way to another one.",
		tag,
		direct: true,
		params: idParams,
		responses: { 200: NodeCertificateInfo },
		at: ({ services, params }) => find({ services }, "node", params.id).id,
		async handler({ context, params }) {
			const { cluster } = context.services;
			const node = find(context, "node", params.id);
			if (node.id !== cluster.nodeId)
				throw new AppError("unavailable", `Only ${node.name} itself can do this: ask it.`, { retryAfterMs: 5000 });
			return ok(await recorded(context, [refTo("node", node)], () => cluster.renewCertificate()));
		},
	}),
];

const isMember = ({ store }: RequestContext["services"], id: string): boolean =>
	(store.get("node", id)?.status.phase ?? "left") !== "left";

/** This node, which has no record of itself: it was admitted to a cluster, and has not received its state. */
const isNowhere = ({ cluster, store }: RequestContext["services"], id: string): boolean =>
	id === cluster.nodeId && store.get("node", id) === null && cluster.status().arriving;
