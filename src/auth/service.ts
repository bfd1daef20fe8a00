/**
 * Authentication: who is asking, signing in, secrets. Which role may call what is model/permissions.ts; the API asks
 * it for every route. Sessions last twelve hours from sign-in, whatever happens in between: they are replicated, and
 * a sliding expiry would make a write of each request.
 *
 * Failed attempts of strangers are counted and slowed down in memory (failure-limiter.ts); they never become writes.
 * The local socket is neither asked for a password nor ever locked out.
 */

import { type Clock, toRfc3339 } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { IdSource } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { Session, User } from "../model/access.ts";
import { type OperationId, roleAtLeast } from "../model/permissions.ts";
import type { ResourceRef } from "../model/schema.ts";
import { passwordFingerprint } from "../store/password-fingerprint.ts";
import type { Proposer, Store } from "../store/store.ts";
import { type AuditEntry, AuditRecorder } from "./audit-recorder.ts";
import { CredentialWatch } from "./credential-watch.ts";
import { EndedSessions } from "./ended-sessions.ts";
import { addressKey, FailureLimiter } from "./failure-limiter.ts";
import type { Identity } from "./identity.ts";
import { LocalSessions } from "./local-sessions.ts";
import type { PasswordHasher } from "./passwords.ts";
import { hashSecret, type NewSecret, newSecret, secretKind } from "./secrets.ts";
import { SignInLog } from "./sign-in-log.ts";

export const sessionLifetimeMs = 12 * 3_600_000;
export const sessionCookie = "lqx_session";

export type AuthDeps = {
	store: Store;
	proposer: Proposer;
	clock: Clock;
	random: Random;
	ids: IdSource;
	logger: Logger;
	passwords: PasswordHasher;
};

export type AuthFigures = {
	loginFailures: number;
	loginsRefused: number;
	badCredentials: number;
	watched: number;
	hashing: { running: number; waiting: number };
};

export type PresentedCredential = { secret: string; via: "cookie" | "bearer" };
type From = { remoteAddress: string | null; userAgent: string | null };

export class AuthService {
	readonly #deps: AuthDeps;
	readonly #watch: CredentialWatch;
	readonly #byUser: FailureLimiter;
	readonly #byAddress: FailureLimiter;
	readonly #badSecrets: FailureLimiter;
	readonly #audit: AuditRecorder;
	readonly #signInLog: SignInLog;
	readonly #local: LocalSessions;
	readonly #ended: EndedSessions;
	#figures = { loginFailures: 0, loginsRefused: 0, badCredentials: 0 };

