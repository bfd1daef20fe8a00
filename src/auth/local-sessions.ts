/**
 * Sessions that this node made while there was no quorum to write them down: known here only, good for reading and for
 * consoles, as long as the password that they were made with is the user's. As soon as the cluster takes writes again they
 * become sessions like any other, or end, when what they rest on is not what it was.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Session, User } from "../model/access.ts";
import { passwordFingerprint } from "../store/password-fingerprint.ts";
import type { Store } from "../store/store.ts";
import { mayBeLater } from "./late-records.ts";

export type LocalSession = {
	session: Session;
	secretHash: string;
	/** Of the password that was checked: see passwordFingerprint. */
	verifiedHash: string;
	/** Writes it down. */
	record: () => Promise<unknown>;
};

export type LocalSessionsDeps = {
	store: Pick<Store, "get" | "status" | "userSecret">;
	clock: Clock;
	logger: Logger;
	/** It is none of these any more; the state may have it now. */
	onGone: (id: string) => void;
};

const maxSessions = 256;
const checkMs = 2_000;

export class LocalSessions {
	readonly #deps: LocalSessionsDeps;
	readonly #bySecretHash = new Map<string, LocalSession>();
	#timer: Timer | null = null;
	#recording = false;

	constructor(deps: LocalSessionsDeps) {
		this.#deps = deps;
	}

	add(local: LocalSession): void {
		const [oldest] = this.#bySecretHash.values();
		if (this.#bySecretHash.size >= maxSessions && oldest !== undefined) this.#drop(oldest);
		this.#bySecretHash.set(local.secretHash, local);
		this.#deps.logger.warn("somebody signed in without a quorum: the session is known on this node only", {
			user: local.session.userName,
		});
		this.#arm();
	}

	find(secretHash: string): { session: Session; user: User } | null {
		const local = this.#bySecretHash.get(secretHash);
		if (local === undefined || !this.#isVerified(local)) return null;
		const user = this.#deps.store.get("user", local.session.userId);
		return user === null ? null : { session: local.session, user };
	}

	/** It is one of these, and good. */
	has(id: string): boolean {
		const local = this.#entryOf(id);
		return local !== undefined && this.#isVerified(local);
	}

	/** False when it is none of these. */
	end(id: string): boolean {
		const local = this.#entryOf(id);
		return local !== undefined && this.#drop(local);
	}

	close(): void {
		this.#timer?.cancel();
		this.#bySecretHash.clear();
	}

	/** Another password may have been set by a majority that this node hears of now. */
	#isVerified({ session, verifiedHash }: LocalSession): boolean {
		const stored = this.#deps.store.userSecret(session.userId)?.passwordHash;
		return stored !== undefined && passwordFingerprint(stored) === verifiedHash;
	}

	#entryOf(id: string): LocalSession | undefined {
		for (const local of this.#bySecretHash.values()) if (local.session.id === id) return local;
		return undefined;
	}

	#drop({ secretHash, session }: LocalSession): boolean {
		const had = this.#bySecretHash.delete(secretHash);
		if (had) this.#deps.onGone(session.id);
		return had;
	}

	#arm(): void {
		const { clock, store } = this.#deps;
		this.#timer?.cancel();
		if (this.#bySecretHash.size === 0) return;
		this.#timer = clock.schedule(checkMs, () => {
			this.#forgetExpired();
			const done = store.status().quorum && !this.#recording ? this.#recordAll() : Promise.resolve();
			void done.finally(() => this.#arm());
		});
	}

	#forgetExpired(): void {
		const nowMs = this.#deps.clock.nowMs();
		for (const local of [...this.#bySecretHash.values()])
			if (!(Date.parse(local.session.expiresAt) > nowMs)) this.#drop(local);
	}

	async #recordAll(): Promise<void> {
		this.#recording = true;
		try {
			for (const local of [...this.#bySecretHash.values()]) {
				// Signed out meanwhile.
				if (!this.#bySecretHash.has(local.secretHash)) continue;
				// Refused: the password was changed, or the user is gone; or an earlier attempt was carried out after all.
				await local.record().catch((error) => {
					if (!isAppError(error) || mayBeLater(error)) throw error;
				});
				this.#drop(local);
			}
		} catch (error) {
			this.#deps.logger.debug("sessions of this node could not be written down yet", { error });
		} finally {
			this.#recording = false;
		}
	}
}
