/**
 * Results on standard output, in the form that was asked for. `table` is for people; `json` and `yaml` are the API's
 * objects as they are, a list being an array; `--quiet` prints ids, one a line. Everything else that is said (progress,
 * warnings, errors) goes to standard error.
 */
import { Document, visit } from "yaml";
import type { CliWriter } from "./io.ts";
import { renderRows, renderTable } from "./table.ts";
import { escapeJson, isUnsafe, visibleLines } from "./terminal-text.ts";

export const outputFormats = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof outputFormats)[number];

export type Column<T> = {
	readonly header: string;
	/** Null is shown as "-". Unsafe characters are taken care of here, not by the caller. */
	readonly value: (item: T) => string | number | null | undefined;
	readonly right?: boolean;
	/** Coloured by its meaning, on a terminal. */
	readonly state?: boolean;
};
export type Field = readonly [label: string, value: string | number | boolean | null | undefined];

export type Output = {
	readonly format: OutputFormat;
	readonly quiet: boolean;
	/** True when people read: names instead of ids are worth a request. */
	readonly forPeople: boolean;
	list<T>(items: readonly T[], columns: readonly Column<T>[], id: (item: T) => string): Promise<void>;
	/** One object; `fields` are shown to people, in this order. */
	object<T>(item: T, fields: readonly Field[], id?: string): Promise<void>;
	/** One object as one line of a stream. */
	streamed<T>(item: T, line: (item: T) => string, id: string): Promise<void>;
	/** JSON (also for people) or YAML. */
	document(value: unknown): Promise<void>;
	/** A sentence for people; nothing in the other forms. */
	say(text: string): Promise<void>;
	/** Text as it came; harmless when it goes to a terminal, unless `raw`. */
	text(text: string, options?: { raw?: boolean }): Promise<void>;
};

export function createOutput(
	stdout: CliWriter,
	options: { format: OutputFormat; quiet: boolean; color: boolean },
): Output {
	const { format, quiet, color } = options;
	const structured = (value: unknown) => stdout.write(format === "yaml" ? toYaml(value) : toJson(value));
	const forPeople = format === "table" && !quiet;
	return {
		format,
		quiet,
		forPeople,
		async list(items, columns, id) {
			if (quiet) return stdout.write(items.map((item) => `${visibleLines(id(item))}\n`).join(""));
			if (format !== "table") return structured(items);
			await stdout.write(renderTable(items, columns, color));
		},
		async object(item, fields, id) {
			if (quiet) return id === undefined ? undefined : stdout.write(`${visibleLines(id)}\n`);
			if (format !== "table") return structured(item);
			await stdout.write(renderRows(fields, color));
		},
		async streamed(item, line, id) {
			if (quiet) return stdout.write(`${visibleLines(id)}\n`);
			if (format === "json") return stdout.write(`${escapeJson(JSON.stringify(item))}\n`);
			if (format === "yaml") return stdout.write(`---\n${toYaml(item)}`);
			await stdout.write(`${line(item)}\n`);
		},
		document: structured,
		async say(text) {
			if (forPeople) await stdout.write(`${visibleLines(text)}\n`);
		},
		async text(text, { raw = false } = {}) {
			const shown = stdout.isTTY && !raw ? visibleLines(text) : text;
			await stdout.write(shown === "" || shown.endsWith("\n") || raw ? shown : `${shown}\n`);
		},
	};
}

export const toJson = (value: unknown): string => `${escapeJson(JSON.stringify(value, null, 2))}\n`;

/** YAML 1.2; strings that a terminal may obey are double-quoted, with escapes. */
export function toYaml(value: unknown): string {
	const document = new Document(value);
	visit(document, {
		Scalar(_, node) {
			if (typeof node.value === "string" && isUnsafe(node.value.replaceAll("\n", ""))) node.type = "QUOTE_DOUBLE";
		},
	});
	return escapeJson(document.toString({ lineWidth: 0, singleQuote: false }));
}
