/** Tables and lists of fields with aligned columns. Every value is made harmless here (terminal-text.ts). */
import type { Column, Field } from "./output.ts";
import { textWidth, visible } from "./terminal-text.ts";

const gap = "  ";
const bold = (text: string): string => `\u001b[1m${text}\u001b[0m`;
const paint = (text: string, code: number): string => `\u001b[${code}m${text}\u001b[0m`;

const green = 32;
const yellow = 33;
const red = 31;
const stateColors: Record<string, number> = {
	running: green,
	ready: green,
	ok: green,
	healthy: green,
	succeeded: green,
	connected: green,
	accepted: green,
	starting: yellow,
	stopping: yellow,
	paused: yellow,
	migrating: yellow,
	pending: yellow,
	degraded: yellow,
	uploading: yellow,
	importing: yellow,
	failed: red,
	error: red,
	denied: red,
	rejected: red,
	"not-ready": red,
	disconnected: red,
};

type Cell = { text: string; width: number };
const cell = (value: string | number | null | undefined): Cell => {
	const text = value === null || value === undefined || value === "" ? "-" : visible(String(value));
	return { text, width: textWidth(text) };
};

/** A header line and a line for each item; also with no items. */
export function renderTable<T>(items: readonly T[], columns: readonly Column<T>[], color: boolean): string {
	const rows = items.map((item) => columns.map((column) => cell(column.value(item))));
	const widths = columns.map((column, at) =>
		rows.reduce((widest, row) => Math.max(widest, row[at]?.width ?? 0), column.header.length),
	);
	const line = (cells: readonly Cell[], dress: (text: string, at: number) => string): string =>
		cells
			.map(({ text, width }, at) => {
				const fill = " ".repeat((widths[at] ?? 0) - width);
				const dressed = dress(text, at);
				if (columns[at]?.right) return fill + dressed;
				return at === cells.length - 1 ? dressed : dressed + fill;
			})
			.join(gap);
	const header = line(
		columns.map(({ header }) => ({ text: header, width: header.length })),
		(text) => (color ? bold(text) : text),
	);
	const body = rows.map((row) => line(row, (text, at) => (color && columns[at]?.state ? painted(text) : text)));
	return `${[header, ...body].join("\n")}\n`;
}

function painted(text: string): string {
	const code = stateColors[text.split(" ")[0] ?? ""];
	return code === undefined ? text : paint(text, code);
}

/** "label  value" lines; a label that is empty goes on with the field above. */
export function renderRows(fields: readonly Field[], color: boolean): string {
	const width = fields.reduce((widest, [label]) => Math.max(widest, textWidth(label)), 0);
	return fields
		.map(([label, value]) => {
			const text = typeof value === "boolean" ? (value ? "yes" : "no") : cell(value).text;
			const fill = " ".repeat(width - textWidth(label));
			return `${color && label !== "" ? bold(label) : label}${fill}${gap}${text}\n`;
		})
		.join("");
}
