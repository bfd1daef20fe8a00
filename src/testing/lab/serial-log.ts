/** What a guest has printed on its serial port so far, and waits for lines in it. Keeps the last 4 MiB. */
import { AppError, toAppError } from "../../lib/errors.ts";

type Waiter = {
	pattern: RegExp;
	from: number;
	resolve: (match: RegExpExecArray) => void;
	reject: (e: unknown) => void;
};

const keptCharacters = 4 * 1024 * 1024;

export class SerialLog {
	#text = "";
	#ended: AppError | undefined;
	readonly #waiting = new Set<Waiter>();

	get text(): string {
		return this.#text;
	}

	/** A position to wait from, so that what was printed before does not count. */
	mark(): number {
		return this.#text.length;
	}

	append(bytes: Uint8Array): void {
		this.#text = (this.#text + Buffer.from(bytes).toString("latin1")).slice(-keptCharacters);
		for (const waiter of [...this.#waiting]) this.#tryMatch(waiter);
	}

	/** No more will come: waits that are not served reject. */
	end(cause?: unknown): void {
		this.#ended ??= new AppError(
			"unavailable",
			`The guest has ended. ${cause ? toAppError(cause).message : ""}`.trim(),
		);
		for (const waiter of this.#waiting) waiter.reject(this.#ended);
		this.#waiting.clear();
	}

	/**
	 * Resolves with the first match at or after `from`. Fails with `timeout` (the end of the log is in the message) or
	 * `unavailable` when the guest has ended without it.
	 */
	async waitFor(pattern: RegExp | string, timeoutMs: number, from = 0): Promise<RegExpExecArray> {
		const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
		const source = typeof pattern === "string" ? RegExp.escape(pattern) : pattern.source;
		const flags = typeof pattern === "string" ? "" : pattern.flags.replace(/[gy]/g, "");
		const waiter: Waiter = { pattern: new RegExp(source, flags), from, resolve, reject };
		const timer = setTimeout(() => {
			const end = JSON.stringify(this.#text.slice(-600));
			reject(new AppError("timeout", `No ${pattern} on the serial port within ${timeoutMs} ms; it ends with ${end}`));
		}, timeoutMs);
		this.#waiting.add(waiter);
		if (!this.#tryMatch(waiter) && this.#ended) reject(this.#ended);
		try {
			return await promise;
		} finally {
			clearTimeout(timer);
			this.#waiting.delete(waiter);
		}
	}

	#tryMatch(waiter: Waiter): boolean {
		const match = waiter.pattern.exec(this.#text.slice(waiter.from));
		if (match) waiter.resolve(match);
		return match !== null;
	}
}
