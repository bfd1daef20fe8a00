/**
 * Sessions that were signed out on this node while the cluster took no writes. From that moment they are good on this node no
 * more, whatever its copy says; on the others they end when the state hears of it. In memory: what the state has not heard
 * of when the process ends is lost, and the log says so.
 *
 * Each is kept until it would have expired: an attempt to write down a session that was made without a quorum may still be on
 * its way, and whatever of it turns up is deleted.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Store } from "../store/store.ts";
import { mayBeLater } from "./late-records.ts";

export type EndedSession = {
	id: string;
	expiresAtMs: number;
	/** In the state, in the name of whoever signed out. */
	remove: () => Promise<unknown>;
};

export type EndedSessionsDeps = {
	store: Pick<Store, "get" | "readIndex" | "status">;
	clock: Clock;
	logger: Logger;
	onEnded: (id: string) => void;
};

export const maxEnded = 1024;
const retryMs = 2_000;

export class EndedSessions {
	readonly #deps: EndedSessionsDeps;
	readonly #byId = new Map<string, EndedSession & { refused: boolean }>();
	#timer: Timer | null = null;
	#removing: Promise<void> | null = null;

	constructor(deps: EndedSessionsDeps) {
		this.#deps = deps;
	}

	has(id: string): boolean {
		return this.#byId.has(id);
	}

	/** False when there are too many: it has not ended then. */
	add(ended: EndedSession): boolean {
		if (this.#byId.size >= maxEnded && !this.#makeRoom()) return false;
		this.#byId.set(ended.id, { ...ended, refused: false });
		this.#deps.onEnded(ended.id);
		this.#arm();
		return true;
	}

	async close(): Promise<void> {
		this.#timer?.cancel();
		this.#timer = null;
		await this.#removeAll();
		const count = [...this.#byId.keys()].filter((id) => this.#isKnown(id)).length;
		if (count > 0)
			this.#deps.logger.warn("sessions were signed out on this node only: there was no quorum to end them", { count });
		this.#byId.clear();
	}

	#isKnown(id: string): boolean {
		return this.#deps.store.get("session", id) !== null;
	}

	/** The oldest of those that the state does not have: it is all but certain that none of it turns up. */
	#makeRoom(): boolean {
		for (const id of this.#byId.keys()) if (!this.#isKnown(id)) return this.#byId.delete(id);
		return false;
	}

	#arm(): void {
		if (this.#timer !== null || this.#byId.size === 0) return;
		this.#timer = this.#deps.clock.schedule(retryMs, () => {
			void this.#removeAll().finally(() => {
				this.#timer = null;
				this.#arm();
			});
		});
	}

	#removeAll(): Promise<void> {
		this.#removing ??= this.#remove().finally(() => {
			this.#removing = null;
		});
		return this.#removing;
	}

	async #remove(): Promise<void> {
		const { store, clock, logger } = this.#deps;
		const nowMs = clock.nowMs();
		for (const { id, expiresAtMs } of [...this.#byId.values()]) if (expiresAtMs <= nowMs) this.#byId.delete(id);
		const known = () => [...this.#byId.values()].filter(({ id, refused }) => !refused && this.#isKnown(id));
		if (known().length === 0 || !store.status().quorum) return;
		try {
			// What was deleted by an attempt of which nobody knows is not refused, and recorded as such, once more.
			await store.readIndex();
			for (const ended of known())
				await ended.remove().catch((error) => {
					if (!isAppError(error) || mayBeLater(error)) throw error;
					ended.refused = true;
					logger.warn("a session that was signed out could not be ended", { id: ended.id, error });
				});
		} catch (error) {
			logger.debug("sessions that were signed out could not be ended yet", { error });
		}
	}
}
