/** Reads server-sent events (WHATWG HTML, 9.2) from a body, in whatever pieces it comes. Lines are bounded. */
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";

export type ServerSentEvent = { event: string; data: string; id: string };

const maxEventCharacters = 16 * MiB;

/** Events, and "alive" for each comment. Ends with the body. */
export async function* serverSentEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent | "alive"> {
	const decoder = new TextDecoder();
	let rest = "";
	let fields: { event: string; data: string[]; id: string } = { event: "message", data: [], id: "" };
	let size = 0;
	for await (const chunk of body) {
		rest += decoder.decode(chunk, { stream: true });
		if (rest.length + size > maxEventCharacters)
			throw new AppError("too-large", "The node sent an event without an end.");
		// A lone CR at the end may be the first half of CR LF.
		const lines = rest.split(/\r\n|\n|\r(?!$)/);
		rest = lines.pop() ?? "";
		for (const line of lines) {
			size += line.length;
			if (line === "") {
				if (fields.data.length > 0) yield { ...fields, data: fields.data.join("\n") };
				fields = { event: "message", data: [], id: fields.id };
				size = 0;
			} else if (line.startsWith(":")) yield "alive";
			else take(fields, line);
		}
	}
}

function take(fields: { event: string; data: string[]; id: string }, line: string): void {
	const colon = line.indexOf(":");
	const name = colon < 0 ? line : line.slice(0, colon);
	const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
	if (name === "data") fields.data.push(value);
	else if (name === "event") fields.event = value;
	else if (name === "id" && !value.includes("\0")) fields.id = value;
}
