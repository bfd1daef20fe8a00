/**
 * Tells long-lived things (event streams, consoles) when the credential they were opened with is no good any more:
 * signed out, deleted, expired, its user disabled, deleted or given another role. Watches the store's events, so it
 * does not matter through which node or by whom it happened.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Event } from "../model/event.ts";
import type { Store, StoreReader } from "../store/store.ts";
import type { Identity } from "./identity.ts";

type Watch = { identity: Identity; onRevoked: () => void; timer: Timer | null };
/** Timers take 32-bit delays. */
const maxDelayMs = 2 ** 31 - 1;

export class CredentialWatch {
	readonly #store: StoreReader;
	readonly #clock: Clock;
	readonly #watches = new Set<Watch>();
	readonly #unsubscribe: () => void;
	readonly #isLocalSession: (id: string) => boolean;

	/** `isLocalSession`: one that is not in the state, and good all the same. */
	constructor(store: Store, clock: Clock, isLocalSession: (id: string) => boolean = () => false) {
		this.#isLocalSession = isLocalSession;
		this.#store = store;
		this.#clock = clock;
		this.#unsubscribe = store.subscribe((events) => this.#onEvents(events));
	}

	/**
	 * Calls `onRevoked` once, when the identity's credential ends; at once when it has ended already. The function
	 * returned ends the watch. The local socket's identity never ends.
	 */
	watch(identity: Identity, onRevoked: () => void): () => void {
		if (identity.credential === null) return () => {};
		const watch: Watch = { identity, onRevoked, timer: null };
		this.#watches.add(watch);
		this.#arm(watch);
		if (!this.#isGood(identity)) queueMicrotask(() => this.#revoke(watch));
		return () => this.#end(watch);
	}

	get size(): number {
		return this.#watches.size;
	}

	close(): void {
		this.#unsubscribe();
		for (const watch of [...this.#watches]) this.#end(watch);
	}

	#arm(watch: Watch): void {
		const { expiresAtMs } = watch.identity;
		if (expiresAtMs === null) return;
		const leftMs = Math.max(0, expiresAtMs - this.#clock.nowMs());
		watch.timer = this.#clock.schedule(Math.min(leftMs + 1, maxDelayMs), () => {
			if (this.#isGood(watch.identity)) this.#arm(watch);
			else this.#revoke(watch);
		});
	}

	#onEvents(events: readonly Event[]): void {
		const concerns = events.filter(({ target: { kind } }) => kind === "user" || kind === "session" || kind === "token");
		if (concerns.length === 0) return;
		const touched = new Set(concerns.map((event) => event.target.id));
		for (const watch of [...this.#watches]) {
			const { credential, user } = watch.identity;
			if (!touched.has(credential?.id ?? "") && !touched.has(user?.id ?? "")) continue;
			if (!this.#isGood(watch.identity)) this.#revoke(watch);
		}
	}

	#isGood({ credential, user, expiresAtMs }: Identity): boolean {
		if (credential === null || user === null) return credential === null;
		if (expiresAtMs !== null && expiresAtMs <= this.#clock.nowMs()) return false;
		const now = this.#store.get("user", user.id);
		if (!now?.enabled || now.role !== user.role) return false;
		return this.#store.get(credential.kind, credential.id) !== null || this.#isLocalSession(credential.id);
	}

	#revoke(watch: Watch): void {
		if (!this.#watches.has(watch)) return;
		this.#end(watch);
		watch.onRevoked();
	}

	#end(watch: Watch): void {
		watch.timer?.cancel();
		this.#watches.delete(watch);
	}
}
