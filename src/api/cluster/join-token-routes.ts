/** Join tokens: what an administrator carries from a member to a new node. Its text is shown once. */
import { toRfc3339 } from "../../lib/clock.ts";
import {
	type JoinToken,
	JoinTokenCreate,
	JoinTokenCreated,
	JoinTokenPage,
	joinTokenDefaultMs,
} from "../../model/cluster.ts";
import { idParams, listQuery } from "../parameters.ts";
import { made, nothing } from "../reply.ts";
import { create, findForWrite, listed, newMetadata } from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "cluster" as const;

export const joinTokenRoutes: Route[] = [
	route({
		operationId: "joinTokenList",
		method: "GET",
		path: "/v1/cluster/tokens",
		summary: "List join tokens",
		description: "Those that are used up or over go away by themselves.",
		tag,
		query: listQuery(["createdAt"] as const, {}),
		responses: { 200: JoinTokenPage },
		handler: ({ context, query }) => listed(context, "joinToken", query),
	}),
	route({
		operationId: "joinTokenCreate",
		method: "POST",
		path: "/v1/cluster/tokens",
		summary: "Create a join token",
		description:
			"For `limiquantix cluster join` on a new node. `secret`, the token's text, is in this answer and nowhere else, so the request takes no Idempotency-Key. Whoever has it can make a machine a member, as often and as long as it is good.",
		tag,
		body: JoinTokenCreate,
		responses: { 201: JoinTokenCreated },
		async handler({ context, body }) {
			const { clock, cluster } = context.services;
			let text = "";
			const { object } = await create(context, "joinToken", () => {
				const metadata = newMetadata(context);
				const { secret, secretHash } = cluster.makeJoinToken(metadata.id);
				text = secret;
				const token: JoinToken = {
					...metadata,
					createdBy: context.caller().requester.name,
					expiresAt: toRfc3339(clock.nowMs() + (body.expiresInMs ?? joinTokenDefaultMs)),
					usesLeft: body.uses ?? 1,
					admitted: [],
				};
				return { kind: "joinTokenCreate", token, secretHash };
			});
			const command = `limiquantix cluster join --token ${text}`;
			return made({ token: object, secret: text, command }, { location: `/v1/cluster/tokens/${object.id}` });
		},
	}),
	route({
		operationId: "joinTokenDelete",
		method: "DELETE",
		path: "/v1/cluster/tokens/{id}",
		summary: "Delete a join token",
		description: "No node can join with it any more; those that have stay.",
		tag,
		params: idParams,
		responses: { 204: null },
		ifMatch: true,
		async handler({ context, params }) {
			await context.mutate(() => {
				const { id } = findForWrite(context, "joinToken", params.id);
				return { kind: "joinTokenDelete", id };
			});
			return nothing();
		},
	}),
];
