/**
 * Records what clients do while they do it, in the project's form of a history (linearizability/json-lines.ts): the invocation
 * before the request is sent, the end when its answer is there. All clients are in one process, so the order of its events
 * is an order of time. What ended without an answer is open for ever, also into the next history of the same keys.
 */
import { checkHistory, type Verdict } from "../linearizability/check-history.ts";
import type { EventType, HistoryEvent } from "../linearizability/event.ts";
import { formatEvent } from "../linearizability/json-lines.ts";
import { parseHistory } from "../linearizability/read-history.ts";

export type Invocation = Pick<HistoryEvent, "operation" | "key" | "value">;
/** `value` is what a read returned. */
export type End = {
	type: Exclude<EventType, "invoke">;
	value?: HistoryEvent["value"];
	mismatch?: boolean;
	note?: string;
};

export class History {
	readonly #lines: string[] = [];
	/** Writes without an end, by the process that they have in the lines of the next history. */
	readonly #open = new Map<string, Invocation>();
	/** Values that reads returned: a write that took effect is over, whoever knows. */
	readonly #seen = new Set<string>();
	readonly #clock: () => number;
	readonly counts = { ok: 0, fail: 0, info: 0 };

	/**
	 * @param before whose keys are gone on with: its writes without an end may still take effect
	 * @param clock milliseconds
	 */
	constructor(before: History | null = null, clock: () => number = () => performance.now()) {
		this.#clock = clock;
		for (const [name, invocation] of before ? before.#stillOpen() : []) {
			this.#open.set(name, invocation);
			this.#invoke(name, invocation);
		}
	}

	/** Runs an operation of a client, which has one at a time, and records both its ends. */
	async record<T extends End>(process: string, invocation: Invocation, work: () => Promise<T>): Promise<T> {
		this.#invoke(process, invocation);
		const end = await work();
		this.#add(process, end.type, invocation, {
			...(end.value === undefined ? {} : { value: end.value }),
			...(end.mismatch === undefined ? {} : { mismatch: end.mismatch }),
			...(end.note === undefined ? {} : { note: end.note }),
		});
		this.counts[end.type] += 1;
		if (end.type === "ok" && invocation.operation === "read") this.#seen.add(place(invocation.key, end.value));
		if (end.type === "info" && invocation.operation !== "read")
			this.#open.set(`open-${process}-${JSON.stringify(invocation.value)}`, invocation);
		return end;
	}

	/** Those that may still take effect. Each value is written once, so one that was read has. */
	#stillOpen(): [string, Invocation][] {
		return [...this.#open].filter(([, { key, value }]) => {
			const written = Array.isArray(value) ? value[1] : value;
			return !this.#seen.has(place(key, written));
		});
	}

	get openWrites(): number {
		return this.#stillOpen().length;
	}

	/** A line for each event. */
	text(): string {
		return this.#lines.map((line) => `${line}\n`).join("");
	}

	judge(): Verdict {
		return checkHistory(parseHistory(this.text()));
	}

	#invoke(process: string, invocation: Invocation): void {
		this.#add(process, "invoke", invocation, invocation.value === undefined ? {} : { value: invocation.value });
	}

	#add(
		process: string,
		type: EventType,
		{ operation, key }: Invocation,
		more: Partial<HistoryEvent> & { note?: string },
	): void {
		this.#lines.push(
			formatEvent({ process, type, operation, key, ...more, time: Math.round(this.#clock() * 1000) / 1000 }),
		);
	}
}

const place = (key: string, value: HistoryEvent["value"]): string => JSON.stringify([key, value]);
