/**
 * Parser of server-sent events (WHATWG HTML, 9.2.6), fed with text as it comes. It reports comments too: they are the
 * server's heartbeat, which EventSource would hide. A line longer than `maxLineLength` ends the stream with an error.
 */
export type SseMessage = { id: string | null; event: string; data: string };

export type SseHandlers = {
	onMessage(message: SseMessage): void;
	/** A block that only sets the id, as sent when the stream opens. */
	onId(id: string): void;
	onComment(text: string): void;
};

export const maxLineLength = 4 * 1024 * 1024;

export class SseParser {
	private rest = "";
	private endedWithCr = false;
	private data: string[] = [];
	private event = "";
	private id: string | null = null;

	constructor(private readonly handlers: SseHandlers) {}

	feed(chunk: string): void {
		let text = chunk;
		if (this.endedWithCr && text.startsWith("\n")) text = text.slice(1);
		if (text === "") return;
		this.endedWithCr = text.endsWith("\r");
		const lines = (this.rest + text).split(/\r\n|\n|\r/);
		this.rest = lines.pop() ?? "";
		if (this.rest.length > maxLineLength) throw new Error("The event stream sent a line that is too long.");
		for (const line of lines) this.line(line);
	}

	private line(line: string): void {
		if (line === "") {
			this.dispatch();
			return;
		}
		const colon = line.indexOf(":");
		if (colon === 0) {
			this.handlers.onComment(line.slice(1).trim());
			return;
		}
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
		if (field === "data") this.data.push(value);
		else if (field === "event") this.event = value;
		else if (field === "id" && !value.includes("\0")) this.id = value;
	}

	private dispatch(): void {
		const { data, event, id } = this;
		this.data = [];
		this.event = "";
		this.id = null;
		if (data.length > 0) this.handlers.onMessage({ id, event: event || "message", data: data.join("\n") });
		else if (event === "reset") this.handlers.onMessage({ id, event, data: "" });
		else if (id !== null) this.handlers.onId(id);
	}
}
