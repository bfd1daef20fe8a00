import { describe, expect, test } from "bun:test";
import { compareEventIds } from "./event-id.ts";
import { counted, formatRatio } from "./format.ts";
import { bestMatches, matchScore } from "./fuzzy.ts";
import { sha512Crypt } from "./sha512-crypt.ts";
import { sortedBy } from "./sort.ts";
import { SseParser } from "./sse.ts";
import { stripTerminalCodes } from "./terminal-text.ts";
import { elapsed, relativeTime } from "./time.ts";

describe("relativeTime", () => {
	const now = Date.parse("2026-03-10T12:00:00Z");
	const cases: [string, string][] = [
		["2026-03-10T11:59:40Z", "just now"],
		["2026-03-10T11:55:00Z", "5 min ago"],
		["2026-03-10T09:00:00Z", "3 h ago"],
		["2026-03-04T12:00:00Z", "6 d ago"],
		["2026-03-10T12:05:00Z", "in 5 min"],
		["2026-03-10T12:00:30Z", "in less than a minute"],
	];
	for (const [iso, text] of cases) test(`${iso} is ${text}`, () => expect(relativeTime(iso, now)).toBe(text));
	test("what is no time stays as it is", () => expect(relativeTime("never", now)).toBe("never"));
	test("elapsed until now and until an end", () => {
		expect(elapsed("2026-03-10T11:58:30Z", null, now)).toBe("1 min 30 s");
		expect(elapsed("2026-03-10T11:58:30Z", "2026-03-10T11:58:31Z", now)).toBe("1 s");
	});
});

test("formats", () => {
	expect(formatRatio(0.256)).toBe("26 %");
	expect(formatRatio(0.004)).toBe("0.4 %");
	expect(formatRatio(0)).toBe("0 %");
	expect(counted(1, "VM", "VMs")).toBe("1 VM");
	expect(counted(0, "VM", "VMs")).toBe("0 VMs");
});

describe("SseParser", () => {
	const parse = (chunks: string[]) => {
		const seen: string[] = [];
		const parser = new SseParser({
			onMessage: ({ id, event, data }) => seen.push(`${event}|${id}|${data}`),
			onId: (id) => seen.push(`id ${id}`),
			onComment: (text) => seen.push(`:${text}`),
		});
		for (const chunk of chunks) parser.feed(chunk);
		return seen;
	};
	const whole =
		': hello\n\nid: 3.0\n\nid: 3.1\nevent: change\ndata: {"a":1}\n\ndata: a\r\ndata: b\r\n\r\nevent: reset\ndata:\n\n';
	const expected = [":hello", "id 3.0", 'change|3.1|{"a":1}', "message|null|a\nb", "reset|null|"];
	test("a whole stream", () => expect(parse([whole])).toEqual(expected));
	test("byte by byte", () => expect(parse([...whole])).toEqual(expected));
	test("a block without its end is not reported", () => expect(parse(["id: 1.0\ndata: x\n"])).toEqual([]));
	test("a line without end is an error", () => {
		expect(() => parse(["data: ", "x".repeat(4 * 1024 * 1024 + 1)])).toThrow("too long");
	});
});

test("event ids compare as numbers", () => {
	expect(compareEventIds("9.1", "10.0")).toBeLessThan(0);
	expect(compareEventIds("10.2", "10.10")).toBeLessThan(0);
	expect(compareEventIds("10.2", "10.2")).toBe(0);
	expect(compareEventIds("junk", "0.0")).toBeLessThan(0);
});

test("fuzzy matching needs every word and prefers the start", () => {
	expect(matchScore("web 01", "web-01")).not.toBeNull();
	expect(matchScore("web 02", "web-01")).toBeNull();
	expect(bestMatches("db", ["web-db-1", "db-1", "mydb"], (text) => text, 2)).toEqual(["db-1", "web-db-1"]);
});

test("sorting is numeric within names and keeps empty values last", () => {
	const rows = ["web-10", null, "web-2", "Web-1"];
	expect(sortedBy(rows, (row) => row)).toEqual(["Web-1", "web-2", "web-10", null]);
	expect(sortedBy(rows, (row) => row, true)).toEqual(["web-10", "web-2", "Web-1", null]);
});

describe("sha512Crypt", () => {
	/** As glibc's crypt(3) gives them; the first two are examples of the paper. */
	const vectors: [string, string, number | undefined, string][] = [
		[
			"Hello world!",
			"saltstring",
			undefined,
			"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		],
		[
			"Hello world!",
			"saltstringsaltstring",
			10_000,
			"$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
		],
		[
			"é€",
			"Ab.9/zZ012345678",
			undefined,
			"$6$Ab.9/zZ012345678$rhf0lppLMxERM/hn2sO.GniMcsNjBq9kzHTOt9TvWLsRVq6tOSn5NN55eeUf87MO08vBM0qvZ3YfyTL7zzFYZ0",
		],
		[
			"x".repeat(64),
			"Ab.9/zZ012345678",
			undefined,
			"$6$Ab.9/zZ012345678$tBeKUMpZ4gOMcx5ouk5xJShvLBntub5y/lG5.4IgARtS8bmAPz/Z3wsr5VOvpydpQB6vOTiCw9lW6hfpTY6GH/",
		],
	];
	for (const [password, salt, rounds, hash] of vectors) {
		test(`${password.slice(0, 12)} with ${salt}`, async () =>
			expect(await sha512Crypt(password, salt, rounds)).toBe(hash));
	}
});

describe("stripTerminalCodes", () => {
	const cases: [string, string, string][] = [
		["colours and cursor moves", "\u001b[1;32mok\u001b[0m\u001b[2J done", "ok done"],
		["titles", "\u001b]0;title\u0007text", "text"],
		["a line that overwrites itself", "10%\r50%\r100%\r\nnext", "100%\nnext"],
		["bells and other controls", "a\u0007b\u0000c\td", "abc\td"],
		["plain text", "login: ", "login: "],
	];
	for (const [name, raw, plain] of cases) test(name, () => expect(stripTerminalCodes(raw)).toBe(plain));
});
