/** The mock's sessions, users, tokens and audit. */
import type { Role } from "../../../src/model/access.ts";
import { operationsOf } from "../../../src/model/permissions.ts";
import type { User } from "../../api/types.ts";
import { checkName, type HandlerTable, MockProblem, type MockSettings } from "./request.ts";
import type { MockState } from "./state.ts";

export function access(state: MockState, settings: MockSettings): HandlerTable {
	const roleOf = (user: User | null): Role => user?.role ?? "viewer";
	return {
		sessionCreate: ({ body, headers }) => {
			const user = [...state.tables.user.values()].find(({ name }) => name === body.username);
			if (!user || settings.passwords.get(user.name) !== body.password) {
				throw new MockProblem(401, "unauthenticated", "User name or password is wrong.");
			}
			const session = state.put("session", {
				id: state.newId(),
				userId: user.id,
				userName: user.name,
				createdAt: new Date().toISOString(),
				expiresAt: new Date(Date.now() + 12 * 3600_000).toISOString(),
				remoteAddress: "127.0.0.1",
				userAgent: headers.get("user-agent"),
			});
			return {
				status: 201,
				body: { session, user },
				headers: { "set-cookie": `lqx_session=${session.id}; HttpOnly; SameSite=Strict; Path=/` },
			};
		},
		sessionDeleteCurrent: ({ sessionId }) => {
			if (sessionId) state.remove("session", sessionId);
			return { status: 204 };
		},
		sessionDelete: ({ id }) => {
			state.remove("session", id);
			return { status: 204 };
		},
		meGet: ({ user }) => ({
			body: {
				requester: { kind: "user", id: user?.id ?? null, name: user?.name ?? "" },
				role: roleOf(user),
				user,
				permissions: operationsOf(roleOf(user)),
			},
		}),
		mePasswordChange: ({ body, user }) => {
			if (!user || settings.passwords.get(user.name) !== body.currentPassword) {
				throw new MockProblem(422, "invalid", "The password was not changed.", [
					{ path: "/currentPassword", message: "This is not the current password." },
				]);
			}
			settings.passwords.set(user.name, String(body.newPassword));
			state.change("user", user.id, { mustChangePassword: false });
			return { status: 204 };
		},
		tokenCreate: ({ body, user }) => {
			const token = state.put("token", {
				...state.metadata(),
				name: String(body.name),
				userId: user?.id ?? "",
				role: body.role as Role,
				expiresAt: (body.expiresAt as string | null | undefined) ?? null,
			});
			return { status: 201, body: { token, secret: `lqx_${"k".repeat(40)}` } };
		},
		tokenDelete: ({ id }) => {
			state.remove("token", id);
			return { status: 204 };
		},
		userCreate: ({ body }) => {
			checkName(state, "user", body.name);
			settings.passwords.set(String(body.name), String(body.password));
			const user = state.put("user", {
				...state.metadata(),
				name: String(body.name),
				displayName: String(body.displayName ?? ""),
				role: body.role as Role,
				enabled: true,
				mustChangePassword: true,
			});
			return { status: 201, body: user };
		},
		userDelete: ({ id, user }) => {
			if (user?.id === id) throw new MockProblem(409, "wrong-state", "You cannot delete yourself.");
			state.remove("user", id);
			return { status: 204 };
		},
		userPasswordReset: ({ id, body }) => {
			const user = state.tables.user.get(id);
			if (user) settings.passwords.set(user.name, String(body.newPassword));
			state.change("user", id, { mustChangePassword: true });
			return { status: 204 };
		},
		auditList: ({ query }) => {
			const operations = ["vmStart", "vmCreate", "imageCreate", "userUpdate", "vmDelete", "sessionCreate"];
			const vms = [...state.tables.vm.values()];
			const userNamed = (name: string) => {
				const user = [...state.tables.user.values()].find((one) => one.name === name);
				return { kind: "user", id: user?.id ?? null, name };
			};
			const items = Array.from({ length: 60 }, (_, number) => ({
				id: `${1000 - number}.0`,
				time: new Date(Date.now() - number * 7 * 60_000).toISOString(),
				requester: userNamed(number % 3 ? "admin" : "operator"),
				remoteAddress: "192.0.2.17",
				operation: operations[number % operations.length],
				outcome: number % 11 === 5 ? "denied" : number % 7 === 3 ? "rejected" : "accepted",
				targets: vms[number] ? [{ kind: "vm", id: vms[number]?.id, name: vms[number]?.name }] : [],
				errorCode: number % 11 === 5 ? "forbidden" : number % 7 === 3 ? "wrong-state" : null,
				...(number === 2 && { operation: "nodeRemove", targets: [], confirmation: "node-9 is off" }),
			})).filter(
				({ outcome, requester, operation }) =>
					(query.getAll("outcome").length === 0 || query.getAll("outcome").includes(outcome)) &&
					(query.getAll("requesterName").length === 0 || query.getAll("requesterName").includes(requester.name)) &&
					(!query.get("operation") || query.get("operation") === operation),
			);
			const start = Number(query.get("pageToken") ?? 0);
			const end = start + Number(query.get("limit") ?? 100);
			return { body: { items: items.slice(start, end), nextPageToken: end < items.length ? String(end) : null } };
		},
	};
}
