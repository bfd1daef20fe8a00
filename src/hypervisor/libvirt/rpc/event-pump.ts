/**
 * Hands events to listeners in order, after the data at hand was read, so that a listener may make calls and cannot
 * disturb the connection. Bounded: a flood that listeners cannot have seen yet is an error for the connection.
 */
import type { Logger } from "../../../lib/log.ts";
import { ProtocolError } from "./errors.ts";

const maxWaiting = 10_000;

export class EventPump<T> {
	readonly #logger: Logger;
	readonly #listeners = new Set<(event: T) => void>();
	#waiting: T[] = [];

	constructor(logger: Logger) {
		this.#logger = logger;
	}

	/** Returns the way to stop it. */
	listen(listener: (event: T) => void): () => void {
		const own = (event: T) => listener(event); // so that one function can be given twice
		this.#listeners.add(own);
		return () => {
			this.#listeners.delete(own);
		};
	}

	/** Throws ProtocolError when too many wait. */
	push(event: T): void {
		if (this.#waiting.length >= maxWaiting) throw new ProtocolError(`more than ${maxWaiting} events at once`);
		this.#waiting.push(event);
		if (this.#waiting.length === 1) queueMicrotask(() => this.#deliver());
	}

	#deliver(): void {
		const events = this.#waiting;
		this.#waiting = [];
		for (const event of events)
			for (const listener of this.#listeners)
				try {
					listener(event);
				} catch (error) {
					this.#logger.error("A listener of libvirt events failed.", { error });
				}
	}
}
