/** Reads a stream of server-sent events, one by one. */
import { AppError } from "../../lib/errors.ts";

export type SentEvent = { id: string | null; event: string; data: string };

const limitMs = 5000;

export class EventReader {
	readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
	readonly #decoder = new TextDecoder();
	#text = "";
	/** Comments seen so far. */
	comments: string[] = [];

	constructor(response: Response) {
		if (!response.body) throw new AppError("internal", "The answer has no body.");
		this.#reader = response.body.getReader();
	}

	/** The next event; null when the stream has ended. Fails with `timeout` after five seconds. */
	async next(): Promise<SentEvent | null> {
		while (true) {
			const end = this.#text.indexOf("\n\n");
			if (end >= 0) {
				const block = this.#text.slice(0, end);
				this.#text = this.#text.slice(end + 2);
				const event = this.#parse(block);
				if (event) return event;
				continue;
			}
			if (!(await this.#read())) return null;
		}
	}

	/** Events until one satisfies `last`, which is included. */
	async until(last: (event: SentEvent) => boolean): Promise<SentEvent[]> {
		const events: SentEvent[] = [];
		while (true) {
			const event = await this.next();
			if (!event) throw new AppError("internal", `The stream ended after ${JSON.stringify(events.at(-1))}.`);
			events.push(event);
			if (last(event)) return events;
		}
	}

	close(): void {
		this.#reader.cancel().catch(() => {});
	}

	async #read(): Promise<boolean> {
		let timer: ReturnType<typeof setTimeout> | undefined;
		const late = new Promise<never>((_, reject) => {
			timer = setTimeout(() => reject(new AppError("timeout", "No event came.")), limitMs);
		});
		try {
			const { done, value } = await Promise.race([this.#reader.read(), late]);
			if (done) return false;
			this.#text += this.#decoder.decode(value, { stream: true });
			return true;
		} finally {
			clearTimeout(timer);
		}
	}

	#parse(block: string): SentEvent | null {
		const event: SentEvent = { id: null, event: "message", data: "" };
		let some = false;
		for (const line of block.split("\n")) {
			if (line.startsWith(":")) this.comments.push(line.slice(1).trim());
			const at = line.indexOf(": ");
			const [field, value] = [line.slice(0, at), line.slice(at + 2)];
			if (field !== "id" && field !== "event" && field !== "data") continue;
			event[field] = value;
			some = true;
		}
		return some ? event : null;
	}
}
