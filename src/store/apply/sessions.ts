/** Sessions, API tokens, and the audit's record of a denial. */
import { AppError } from "../../lib/errors.ts";
import { AuditRecord, Session, Token, type User } from "../../model/access.ts";
import { type Endable, endingObstacle, tooMuchToEnd } from "../../model/credential-rules.ts";
import { roleAtLeast } from "../../model/permissions.ts";
import { validated } from "../../model/validate.ts";
import { maxSessionsOfUser, maxTokensOfUser } from "../limits.ts";
import { passwordFingerprint } from "../password-fingerprint.ts";
import type { SecretKind } from "../sqlite/state-database.ts";
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
		context.state.setSecretHash("session", given.id, checkedSecretHash(context, "session", body.secretHash));
		return null;
	},

	sessionDelete(context, body) {
		const session = context.need("session", body.id);
		const { id, userId } = session;
		checkMayEnd(context, { kind: "session", id, userId, role: context.need("user", userId).role });
		removeSession(context, session);
		return null;
	},

	tokenCreate(context, body) {
		const given = validated(Token, body.token, "The token");
		const user = context.needReferenced("user", given.userId, "/userId");
		checkMakesForSelf(context, user.id);
		if (!roleAtLeast(user.role, given.role) || !roleAtLeast(context.actor.role, given.role))
			throw new AppError("forbidden", "A token cannot have more rights than its user, or than who makes it.");
		const expiresAt = given.expiresAt === null ? null : canonicalTime(given.expiresAt);
		checkOutlivesNobody(context, expiresAt);
		makeRoom(context, user);
		context.insert("token", asCreated(context, { ...given, expiresAt }));
		context.state.setSecretHash("token", given.id, checkedSecretHash(context, "token", body.secretHash));
		return null;
	},

	tokenDelete(context, body) {
		const token = context.need("token", body.id);
		const { id, userId, role } = token;
		checkMayEnd(context, { kind: "token", id, userId, role });
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

function checkMayEnd(context: ApplyContext, target: Endable): void {
	const { user, role } = context.actor;
	const { credential } = context.command;
	const obstacle = endingObstacle({ role, userId: user?.id ?? null, credential }, target);
	if (obstacle === "hidden") throw new AppError("not-found", `There is no such ${target.kind} of yours.`);
	if (obstacle === "forbidden") throw new AppError("forbidden", tooMuchToEnd(target.kind));
}

/** Tokens for others are an administrator's to make. */
function checkMakesForSelf(context: ApplyContext, userId: string): void {
	const { user, role } = context.actor;
	if (user === null || user.id === userId || role === "admin") return;
	throw new AppError("forbidden", "Only an administrator may make tokens for somebody else.");
}

/** Else a token that leaks could be made to last for ever by whoever found it. */
function checkOutlivesNobody(context: ApplyContext, expiresAt: string | null): void {
	const { credential } = context.command;
	const maker = credential?.kind === "token" ? context.need("token", credential.id) : null;
	if (maker === null || maker.expiresAt === null || (expiresAt !== null && expiresAt <= maker.expiresAt)) return;
	const message = "A token made with a token cannot outlive it.";
	throw new AppError("invalid", `The token cannot be made: ${message}`, { fields: [{ path: "/expiresAt", message }] });
}

/** Tokens that are over make room; those that are good do not: something may depend on each. */
function makeRoom(context: ApplyContext, user: User): void {
	const tokens = context.state.tokensOf(user.id);
	if (tokens.length < maxTokensOfUser) return;
	const over = tokens.filter(({ expiresAt }) => expiresAt !== null && expiresAt <= context.time);
	for (const token of over) removeToken(context, token);
	if (tokens.length - over.length < maxTokensOfUser) return;
	throw new AppError(
		"wrong-state",
		`${user.name} has ${maxTokensOfUser} API tokens already, and may not have more. Delete one that is not used.`,
	);
}

export function checkedSecretHash(context: ApplyContext, kind: SecretKind, hash: string): string {
	if (!secretHashPattern.test(hash)) throw new AppError("invalid", "A secret is kept as a hash.");
	if (context.state.idBySecretHash(kind, hash) !== null)
		throw new AppError("already-exists", "This secret is in use already.");
	return hash;
}
