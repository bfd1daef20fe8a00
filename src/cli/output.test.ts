/** Forms of the output, and what a terminal must never get from others' text. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "yaml";
import { fakeIo } from "../testing/cli/fake-io.ts";
import { relativeTime } from "./format.ts";
import { type Column, createOutput, toJson, toYaml } from "./output.ts";
import { renderTable } from "./table.ts";
import { fit, textWidth, visible, visibleLines } from "./terminal-text.ts";

type Row = { id: string; name: string; count: number | null };
const rows: Row[] = [
	{ id: "1", name: "web", count: 12 },
	{ id: "2", name: "日本", count: null },
	{ id: "3", name: "a\u001b[31mb\u202ec", count: 7 },
];
const columns: Column<Row>[] = [
	{ header: "NAME", value: (row) => row.name },
	{ header: "COUNT", value: (row) => row.count, right: true },
	{ header: "ID", value: (row) => row.id },
];

async function printed(options: { format: "table" | "json" | "yaml"; quiet?: boolean; color?: boolean }) {
	const io = fakeIo();
	const output = createOutput(io.stdout, { quiet: false, color: false, ...options });
	await output.list(rows, columns, (row) => row.id);
	return io.out;
}

test("a table is aligned, wide characters count twice, and control characters are shown", async () => {
	expect(await printed({ format: "table" })).toBe(
		[
			"NAME             COUNT  ID",
			"web                 12  1",
			"日本                 -  2",
			"a\\e[31mb\\u202ec      7  3",
			"",
		].join("\n"),
	);
});

test("an empty table has its header", () => {
	expect(renderTable([], columns, false)).toBe("NAME  COUNT  ID\n");
});

test("JSON is an array of the objects, without characters that a terminal obeys", async () => {
	const out = await printed({ format: "json" });
	expect(JSON.parse(out)).toEqual(rows);
	expect(out).not.toContain("\u202e");
	expect(out).not.toContain("\u001b");
});

test("YAML too", async () => {
	const out = await printed({ format: "yaml" });
	expect(parse(out)).toEqual(rows);
	expect(out).not.toContain("\u202e");
	expect(out).not.toContain("\u001b");
});

test("quiet is ids", async () => {
	expect(await printed({ format: "table", quiet: true })).toBe("1\n2\n3\n");
	expect(await printed({ format: "json", quiet: true })).toBe("1\n2\n3\n");
});

test("colours only when they are wanted", async () => {
	expect(await printed({ format: "table", color: true })).toContain("\u001b[1mNAME\u001b[0m");
	const states: Column<{ state: string }>[] = [{ header: "S", value: ({ state }) => state, state: true }];
	expect(renderTable([{ state: "running" }], states, true)).toContain("\u001b[32mrunning\u001b[0m");
	expect(renderTable([{ state: "\u001b[5mrunning" }], states, true)).not.toContain("\u001b[5m");
});

describe("text of others", () => {
	// biome-ignore lint/complexity/useRegexLiterals: the escapes stay readable
	const obeyed = new RegExp("[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069]");
	const hostile = fc.string({ unit: fc.integer({ min: 0, max: 0x206f }).map((code) => String.fromCharCode(code)) });

	test("no output form lets a character through that a terminal obeys, and none loses anything", () => {
		fc.assert(
			fc.property(hostile, (text) => {
				expect(visible(text)).not.toMatch(obeyed);
				expect(visible(text)).not.toContain("\n");
				expect(visibleLines(text)).not.toMatch(obeyed);
				expect(toJson({ [text]: text })).not.toMatch(obeyed);
				expect(JSON.parse(toJson({ [text]: text }))).toEqual({ [text]: text });
				const yaml = toYaml({ text });
				expect(yaml).not.toMatch(obeyed);
				expect(parse(yaml)).toEqual({ text });
			}),
			{ numRuns: 500 },
		);
	});

	test("half a surrogate pair does not break a table", () => {
		expect(visible("a\ud800b")).toBe("a\ufffdb");
	});

	test("text goes to a terminal harmless, and into a file as it is", async () => {
		const log = "boot\u001b]0;owned\u0007\r\nlogin: ";
		for (const [tty, raw, expected] of [
			[true, false, "boot\\e]0;owned\\u0007\nlogin: \n"],
			[true, true, log],
			[false, false, `${log}\n`],
		] as const) {
			const io = fakeIo({ tty });
			await createOutput(io.stdout, { format: "table", quiet: false, color: false }).text(log, { raw });
			expect(io.out).toBe(expected);
		}
	});
});

test("text is cut by columns, not by characters", () => {
	expect(fit("日本語日本語", 5)).toBe("日本…");
	expect(textWidth(fit("日本語日本語", 6))).toBeLessThanOrEqual(6);
	expect(fit("short", 10)).toBe("short");
});

test("relative times", () => {
	const now = Date.parse("2030-01-01T12:00:00Z");
	expect(relativeTime("2030-01-01T11:57:00Z", now)).toBe("3 min ago");
	expect(relativeTime("2030-01-01T12:00:00.400Z", now)).toBe("now");
	expect(relativeTime("2030-01-01T14:30:00Z", now)).toBe("in 2 h");
	expect(relativeTime("2029-12-29T11:00:00Z", now)).toBe("3 d ago");
	expect(relativeTime(null, now)).toBeNull();
});
