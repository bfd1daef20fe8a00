/** Failed sign-ins in the log. What was typed as a user name is not logged: it may be a password in the wrong field. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { SparseLog } from "../lib/sparse-log.ts";

export class SignInLog {
	readonly #lines: SparseLog<FailedSignIn>;

	constructor(clock: Clock, logger: Logger) {
		this.#lines = new SparseLog(clock, ({ remoteAddress, reason }, more) =>
			logger.warn("a sign-in failed", { address: remoteAddress ?? "local socket", reason, ...more }),
		);
	}

	failed(attempt: FailedSignIn): void {
		this.#lines.say(attempt);
	}

	/** Says what was not said yet. */
	close(): void {
		this.#lines.close();
	}
}

/** `locked`: not even tried, after too many failures. */
export type FailedSignIn = { remoteAddress: string | null; reason: "wrong" | "locked" };
