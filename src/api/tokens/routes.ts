/** API tokens: for programs, with a role of at most their owner's. The secret is shown once. */

import { Type } from "@sinclair/typebox";
import type { Identity } from "../../auth/identity.ts";
import { toRfc3339 } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { type Token, TokenCreate, TokenCreated, TokenPage } from "../../model/access.ts";
import { roleAtLeast } from "../../model/permissions.ts";
import { Id } from "../../model/schema.ts";
import type { RequestContext } from "../context.ts";
import { anyOf, idParams, listQuery } from "../parameters.ts";
import { made, nothing } from "../reply.ts";
import { create, find, findForWrite, listed, newMetadata } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { checkMayEnd, ownOrAll } from "../sessions/routes.ts";
import { byAge } from "../vms/plan-state.ts";

const tag = "tokens" as const;

export const tokenRoutes: Route[] = [
	route({
		operationId: "tokenList",
		method: "GET",
		path: "/v1/tokens",
		summary: "List one's own API tokens",
		tag,
		query: listQuery(["name", "createdAt"] as const, {
			all: Type.Optional(Type.Boolean({ description: "Everybody's; administrators only" })),
			userId: anyOf(Id, "Tokens of these users, with all"),
		}),
		responses: { 200: TokenPage },
		handler({ context, query: { all, ...query } }) {
			const own = ownOrAll(context.caller(), all === undefined ? {} : { all });
			return listed(context, "token", query, own);
		},
	}),
	route({
		operationId: "tokenCreate",
		method: "POST",
		path: "/v1/tokens",
		summary: "Create an API token",
		description:
			"The secret is in this answer and nowhere else, so the request takes no Idempotency-Key. The role is at most one's own. A user has at most 100.",
		tag,
		body: TokenCreate,
		responses: { 201: TokenCreated },
		async handler({ context, body }) {
			const { secret, secretHash } = context.services.auth.newTokenSecret();
			const { object } = await create(context, "token", () => {
				const identity = context.caller();
				checkRequest(context, identity, body);
				const token: Token = {
					...newMetadata(context),
					name: body.name,
					userId: ownerOf(context, identity),
					role: body.role,
					expiresAt: expiry(body.expiresAt),
				};
				return { kind: "tokenCreate", token, secretHash };
			});
			return made({ token: object, secret }, { location: `/v1/tokens/${object.id}` });
		},
	}),
	route({
		operationId: "tokenDelete",
		method: "DELETE",
		path: "/v1/tokens/{id}",
		summary: "Delete an API token",
		description:
			"One's own; an administrator may delete any, an API token itself and those with no more rights. It stops working at once.",
		tag,
		params: idParams,
		responses: { 204: null },
		ifMatch: true,
		async handler({ context, params }) {
			await context.mutate(() => {
				const { id, userId, role } = find(context, "token", params.id);
				// Before the generation: an answer about it would say that there is such a token.
				checkMayEnd(context.caller(), { kind: "token", id, userId, role });
				findForWrite(context, "token", id);
				return { kind: "tokenDelete", id };
			});
			return nothing();
		},
	}),
];

const expiry = (given: string | null | undefined): string | null => (given ? toRfc3339(Date.parse(given)) : null);

function checkRequest(
	context: RequestContext,
	identity: Identity,
	body: { role: Token["role"]; expiresAt?: string | null },
): void {
	if (!roleAtLeast(identity.role, body.role))
		throw new AppError("forbidden", "A token cannot have more rights than the one who makes it.");
	const expiresAtMs = body.expiresAt ? Date.parse(body.expiresAt) : null;
	const refuse = (message: string) => {
		throw new AppError("invalid", `The token cannot be made: ${message}`, {
			fields: [{ path: "/expiresAt", message }],
		});
	};
	if (expiresAtMs !== null && expiresAtMs <= context.services.clock.nowMs()) refuse("This time is over.");
	// Else a token that leaks could be made to last for ever by whoever found it.
	const limit = identity.credential?.kind === "token" ? identity.expiresAtMs : null;
	if (limit !== null && (expiresAtMs === null || expiresAtMs > limit))
		refuse("A token made with a token cannot outlive it.");
}

/** The caller; for root on the local socket, who is no user, the oldest enabled administrator. */
function ownerOf(context: RequestContext, identity: Identity): string {
	if (identity.user) return identity.user.id;
	const admins = context.services.store.all("user").filter((user) => user.role === "admin" && user.enabled);
	const [oldest] = admins.sort(byAge);
	if (!oldest) throw new AppError("wrong-state", "There is no enabled administrator who could own the token.");
	return find(context, "user", oldest.id).id;
}
