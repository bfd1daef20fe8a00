/**
 * Sessions that this node made while there was no quorum to write them down: known here only, good for reading and for
 * consoles. As soon as the cluster takes writes again they become sessions like any other, or end, when what they rest on
 * (the user, the password) is not what it was.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Session, User } from "../model/access.ts";
import type { Store } from "../store/store.ts";

export type LocalSession = {
	session: Session;
	secretHash: string /** Writes it down. */;
	record: () => Promise<unknown>;
};

const maxSessions = 256;
const checkMs = 2_000;

export class LocalSessions {
	readonly #store: Pick<Store, "get" | "status">;
	readonly #clock: Clock;
	readonly #logger: Logger;
	readonly #bySecretHash = new Map<string, LocalSession>();
	#timer: Timer | null = null;
	#recording = false;

	constructor(store: Pick<Store, "get" | "status">, clock: Clock, logger: Logger) {
		this.#store = store;
		this.#clock = clock;
		this.#logger = logger;
	}

	add(local: LocalSession): void {
		const [oldest] = this.#bySecretHash.keys();
		if (this.#bySecretHash.size >= maxSessions && oldest !== undefined) this.#bySecretHash.delete(oldest);
		this.#bySecretHash.set(local.secretHash, local);
		this.#logger.warn("somebody signed in without a quorum: the session is known on this node only", {
			user: local.session.userName,
		});
		this.#arm();
	}

	find(secretHash: string): { session: Session; user: User } | null {
		const local = this.#bySecretHash.get(secretHash);
		const user = local === undefined ? null : this.#store.get("user", local.session.userId);
		return local === undefined || user === null ? null : { session: local.session, user };
	}

	has(id: string): boolean {
		return this.#entryOf(id) !== undefined;
	}

	/** False when it is none of these. */
	end(id: string): boolean {
		const local = this.#entryOf(id);
		return local !== undefined && this.#bySecretHash.delete(local.secretHash);
	}

	close(): void {
		this.#timer?.cancel();
		this.#bySecretHash.clear();
	}

	#entryOf(id: string): LocalSession | undefined {
		for (const local of this.#bySecretHash.values()) if (local.session.id === id) return local;
		return undefined;
	}

	#arm(): void {
		this.#timer?.cancel();
		if (this.#bySecretHash.size === 0) return;
		this.#timer = this.#clock.schedule(checkMs, () => {
			this.#forgetExpired();
			const done = this.#store.status().quorum && !this.#recording ? this.#recordAll() : Promise.resolve();
			void done.finally(() => this.#arm());
		});
	}

	#forgetExpired(): void {
		const nowMs = this.#clock.nowMs();
		for (const { session, secretHash } of [...this.#bySecretHash.values()])
			if (!(Date.parse(session.expiresAt) > nowMs)) this.#bySecretHash.delete(secretHash);
	}

	async #recordAll(): Promise<void> {
		this.#recording = true;
		try {
			for (const { secretHash, record } of [...this.#bySecretHash.values()]) {
				// Refused: the password was changed, or the user is gone; or an earlier attempt was carried out after all.
				await record().catch((error) => {
					if (!isAppError(error) || error.code === "unavailable" || error.code === "timeout") throw error;
				});
				this.#bySecretHash.delete(secretHash);
			}
		} catch (error) {
			this.#logger.debug("sessions of this node could not be written down yet", { error });
		} finally {
			this.#recording = false;
		}
	}
}
