/** Signing in and out, and what one may know and change about oneself. */

import { Type } from "@sinclair/typebox";
import type { Identity } from "../../auth/identity.ts";
import { sessionCookie, sessionLifetimeMs } from "../../auth/service.ts";
import { AppError } from "../../lib/errors.ts";
import { Me, PasswordChange, SessionCreate, SessionCreated, SessionPage } from "../../model/access.ts";
import { type Endable, endingObstacle, tooMuchToEnd } from "../../model/credential-rules.ts";
import { operationsOf } from "../../model/permissions.ts";
import { Id } from "../../model/schema.ts";
import type { RequestContext } from "../context.ts";
import { HiddenDenial } from "../hidden-denial.ts";
import { notArrived } from "../no-leader.ts";
import { anyOf, idParams, listQuery } from "../parameters.ts";
import { made, nothing, ok } from "../reply.ts";
import { find, listed } from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "sessions" as const;

/** Secure only over TLS: plain HTTP is served on loopback alone, and browsers would drop the cookie there. */
const cookie = (value: string, maxAgeSeconds: number, secure: boolean): string =>
	`${sessionCookie}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict${secure ? "; Secure" : ""}`;

/** Filter for one's own objects; with `all`, an administrator sees everybody's. */
export function ownOrAll(identity: Identity, query: { all?: boolean }): { userId?: string } {
	if (query.all === true) {
		if (identity.role !== "admin") throw new AppError("forbidden", "Only an administrator sees those of others.");
		return {};
	}
	// Root on the local socket is no user and has none of its own: it sees all.
	return identity.user === null ? {} : { userId: identity.user.id };
}

/** May the caller end this session or token? See model/credential-rules.ts; apply asks again. */
export function checkMayEnd(identity: Identity, target: Endable): void {
	const { role, user, credential } = identity;
	const obstacle = endingObstacle({ role, userId: user?.id ?? null, credential }, target);
	const { kind, id } = target;
	// The words of `find`: what is not one's own is as if it was not there.
	if (obstacle === "hidden") throw new HiddenDenial(`There is no ${kind} with the id ${id}.`, { kind, id, name: null });
	if (obstacle === "forbidden") throw new AppError("forbidden", tooMuchToEnd(kind));
}

/** One's own ends on this node also while the cluster takes no writes: nobody is kept signed in. */
async function endSession(context: RequestContext, id: string) {
	const { auth } = context.services;
	const identity = context.caller();
	const isOwn = identity.session?.id === id;
	const endHere = () => isOwn && auth.endHere(identity, context.remoteAddress);
	if (!auth.isLocalSession(id) || !endHere())
		await context
			.mutate(() => ({ kind: "sessionDelete", id }))
			.catch((error) => {
				if (!auth.isForLackOfQuorum(error) || !endHere()) throw error;
			});
	const clears = isOwn && identity.via === "cookie";
	return nothing(clears ? { setCookie: cookie("", 0, context.secure) } : {});
}

export const sessionRoutes: Route[] = [
	route({
		operationId: "sessionCreate",
		method: "POST",
		path: "/v1/sessions",
		summary: "Sign in",
		description:
			"Answers with a token for the Authorization header or, with cookie: true, with a cookie and no token. Lasts twelve hours.",
		tag,
		body: SessionCreate,
		responses: { 201: SessionCreated },
		async handler({ context, body }) {
			const userAgent = context.request.headers.get("user-agent");
			const { remoteAddress } = context;
			const { auth } = context.services;
			const unknown = notArrived(context.services);
			if (unknown !== null) throw unknown;
			const { session, user, secret } = await auth.signIn(body.username, body.password, { remoteAddress, userAgent });
			const location = `/v1/sessions/${session.id}`;
			if (!body.cookie) return made({ session, user, token: secret }, { location });
			const setCookie = cookie(secret, sessionLifetimeMs / 1000, context.secure);
			return made({ session, user }, { location, setCookie });
		},
	}),
	route({
		operationId: "sessionList",
		method: "GET",
		path: "/v1/sessions",
		summary: "List one's own sessions",
		tag,
		query: listQuery(["createdAt"] as const, {
			all: Type.Optional(Type.Boolean({ description: "Everybody's; administrators only" })),
			userId: anyOf(Id, "Sessions of these users, with all"),
		}),
		responses: { 200: SessionPage },
		handler({ context, query: { all, ...query } }) {
			const own = ownOrAll(context.caller(), all === undefined ? {} : { all });
			return listed(context, "session", query, own);
		},
	}),
	route({
		operationId: "sessionDeleteCurrent",
		method: "DELETE",
		path: "/v1/sessions/current",
		summary: "Sign out",
		description:
			"Without a quorum the session ends on this node at once, and on the others when the cluster takes writes again; if the node's service ends before that, it is good until it expires.",
		tag,
		responses: { 204: null },
		handler({ context }) {
			const { session } = context.caller();
			if (!session) throw new AppError("not-found", "This request does not come from a session.");
			return endSession(context, session.id);
		},
	}),
	route({
		operationId: "sessionDelete",
		method: "DELETE",
		path: "/v1/sessions/{id}",
		summary: "End a session",
		description: "One's own; an administrator may end any, an API token only those whose user has no more rights.",
		tag,
		params: idParams,
		responses: { 204: null },
		handler({ context, params }) {
			const session = find(context, "session", params.id);
			const { id, userId } = session;
			checkMayEnd(context.caller(), { kind: "session", id, userId, role: find(context, "user", userId).role });
			return endSession(context, session.id);
		},
	}),
	route({
		operationId: "meGet",
		method: "GET",
		path: "/v1/me",
		summary: "Who one is, and what one may do",
		tag,
		responses: { 200: Me },
		handler({ context }) {
			const { requester, role, user } = context.caller();
			return ok({ requester, role, user, permissions: operationsOf(role) });
		},
	}),
	route({
		operationId: "mePasswordChange",
		method: "POST",
		path: "/v1/me/password",
		summary: "Change one's own password",
		description: "Ends all other sessions of the user. Needs the current password.",
		tag,
		body: PasswordChange,
		responses: { 204: null },
		async handler({ context, body }) {
			const { user, session } = context.caller();
			if (!user || !session)
				throw new AppError("forbidden", "Only somebody signed in with a password has one to change.");
			const verifiedHash = await checkChange(context, user.id, body.currentPassword, body.newPassword);
			const passwordHash = await context.services.auth.hashPassword(body.newPassword);
			await context.mutate(() => ({
				kind: "userPasswordSet",
				id: user.id,
				passwordHash,
				mustChangePassword: false,
				keepSessionId: session.id,
				verifiedHash,
			}));
			return nothing();
		},
	}),
];

/** What the command carries of the check: see AuthService.checkPassword. */
async function checkChange(
	context: RequestContext,
	userId: string,
	now: string | undefined,
	next: string,
): Promise<string> {
	const user = find(context, "user", userId);
	const bad = (path: string, message: string) =>
		new AppError("invalid", `The password was not changed: ${message}`, { fields: [{ path, message }] });
	if (now === undefined) throw bad("/currentPassword", "The current password is needed.");
	const verifiedHash = await context.services.auth.checkPassword(user, now, context.remoteAddress);
	if (verifiedHash === null) throw bad("/currentPassword", "This is not the current password.");
	if (now === next) throw bad("/newPassword", "The new password is the old one.");
	if (next.toLowerCase().includes(user.name) && next.length < user.name.length + 8)
		throw bad("/newPassword", "The new password is little more than the user name.");
	return verifiedHash;
}
