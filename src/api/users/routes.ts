/** Users and their roles. The last administrator stays: neither deleted, nor disabled, nor given another role. */

import { User, UserCreate, UserPage, UserUpdate } from "../../model/access.ts";
import { PasswordReset } from "../../model/api.ts";
import { idParams, listQuery } from "../parameters.ts";
import { nothing } from "../reply.ts";
import { created, expected, find, findForWrite, listed, newMetadata, shown } from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "users" as const;

export const userRoutes: Route[] = [
	route({
		operationId: "userList",
		method: "GET",
		path: "/v1/users",
		summary: "List users",
		tag,
		query: listQuery(["name", "createdAt"] as const, {}),
		responses: { 200: UserPage },
		handler: ({ context, query }) => listed(context, "user", query),
	}),
	route({
		operationId: "userCreate",
		method: "POST",
		path: "/v1/users",
		summary: "Create a user",
		tag,
		body: UserCreate,
		responses: { 201: User },
		idempotent: true,
		handler: ({ context, body }) =>
			created(context, "user", async () => {
				const { name, role, password } = body;
				const user: User = {
					...newMetadata(context),
					name,
					displayName: body.displayName ?? "",
					role,
					enabled: true,
					mustChangePassword: false,
				};
				return { kind: "userCreate", user, passwordHash: await context.services.auth.hashPassword(password) };
			}),
	}),
	route({
		operationId: "userGet",
		method: "GET",
		path: "/v1/users/{id}",
		summary: "Get a user",
		tag,
		params: idParams,
		responses: { 200: User },
		handler: ({ context, params }) => shown(find(context, "user", params.id)),
	}),
	route({
		operationId: "userUpdate",
		method: "PATCH",
		path: "/v1/users/{id}",
		summary: "Change a user",
		description: "Another role, or being disabled, ends all sessions of the user.",
		tag,
		params: idParams,
		body: UserUpdate,
		responses: { 200: User },
		ifMatch: true,
		async handler({ context, params, body }) {
			await context.mutate(() => ({ kind: "userUpdate", id: params.id, ...body, ...expected(context) }));
			return shown(find(context, "user", params.id));
		},
	}),
	route({
		operationId: "userDelete",
		method: "DELETE",
		path: "/v1/users/{id}",
		summary: "Delete a user",
		description: "Sessions and tokens of the user go too.",
		tag,
		params: idParams,
		responses: { 204: null },
		ifMatch: true,
		async handler({ context, params }) {
			await context.mutate(() => {
				const user = findForWrite(context, "user", params.id);
				return { kind: "userDelete", id: user.id };
			});
			return nothing();
		},
	}),
	route({
		operationId: "userPasswordReset",
		method: "POST",
		path: "/v1/users/{id}/actions/reset-password",
		summary: "Give a user a new password",
		description:
			"Ends all sessions of the user, and the API tokens unless endTokens is false. The user is asked for another password at the next sign-in.",
		tag,
		params: idParams,
		body: PasswordReset,
		responses: { 204: null },
		async handler({ context, params, body }) {
			await context.mutate(async () => {
				const user = find(context, "user", params.id);
				const passwordHash = await context.services.auth.hashPassword(body.newPassword);
				// Resetting one's own is a change of password by somebody who may do that anyway.
				const mustChangePassword = context.caller().user?.id !== user.id;
				const endTokens = body.endTokens ?? true;
				return { kind: "userPasswordSet", id: user.id, passwordHash, mustChangePassword, endTokens };
			});
			return nothing();
		},
	}),
];
