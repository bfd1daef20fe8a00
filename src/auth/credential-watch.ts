/**
 * Tells long-lived things (event streams, consoles) when the credential they were opened with is no good any more:
 * signed out, deleted, expired, its user disabled, deleted or given another role. Watches the store's events, so it
 * does not matter through which node or by whom it happened; `check` is for what happens on this node only.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Event } from "../model/event.ts";
import { passwordFingerprint } from "../store/password-fingerprint.ts";
import type { Store, StoreReader } from "../store/store.ts";
import type { Identity } from "./identity.ts";

type Watch = {
	identity: Identity;
	onRevoked: () => void;
	timer: Timer | null;
	/** The state has, or had, the credential. */
	recorded: boolean;
};
/** Timers take 32-bit delays. */
const maxDelayMs = 2 ** 31 - 1;
/** A state that came as a whole (a snapshot) makes no events. */
const sweepMs = 10_000;

/** What is so on this node, and not in the state. */
export type SessionsHere = {
	/** It is not in the state, and good all the same. */
	isGoodHere(id: string): boolean;
	/** It may be in the state, and is not good any more. */
	hasEndedHere(id: string): boolean;
};
const none: SessionsHere = { isGoodHere: () => false, hasEndedHere: () => false };

export class CredentialWatch {
	readonly #store: StoreReader;
	readonly #clock: Clock;
	readonly #watches = new Set<Watch>();
	readonly #unsubscribe: () => void;
	readonly #here: SessionsHere;
	#sweep: Timer | null = null;

	constructor(store: Store, clock: Clock, here: SessionsHere = none) {
		this.#here = here;
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
		const watch: Watch = { identity, onRevoked, timer: null, recorded: false };
		this.#watches.add(watch);
		this.#arm(watch);
		this.#armSweep();
		if (!this.#isGood(watch)) queueMicrotask(() => this.#revoke(watch));
		return () => this.#end(watch);
	}

	/** Looks again at what was opened with this credential: something about it has changed that makes no events. */
	check(credentialId: string): void {
		for (const watch of [...this.#watches])
			if (watch.identity.credential?.id === credentialId && !this.#isGood(watch)) this.#revoke(watch);
	}

	get size(): number {
		return this.#watches.size;
	}

	close(): void {
		this.#unsubscribe();
		this.#sweep?.cancel();
		for (const watch of [...this.#watches]) this.#end(watch);
	}

	#arm(watch: Watch): void {
		const { expiresAtMs } = watch.identity;
		if (expiresAtMs === null) return;
		const leftMs = Math.max(0, expiresAtMs - this.#clock.nowMs());
		watch.timer = this.#clock.schedule(Math.min(leftMs + 1, maxDelayMs), () => {
			if (this.#isGood(watch)) this.#arm(watch);
			else this.#revoke(watch);
		});
	}

	#armSweep(): void {
		this.#sweep ??= this.#clock.schedule(sweepMs, () => {
			this.#sweep = null;
			for (const watch of [...this.#watches]) if (!this.#isGood(watch)) this.#revoke(watch);
			if (this.#watches.size > 0) this.#armSweep();
		});
	}

	#onEvents(events: readonly Event[]): void {
		const concerns = events.filter(({ target: { kind } }) => kind === "user" || kind === "session" || kind === "token");
		if (concerns.length === 0) return;
		const touched = new Set(concerns.map((event) => event.target.id));
		for (const watch of [...this.#watches]) {
			const { credential, user } = watch.identity;
			const isOfCredential = touched.has(credential?.id ?? "");
			if (!isOfCredential && !touched.has(user?.id ?? "")) continue;
			watch.recorded ||= isOfCredential;
			if (!this.#isGood(watch)) this.#revoke(watch);
		}
	}

	#isGood(watch: Watch): boolean {
		const { credential, user, expiresAtMs, vouchedFor } = watch.identity;
		if (credential === null || user === null) return credential === null;
		if (expiresAtMs !== null && expiresAtMs <= this.#clock.nowMs()) return false;
		const now = this.#store.get("user", user.id);
		if (!now?.enabled || now.role !== user.role || this.#here.hasEndedHere(credential.id)) return false;
		if (this.#store.get(credential.kind, credential.id) !== null) {
			watch.recorded = true;
			return true;
		}
		if (this.#here.isGoodHere(credential.id)) return true;
		const stored = vouchedFor && !watch.recorded ? this.#store.userSecret(user.id) : null;
		return stored !== null && passwordFingerprint(stored.passwordHash) === vouchedFor?.passwordFingerprint;
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
