/**
 * Failed sign-ins in the log: at most one line a second, whatever strangers do, with the number of those that have no
 * line of their own. What was typed as a user name is not logged: it may be a password in the wrong field.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";

const intervalMs = 1000;

export class SignInLog {
	readonly #clock: Clock;
	readonly #logger: Logger;
	#timer: Timer | null = null;
	#suppressed = 0;
	#last: FailedSignIn = { remoteAddress: null, reason: "wrong" };

	constructor(clock: Clock, logger: Logger) {
		this.#clock = clock;
		this.#logger = logger;
	}

	failed(attempt: FailedSignIn): void {
		if (this.#timer === null) this.#writeAndWait(attempt, 0);
		else {
			this.#suppressed += 1;
			this.#last = attempt;
		}
	}

	/** Says what was not said yet. */
	close(): void {
		this.#timer?.cancel();
		this.#timer = null;
		if (this.#suppressed > 0) this.#write(this.#last, this.#suppressed - 1);
	}

	#writeAndWait(attempt: FailedSignIn, suppressed: number): void {
		this.#write(attempt, suppressed);
		this.#timer = this.#clock.schedule(intervalMs, () => {
			this.#timer = null;
			if (this.#suppressed > 0) this.#writeAndWait(this.#last, this.#suppressed - 1);
		});
	}

	#write({ remoteAddress, reason }: FailedSignIn, suppressed: number): void {
		this.#suppressed = 0;
		const more = suppressed > 0 ? { suppressed } : {};
		this.#logger.warn("a sign-in failed", { address: remoteAddress ?? "local socket", reason, ...more });
	}
}

/** `locked`: not even tried, after too many failures. */
export type FailedSignIn = { remoteAddress: string | null; reason: "wrong" | "locked" };
