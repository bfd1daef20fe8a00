/** Who was refused on the peer port, in the log. Strangers come as often as they like: so many lines a second, for each reason. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { SparseLog } from "../lib/sparse-log.ts";
import type { Close } from "./peer-error.ts";

type Refused = { message: string; address: string; close: Close };

export class RefusalLog {
	readonly #clock: Clock;
	readonly #logger: Logger;
	/** By code, of which there are few: what strangers are told does not hide what a member is told. */
	readonly #byCode = new Map<string, SparseLog<Refused>>();

	constructor(clock: Clock, logger: Logger) {
		this.#clock = clock;
		this.#logger = logger;
	}

	refused(message: string, address: string, close: Close): void {
		const lines = this.#byCode.get(close.code) ?? new SparseLog<Refused>(this.#clock, this.#write);
		this.#byCode.set(close.code, lines);
		lines.say({ message, address, close });
	}

	close(): void {
		for (const lines of this.#byCode.values()) lines.close();
	}

	readonly #write = ({ message, address, close }: Refused, more: { suppressed?: number }): void =>
		this.#logger.info(message, { address, code: close.code, reason: close.message, ...more });
}
