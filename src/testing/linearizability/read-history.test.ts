/** Both forms of a recorded history: what is read from them, what is refused and on which line. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { checkHistory } from "./check-history.ts";
import type { HistoryEvent } from "./event.ts";
import { formatEvent } from "./json-lines.ts";
import { parseHistory, readHistory } from "./read-history.ts";

const jepsen = join(import.meta.dir, "..", "..", "..", "..", "shared", "data", "jepsen-etcd");
const verdicts = join(jepsen, "verdicts.txt");
const lines = existsSync(verdicts) ? readFileSync(verdicts, "utf8").trim().split("\n") : [];

if (lines.length === 0) test.skip(`Jepsen's etcd histories (skipped: ${jepsen} is not on this machine)`, () => {});
else
	describe("Jepsen's etcd histories", () => {
		for (const line of lines)
			test(line, () => {
				const [file = "", verdict] = line.split(" ");
				const { linearizable } = checkHistory(readHistory(join(jepsen, file)));
				expect(linearizable ? "linearizable" : "not-linearizable").toBe(verdict ?? "");
			});
	});

const log = (...events: string[]): string => events.map((event) => `INFO  jepsen.util - ${event}\n`).join("");

test("a Jepsen log becomes operations", () => {
	const text = log(
		"0\t:invoke\t:write\t4",
		"1   :invoke :cas    [4 2]",
		":nemesis\t:info\t:start\tnil",
		"0\t:info\t:write\t:timed-out",
		"1   :fail   :cas    [4 2]",
		"2\t:invoke\t:read\tnil",
		"3\t:invoke\t:cas\t[nil 1]",
		"2\t:ok\t:read\tnil",
		"3\t:fail\t:cas\t:timed-out",
		"2\t:invoke\t:read\tnil",
		"2\t:fail\t:read\t:timed-out",
		"2\t:invoke\t:write\t-7",
	);
	expect(parseHistory(text)).toEqual([
		{ process: 0, key: "register", kind: "write", value: 4, invokedAt: 1, completedAt: null },
		{ process: 1, key: "register", kind: "cas", expected: 4, value: 2, swapped: false, invokedAt: 2, completedAt: 5 },
		{ process: 2, key: "register", kind: "read", value: null, invokedAt: 6, completedAt: 8 },
		{ process: 2, key: "register", kind: "write", value: -7, invokedAt: 12, completedAt: null },
	]);
});

test("events are written and read again", () => {
	const events: (HistoryEvent & { time: number; note?: string })[] = [
		{ process: "a", type: "invoke", operation: "write", key: "x", value: "one", time: 1 },
		{ process: 2, type: "invoke", operation: "read", key: "y", time: 1 },
		{ process: "a", type: "ok", operation: "write", key: "x", time: 2.5 },
		{ process: 2, type: "ok", operation: "read", key: "y", value: null, time: 3 },
		{ process: 2, type: "invoke", operation: "cas", key: "x", value: ["one", true], time: 4 },
		{ process: 2, type: "fail", operation: "cas", key: "x", mismatch: true, time: 5 },
		{ process: 2, type: "invoke", operation: "cas", key: "x", value: ["one", true], time: 5 },
		{ process: 2, type: "fail", operation: "cas", key: "x", value: ["one", true], time: 6 },
		{ process: 2, type: "invoke", operation: "cas", key: "x", value: ["one", 3], time: 7 },
		{ process: 2, type: "info", operation: "cas", key: "x", time: 5007, note: "timed out" },
		{ process: 2, type: "invoke", operation: "write", key: "x", value: null, time: 5008 },
	];
	expect(parseHistory(events.map(formatEvent).join("\n"))).toEqual([
		{ process: "a", key: "x", kind: "write", value: "one", invokedAt: 1, completedAt: 3 },
		{ process: 2, key: "y", kind: "read", value: null, invokedAt: 2, completedAt: 4 },
		{ process: 2, key: "x", kind: "cas", expected: "one", value: true, swapped: false, invokedAt: 5, completedAt: 6 },
		{ process: 2, key: "x", kind: "cas", expected: "one", value: 3, swapped: true, invokedAt: 9, completedAt: null },
		{ process: 2, key: "x", kind: "write", value: null, invokedAt: 11, completedAt: null },
	]);
});

const json = (event: Record<string, unknown>): string =>
	JSON.stringify({ process: 1, type: "invoke", operation: "read", key: "x", time: 1, ...event });
const write = json({ operation: "write", value: 1 });

const bad: [what: string, text: string, line: number, message: string][] = [
	["nothing", "", 1, "empty"],
	["blank lines only", "\n \n", 1, "empty"],
	["another form", "\nhello\n", 2, "neither"],
	[
		"a Jepsen line that is none",
		`${log("1\t:invoke\t:read\tnil")}INFO  jepsen.util - 1\t:done\t:read\t1\n`,
		2,
		"not a line",
	],
	["forms mixed", `${log("1\t:invoke\t:read\tnil")}${json({})}`, 2, "not a line of a Jepsen log"],
	["a Jepsen read without a result", log("1\t:invoke\t:read\tnil", "1\t:ok\t:read\t:timed-out"), 2, "needs a value"],
	["a Jepsen number too large", log("1\t:invoke\t:write\t99999999999999999"), 1, "too large"],
	["a Jepsen write of a pair", log("1\t:invoke\t:write\t[1 2]"), 1, "needs the value"],
	["cut off JSON", `${json({})}\n{"process":1,`, 2, "not JSON"],
	["no process", json({ process: undefined }), 1, "process must"],
	["an unknown type", json({ type: "done" }), 1, "type must be one of invoke, ok, fail, info"],
	["an unknown operation", json({ operation: "delete" }), 1, "operation must be one of"],
	["a misspelt field", json({ mismach: true }), 1, 'unknown field "mismach"'],
	["no time", json({ time: undefined }), 1, "time must be a number"],
	["time that runs backwards", `${json({})}\n${json({ process: 2, time: 0 })}`, 2, "runs backwards"],
	["a value that is an object", json({ operation: "write", value: {} }), 1, "a value must be"],
	["a number that is not exact", json({ operation: "write", value: 2 ** 60 }), 1, "too large"],
	["a write without its value", json({ operation: "write" }), 1, "needs the value"],
	["a cas of three", json({ operation: "cas", value: [1, 2, 3] }), 1, "[expected, new]"],
	["a read that knows its result", json({ value: 1 }), 1, "has no value"],
	["two at once by one process", `${json({})}\n${json({})}`, 2, "of line 1 pending"],
	["an end without a beginning", json({ type: "ok", value: 1 }), 1, "no operation pending"],
	["the end of another operation", `${write}\n${json({ type: "ok", value: 1 })}`, 2, "on line 1"],
	[
		"the end with another value",
		`${write}\n${json({ type: "ok", operation: "write", value: 2 })}`,
		2,
		"is not the 1 of line 1",
	],
	["a read that is ok with nothing", `${json({})}\n${json({ type: "ok" })}`, 2, "needs the value"],
	["a mismatch that is none", `${write}\n${json({ type: "fail", operation: "write", mismatch: true })}`, 2, "mismatch"],
];

describe("bad input names its line", () => {
	for (const [what, text, line, message] of bad)
		test(what, () => {
			const expected = { code: "malformed", message: expect.stringContaining(message) };
			expect(() => parseHistory(text)).toThrow(expect.objectContaining(expected));
			expect(() => parseHistory(text)).toThrow(`line ${line}: `);
		});
});
