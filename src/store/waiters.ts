/**
 * Proposers that wait for their command to be applied, by the command's id. Bounded in number and in time: a command
 * that was not confirmed in time may still take effect, and the error says so.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { maxPendingProposals } from "./limits.ts";
import { refusalError } from "./raft/refusals.ts";
import type { Applied } from "./store.ts";

type Waiter = {
	resolve(applied: Applied): void;
	reject(error: AppError): void;
	beganMs: number;
	/** The command may have been written somewhere, or is on its way to where it is. */
	mayHaveHappened: boolean;
};

export const proposalTimeoutMs = 30_000;
const sweepIntervalMs = 1_000;

export class Waiters {
	readonly #clock: Clock;
	readonly #byCommand = new Map<string, Waiter[]>();
	#count = 0;
	#sweep: Timer | null = null;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	get count(): number {
		return this.#count;
	}

	/** Of the commands that somebody waits for. */
	get commandIds(): string[] {
		return [...this.#byCommand.keys()];
	}

	/** False when everybody who waited for it was told something: whatever that was, it has to stay true. */
	has(commandId: string): boolean {
		return this.#byCommand.has(commandId);
	}

	/** Rejects with `too-many-requests` when too many wait already. */
	add(commandId: string): Promise<Applied> {
		if (this.#count >= maxPendingProposals) return Promise.reject(refusalError({ refused: "busy", leader: null }));
		const { promise, resolve, reject } = Promise.withResolvers<Applied>();
		const waiter = { resolve, reject, beganMs: this.#clock.monotonicMs(), mayHaveHappened: false };
		const others = this.#byCommand.get(commandId);
		if (others) others.push(waiter);
		else this.#byCommand.set(commandId, [waiter]);
		this.#count += 1;
		this.#sweep ??= this.#clock.schedule(sweepIntervalMs, () => this.#expire());
		return promise;
	}

	/** Settles the longest-waiting proposer of this command, if there is one here. */
	settle(commandId: string, settle: (waiter: Omit<Waiter, "beganMs">) => void): void {
		const waiters = this.#byCommand.get(commandId);
		const waiter = waiters?.shift();
		if (!waiters || !waiter) return;
		if (waiters.length === 0) this.#byCommand.delete(commandId);
		this.#count -= 1;
		settle(waiter);
	}

	/** What those who wait for this command would have to be told if they were told now. */
	note(commandId: string, { mayHaveHappened }: Pick<Waiter, "mayHaveHappened">): void {
		for (const waiter of this.#byCommand.get(commandId) ?? []) waiter.mayHaveHappened = mayHaveHappened;
	}

	/** Rejects those who have waited since `sinceMs`, or longer. */
	rejectSince(sinceMs: number, errorFor: (waiter: Pick<Waiter, "mayHaveHappened">) => AppError): void {
		for (const [commandId, waiters] of [...this.#byCommand])
			while ((waiters[0]?.beganMs ?? Number.POSITIVE_INFINITY) <= sinceMs)
				this.settle(commandId, (waiter) => waiter.reject(errorFor(waiter)));
	}

	rejectAll(errorFor: (waiter: Pick<Waiter, "mayHaveHappened">) => AppError): void {
		this.#sweep?.cancel();
		this.#sweep = null;
		const all = [...this.#byCommand.values()].flat();
		this.#byCommand.clear();
		this.#count = 0;
		for (const waiter of all) waiter.reject(errorFor(waiter));
	}

	#expire(): void {
		this.#sweep = null;
		this.rejectSince(this.#clock.monotonicMs() - proposalTimeoutMs, notConfirmed);
		if (this.#count > 0) this.#sweep = this.#clock.schedule(sweepIntervalMs, () => this.#expire());
	}
}

const notConfirmed = (): AppError =>
	new AppError(
		"timeout",
		"The change was not confirmed in time; it may still take effect. Read again before retrying.",
	);
