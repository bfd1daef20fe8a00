/**
 * Keepalive of libvirt's RPC (virkeepaliveprotocol.x): when nothing was heard for an interval, ask; when several asks in
 * a row went unanswered, the peer is dead. Whatever arrives counts as an answer, as it does in libvirt.
 */
import type { Clock, Timer } from "../../../lib/clock.ts";

export type KeepaliveOptions = {
	intervalMs: number;
	/** Unanswered pings after which the peer is dead. */
	count: number;
};
export const defaultKeepalive: KeepaliveOptions = { intervalMs: 5_000, count: 5 };

export class Keepalive {
	readonly #clock: Clock;
	readonly #options: KeepaliveOptions;
	readonly #sendPing: () => void;
	readonly #onDead: () => void;
	#timer: Timer | null = null;
	#heardAtMs: number;
	#unanswered = 0;

	constructor(clock: Clock, options: KeepaliveOptions, sendPing: () => void, onDead: () => void) {
		this.#clock = clock;
		this.#options = options;
		this.#sendPing = sendPing;
		this.#onDead = onDead;
		this.#heardAtMs = clock.monotonicMs();
	}

	start(): void {
		this.#heardAtMs = this.#clock.monotonicMs();
		this.#schedule(this.#options.intervalMs);
	}

	/** Something arrived. */
	heard(): void {
		this.#heardAtMs = this.#clock.monotonicMs();
		this.#unanswered = 0;
	}

	stop(): void {
		this.#timer?.cancel();
		this.#timer = null;
	}

	#schedule(delayMs: number): void {
		this.#timer = this.#clock.schedule(delayMs, () => this.#tick());
	}

	#tick(): void {
		const { intervalMs, count } = this.#options;
		const silentMs = this.#clock.monotonicMs() - this.#heardAtMs;
		if (this.#unanswered === 0 && silentMs < intervalMs) {
			this.#schedule(intervalMs - silentMs);
		} else if (this.#unanswered < count) {
			this.#unanswered += 1;
			this.#sendPing();
			this.#schedule(intervalMs);
		} else {
			this.stop();
			this.#onDead();
		}
	}
}
