/** Sessions, API tokens, and the audit's record of a denial. */
import { AppError } from "../../lib/errors.ts";
import { AuditRecord, Session, Token } from "../../model/access.ts";
import { roleAtLeast } from "../../model/permissions.ts";
import { validated } from "../../model/validate.ts";
import { maxSessionsOfUser } from "../limits.ts";
import { passwordFingerprint } from "../password-fingerprint.ts";
import { asCreated, canonicalTime } from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";

const secretHashPattern = /^[A-Za-z0-9+/=_:.$-]{16,256}$/;

export const sessionHandlers: Handlers<
	"sessionCreate" | "sessionDelete" | "tokenCreate" | "tokenDelete" | "auditAppend"
> = {
	sessionCreate(context, body) {
		const given = validated(Session, body.session, "The session");
		const user = context.get("user", given.userId);
		if (!user?.enabled || !isVerified(context, user.id, body.verifiedHash))
			throw new AppError("unauthenticated", "The user name or the password is wrong.");
		const older = context.state.sessionsOf(user.id);
		for (const session of older.slice(0, Math.max(0, older.length - maxSessionsOfUser + 1)))
			removeSession(context, session);
		context.insert("session", {
			...given,
			userName: user.name,
			createdAt: context.time,
			expiresAt: canonicalTime(given.expiresAt),
		});
		context.state.setSecretHash("session", given.id, checkedHash(context, "session", body.secretHash));
		return null;
	},

	sessionDelete(context, body) {
		const session = context.need("session", body.id);
		checkOwner(context, session.userId, "session");
		removeSession(context, session);
		return null;
	},

	tokenCreate(context, body) {
		const given = validated(Token, body.token, "The token");
		const user = context.needReferenced("user", given.userId, "/userId");
		checkOwner(context, user.id, "token");
		if (!roleAtLeast(user.role, given.role) || !roleAtLeast(context.actor.role, given.role))
			throw new AppError("forbidden", "A token cannot have more rights than its user, or than who makes it.");
		const expiresAt = given.expiresAt === null ? null : canonicalTime(given.expiresAt);
		context.insert("token", asCreated(context, { ...given, expiresAt }));
		context.state.setSecretHash("token", given.id, checkedHash(context, "token", body.secretHash));
		return null;
	},

	tokenDelete(context, body) {
		const token = context.need("token", body.id);
		checkOwner(context, token.userId, "token");
		removeToken(context, token);
		return null;
	},

	auditAppend(context, body) {
		const record = validated(AuditRecord, body.record, "The audit record");
		context.state.insertAudit({ ...record, id: context.command.id, time: context.time });
		return null;
	},
};

/** Is the hash that a password was verified against still the one that is stored? The system verifies none. */
export function isVerified(context: ApplyContext, userId: string, verifiedHash: string | undefined): boolean {
	if (verifiedHash === undefined) return context.command.requester.kind === "system";
	const stored = context.state.passwordHash(userId);
	return stored !== null && passwordFingerprint(stored) === verifiedHash;
}

/** Ends all sessions of a user but one. */
export function endSessions(context: ApplyContext, userId: string, keepSessionId: string | null): void {
	for (const session of context.state.sessionsOf(userId))
		if (session.id !== keepSessionId) removeSession(context, session);
}

export function endTokens(context: ApplyContext, userId: string): void {
	for (const token of context.state.tokensOf(userId)) removeToken(context, token);
}

export function removeSession(context: ApplyContext, session: Session): void {
	context.state.deleteSecretHash("session", session.id);
	context.remove("session", session);
}

function removeToken(context: ApplyContext, token: Token): void {
	context.state.deleteSecretHash("token", token.id);
	context.remove("token", token);
}

/** Others' sessions and tokens are an administrator's business. To anybody else they do not exist. */
function checkOwner(context: ApplyContext, userId: string, what: "session" | "token"): void {
	const { user, role } = context.actor;
	if (user === null || user.id === userId || role === "admin") return;
	throw new AppError("not-found", `There is no such ${what} of yours.`);
}

function checkedHash(context: ApplyContext, kind: "session" | "token", hash: string): string {
	if (!secretHashPattern.test(hash)) throw new AppError("invalid", "A secret is kept as a hash.");
	if (context.state.idBySecretHash(kind, hash) !== null)
		throw new AppError("already-exists", "This secret is in use already.");
	return hash;
}