	constructor(deps: AuthDeps) {
		this.#deps = deps;
		this.#local = new LocalSessions({ ...deps, onGone: (id) => this.#watch.check(id) });
		this.#ended = new EndedSessions({ ...deps, onEnded: (id) => this.#watch.check(id) });
		this.#watch = new CredentialWatch(deps.store, deps.clock, {
			isGoodHere: (id) => this.#local.has(id),
			hasEndedHere: (id) => this.#ended.has(id),
		});
		this.#audit = new AuditRecorder(deps);
		this.#signInLog = new SignInLog(deps.clock, deps.logger);
		const backOff = { firstDelayMs: 1000, maxDelayMs: 300_000, forgetAfterMs: 900_000, maxKeys: 10_000 };
		this.#byUser = new FailureLimiter(deps.clock, { ...backOff, free: 5 });
		this.#byAddress = new FailureLimiter(deps.clock, { ...backOff, free: 20 });
		this.#badSecrets = new FailureLimiter(deps.clock, { ...backOff, free: 100, maxDelayMs: 10_000 });
	}

	/** The identity behind a session's or token's secret; `unauthenticated` (or `too-many-requests`) when it is no good. */
	authenticate({ secret, via }: PresentedCredential, remoteAddress: string | null): Identity {
		const identity = this.#resolve(secret, via);
		if (identity) return identity;
		this.#figures.badCredentials += 1;
		const key = remoteAddress === null ? null : addressKey(remoteAddress);
		const waitMs = key === null ? 0 : this.#badSecrets.waitMs(key);
		if (key !== null) this.#badSecrets.fail(key);
		if (waitMs > 0) throw tooMany(waitMs);
		throw new AppError("unauthenticated", "The credentials are not valid, or not any more. Sign in again.");
	}

	/** Somebody there has tried many secrets. */
	isSlowedDown(remoteAddress: string | null): boolean {
		return remoteAddress !== null && this.#badSecrets.waitMs(addressKey(remoteAddress)) > 0;
	}

	/** Whether it is, as far as this copy of the state knows; counts nothing. */
	isGood({ secret, via }: PresentedCredential): boolean {
		return this.#resolve(secret, via) !== null;
	}

	#resolve(secret: string, via: Identity["via"]): Identity | null {
		const { store, clock } = this.#deps;
		const kind = secretKind(secret);
		if (kind === null || (via === "cookie" && kind !== "session")) return null;
		const nowMs = clock.nowMs();
		if (kind === "session") {
			const known = store.sessionBySecretHash(hashSecret(secret));
			const found = known ?? this.#local.find(hashSecret(secret));
			if (!found?.user.enabled || this.#ended.has(found.session.id)) return null;
			const expiresAtMs = Date.parse(found.session.expiresAt);
			if (!(expiresAtMs > nowMs)) return null;
			const { session, user } = found;
			const requester = { kind: "user", id: user.id, name: user.name } as const;
			const credential = { kind, id: session.id };
			const unrecorded = known === null ? { unrecorded: true } : {};
			return { requester, role: user.role, user, credential, session, via, expiresAtMs, ...unrecorded };
		}
		const found = store.tokenBySecretHash(hashSecret(secret));
		if (!found?.user.enabled) return null;
		const { token, user } = found;
		const expiresAtMs = token.expiresAt === null ? null : Date.parse(token.expiresAt);
		if (expiresAtMs !== null && !(expiresAtMs > nowMs)) return null;
		const role = roleAtLeast(user.role, token.role) ? token.role : user.role;
		const requester = { kind: "token", id: token.id, name: `${user.name}/${token.name}` } as const;
		return { requester, role, user, credential: { kind, id: token.id }, session: null, via, expiresAtMs };
	}

	/**
	 * Checks the password and makes a session; without a quorum one that only this node knows (local-sessions.ts). Wrong name, wrong password and disabled user are told apart neither by
	 * answer nor by time. `remoteAddress` null is the local socket.
	 */
	async signIn(
		username: string,
		password: string,
		from: From,
	): Promise<{ session: Session; user: User; secret: string }> {
		const name = username.toLowerCase();
		// A user or a password that another node has acknowledged is known here; without a quorum, what this copy has must do.
		await this.#deps.store.readIndex().catch((error: unknown) => {
			if (!isAppError(error, "unavailable")) throw error;
		});
		const found = this.#deps.store.userByName(name);
		const stored = found?.user.enabled ? found.passwordHash : null;
		const good = await this.#attempt(name, from.remoteAddress, password, stored);
		if (!good || !found) throw new AppError("unauthenticated", "The user name or the password is wrong.");
		const { secret, secretHash } = newSecret("session", this.#deps.random);
		const nowMs = this.#deps.clock.nowMs();
		const session: Session = {
			id: this.#deps.ids.newId(),
			userId: found.user.id,
			userName: found.user.name,
			createdAt: toRfc3339(nowMs),
			expiresAt: toRfc3339(nowMs + sessionLifetimeMs),
			remoteAddress: from.remoteAddress,
			userAgent: from.userAgent === null ? null : printable(from.userAgent).slice(0, 256),
		};
		const verifiedHash = passwordFingerprint(found.passwordHash);
		const record = () =>
			this.#deps.proposer.propose(
				{ kind: "sessionCreate", session, secretHash, verifiedHash },
				{
					requester: { kind: "user", id: found.user.id, name: found.user.name },
					remoteAddress: from.remoteAddress,
					operation: "sessionCreate" satisfies OperationId,
					idempotencyKey: null,
					credential: null,
				},
			);
		await record().catch((error) => {
			if (!this.isForLackOfQuorum(error)) throw error;
			this.#local.add({ session, secretHash, verifiedHash, record });
		});
		return { session, user: found.user, secret };
	}

	/** Is it a session that only this node knows? */
	isLocalSession(id: string): boolean {
		return this.#local.has(id);
	}

	/** The write was refused because the cluster takes none, as far as this node can tell. */
	isForLackOfQuorum(error: unknown): boolean {
		// `wrong-state`: this node was removed from the cluster.
		const refused = isAppError(error, "unavailable") || isAppError(error, "wrong-state");
		return refused && !this.#deps.store.status().quorum;
	}

	/**
	 * Signs a session out that cannot be ended in the state now: here at once, with what it has open, elsewhere as soon as the
	 * state hears of it. False when it is none, or too many wait for that already.
	 */
	endHere({ session, requester, credential }: Identity, remoteAddress: string | null): boolean {
		if (session === null) return false;
		const { id } = session;
		const operation = "sessionDeleteCurrent" satisfies OperationId;
		const meta = { requester, credential, remoteAddress, operation, idempotencyKey: null };
		const remove = () => this.#deps.proposer.propose({ kind: "sessionDelete", id }, meta);
		const willEnd = this.#ended.add({ id, expiresAtMs: Date.parse(session.expiresAt), remove });
		// One that is known nowhere else ends in any case.
		return this.#local.end(id) || willEnd;
	}

	/**
	 * Is this the user's password? Null when it is not; else what the command that relies on it carries (`verifiedHash`),
	 * since the password may be another one when it applies. Guesses count as failed sign-ins.
	 */
	async checkPassword(user: User, password: string, remoteAddress: string | null): Promise<string | null> {
		const stored = this.#deps.store.userSecret(user.id)?.passwordHash ?? null;
		const good = await this.#attempt(user.name, remoteAddress, password, stored);
		return good && stored !== null ? passwordFingerprint(stored) : null;
	}

	hashPassword(password: string): Promise<string> {
		return this.#deps.passwords.hash(password);
	}

	newTokenSecret(): NewSecret {
		return newSecret("token", this.#deps.random);
	}

	/** See CredentialWatch.watch. */
	watchCredential(identity: Identity, onRevoked: () => void): () => void {
		return this.#watch.watch(identity, onRevoked);
	}

	/** Leaves an audit record of a denial: see AuditRecorder, which bounds how many there are. */
	recordDenial(
		identity: Identity,
		operation: OperationId,
		remoteAddress: string | null,
		targets: ResourceRef[] = [],
	): Promise<void> {
		return this.recordUse({
			...{ identity, operation, remoteAddress },
			...{ outcome: "denied", errorCode: "forbidden", targets },
		});
	}

	/** Leaves an audit record of what is no command (an upload, a console), bounded in the same way. */
	recordUse(entry: AuditEntry): Promise<void> {
		return this.#audit.record(entry);
	}

	figures(): AuthFigures {
		return { ...this.#figures, watched: this.#watch.size, hashing: this.#deps.passwords.load() };
	}

	/** Writes what is not written yet; the store is closed after it. */
	async close(): Promise<void> {
		this.#watch.close();
		this.#local.close();
		this.#signInLog.close();
		await this.#ended.close();
		await this.#audit.close();
	}

	/** One guess, with the lock-outs around it. */
	async #attempt(name: string, remoteAddress: string | null, password: string, stored: string | null) {
		const address = remoteAddress === null ? null : addressKey(remoteAddress);
		if (address === null) {
			const good = await this.#deps.passwords.verify(password, stored);
			if (!good) this.#signInLog.failed({ remoteAddress, reason: "wrong" });
			return good;
		}
		const waitMs = Math.max(this.#byUser.waitMs(name), this.#byAddress.waitMs(address));
		if (waitMs > 0) {
			this.#figures.loginsRefused += 1;
			this.#signInLog.failed({ remoteAddress, reason: "locked" });
			throw tooMany(waitMs);
		}
		this.#byUser.fail(name);
		this.#byAddress.fail(address);
		let good = false;
		try {
			good = await this.#deps.passwords.verify(password, stored);
		} catch (error) {
			// Not answered, so not a guess.
			this.#byUser.takeBack(name);
			this.#byAddress.takeBack(address);
			throw error;
		}
		if (good) {
			this.#byUser.succeed(name);
			this.#byAddress.takeBack(address);
		} else {
			this.#figures.loginFailures += 1;
			this.#signInLog.failed({ remoteAddress, reason: "wrong" });
		}
		return good;
	}
}

const tooMany = (retryAfterMs: number) =>
	new AppError("too-many-requests", "Too many failed attempts. Wait before the next one.", { retryAfterMs });

/** Header text from strangers, without what is no printable ASCII. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?");
