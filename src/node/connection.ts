/** Whether libvirt answers, since when, and a bell for those who wait for it. */
import type { HypervisorDriver } from "../hypervisor/driver.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { Bell } from "./wait.ts";

export class Connection {
	readonly #hypervisor: HypervisorDriver;
	readonly #clock: Clock;
	readonly #bell = new Bell();
	#awaySinceMs: number | null;
	/** Counts changes: what was read under another number may be void. */
	#epoch = 0;

	constructor(hypervisor: HypervisorDriver, clock: Clock) {
		this.#hypervisor = hypervisor;
		this.#clock = clock;
		this.#awaySinceMs = this.connected ? null : clock.monotonicMs();
	}

	get connected(): boolean {
		return this.#hypervisor.info().state === "connected";
	}

	get epoch(): number {
		return this.#epoch;
	}

	/** 0 while it is connected. */
	awayMs(): number {
		return this.#awaySinceMs === null ? 0 : this.#clock.monotonicMs() - this.#awaySinceMs;
	}

	/** At each connection event of the driver. */
	changed(): void {
		this.#epoch += 1;
		if (this.connected) this.#awaySinceMs = null;
		else this.#awaySinceMs ??= this.#clock.monotonicMs();
		this.#bell.ring();
	}

	/** Resolves once it is connected; `unavailable` after `limitMs`. */
	async wait(limitMs: number, signal: AbortSignal): Promise<void> {
		const endsAtMs = this.#clock.monotonicMs() + limitMs;
		while (!this.connected) {
			const leftMs = endsAtMs - this.#clock.monotonicMs();
			if (leftMs <= 0) {
				const why = this.#hypervisor.info().reason;
				throw new AppError("unavailable", `libvirt does not answer on this node${why ? ` (${why})` : ""}.`);
			}
			await this.#bell.wait(this.#clock, leftMs, signal);
		}
	}
}
