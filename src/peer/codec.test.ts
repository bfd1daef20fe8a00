import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AppError } from "../lib/errors.ts";
import { encodeConfiguration } from "../raft/configuration.ts";
import { isValidMessage, type Message } from "../raft/messages.ts";
import type { Configuration, Entry } from "../raft/types.ts";
import { decodeRaftMessage, encodeRaftMessage } from "./raft-codec.ts";
import { decodeSnapshotMessage, encodeSnapshotMessage, type SnapshotMessage } from "./snapshot-codec.ts";
import { decodeError, encodeError, hasAtMostFields } from "./wire.ts";

const configuration: Configuration = { voters: ["a", "b"], witnesses: ["b"], learners: ["c"], removed: ["d"] };
const header = { clusterId: "k", from: "a", to: "b", term: 7 };
const entries: Entry[] = [
	{ index: 3, term: 6, kind: "command", data: Uint8Array.of(1, 2, 3) },
	{ index: 4, term: 7, kind: "command", data: new Uint8Array(0) },
	{ index: 5, term: 7, kind: "configuration", data: encodeConfiguration(configuration) },
];
/** One of each kind; the bytes are what other versions of the program read, and do not change. */
const golden: Message[] = [
	{ ...header, type: "pre-vote", lastIndex: 5, lastTerm: 6 },
	{ ...header, type: "pre-vote-answer", granted: true },
	{ ...header, type: "vote", lastIndex: 5, lastTerm: 6, transfer: true },
	{ ...header, type: "vote-answer", granted: false },
	{ ...header, type: "append", previousIndex: 2, previousTerm: 6, entries, commit: 2 },
	{
		...header,
		type: "append-answer",
		accepted: false,
		index: 9,
		hintIndex: 4,
		hintTerm: 3,
		recoveries: 1,
		recovering: true,
	},
	{ ...header, type: "heartbeat", commit: 8, commitTerm: 2, recoveries: 3, round: 3, recovered: null },
	{
		...header,
		type: "heartbeat",
		commit: 8,
		commitTerm: 2,
		recoveries: 3,
		round: 3,
		recovered: { recoveries: 1, index: 8 },
	},
	{ ...header, type: "heartbeat-answer", round: 3, recoveries: 0, recovering: false },
	{ ...header, type: "campaign-now" },
	{ ...header, type: "read", request: 2 ** 52 },
	{ ...header, type: "read-answer", request: 1, index: null },
	{ ...header, type: "read-answer", request: 1, index: 0 },
	{ ...header, type: "removed", configurationIndex: 12 },
];

const meta = { index: 9, term: 3, configuration: { index: 4, configuration } };
const snapshotMessages: SnapshotMessage[] = [
	{ type: "offer", snapshot: "s", ...header, meta, sizeBytes: 12345, crc: 2 ** 32 - 1 },
	{ type: "want", snapshot: "s", offset: 0 },
	{ type: "chunk", snapshot: "s", offset: 2 ** 35, data: Uint8Array.of(9, 8), crc: 5 },
	{ type: "have", snapshot: "s", offset: 77 },
	{ type: "done", snapshot: "s", reason: "no-space" },
];

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("golden bytes", () => {
	test("raft", async () => {
		const lines = golden.map((message) => `${message.type} ${hex(encodeRaftMessage(message))}`);
		await compare("raft.golden.txt", lines);
	});
	test("snapshot", async () => {
		const lines = snapshotMessages.map((message) => `${message.type} ${hex(encodeSnapshotMessage(message))}`);
		await compare("snapshot.golden.txt", lines);
	});
});

async function compare(name: string, lines: string[]): Promise<void> {
	const path = `${import.meta.dir}/testdata/${name}`;
	const text = `${lines.join("\n")}\n`;
	if (process.env.UPDATE_GOLDEN) await Bun.write(path, text);
	expect(text).toBe(await Bun.file(path).text());
}

test("each message comes back as it was", () => {
	for (const message of golden) expect(decodeRaftMessage(encodeRaftMessage(message))).toEqual(message);
	for (const message of snapshotMessages)
		expect(decodeSnapshotMessage(encodeSnapshotMessage(message))).toEqual(message);
});

const index = fc.integer({ min: 0, max: 2 ** 52 });
const term = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const id = fc.string({ unit: "grapheme", maxLength: 64 });
const headers = { clusterId: id, from: id, to: id, term };
const message: fc.Arbitrary<Message> = fc.oneof(
	fc.record({ ...headers, type: fc.constant("pre-vote" as const), lastIndex: index, lastTerm: term }),
	fc.record({ ...headers, type: fc.constant("pre-vote-answer" as const), granted: fc.boolean() }),
	fc.record({
		...headers,
		type: fc.constant("vote" as const),
		lastIndex: index,
		lastTerm: term,
		transfer: fc.boolean(),
	}),
	fc.record({ ...headers, type: fc.constant("vote-answer" as const), granted: fc.boolean() }),
	fc.record({
		...headers,
		type: fc.constant("append" as const),
		previousIndex: index,
		previousTerm: term,
		commit: index,
		entries: fc.array(
			fc.record({
				index,
				term,
				kind: fc.constantFrom("command" as const, "configuration" as const),
				data: fc.uint8Array({ maxLength: 100 }),
			}),
		),
	}),
	fc.record({
		...headers,
		type: fc.constant("append-answer" as const),
		accepted: fc.boolean(),
		index,
		hintIndex: index,
		hintTerm: term,
		recoveries: term,
		recovering: fc.boolean(),
	}),
	fc.record({
		...headers,
		type: fc.constant("heartbeat" as const),
		commit: index,
		commitTerm: term,
		recoveries: term,
		round: index,
		recovered: fc.option(fc.record({ recoveries: term, index })),
	}),
	fc.record({
		...headers,
		type: fc.constant("heartbeat-answer" as const),
		round: index,
		recoveries: term,
		recovering: fc.boolean(),
	}),
	fc.record({ ...headers, type: fc.constant("campaign-now" as const) }),
	fc.record({ ...headers, type: fc.constant("read" as const), request: index }),
	fc.record({ ...headers, type: fc.constant("read-answer" as const), request: index, index: fc.option(index) }),
	fc.record({ ...headers, type: fc.constant("removed" as const), configurationIndex: index }),
);

test("any message survives the wire", () => {
	fc.assert(
		fc.property(message, (given) => {
			expect(decodeRaftMessage(encodeRaftMessage(given))).toEqual(given);
		}),
		{ numRuns: 500, seed: 1 },
	);
});

test("damaged bytes give a message or null, never an exception", () => {
	fc.assert(
		fc.property(message, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat(), (given, flips, cut) => {
			const bytes = encodeRaftMessage(given);
			for (const [at, value] of flips) bytes[at % bytes.length] = value;
			const read = decodeRaftMessage(bytes.subarray(0, bytes.length - (cut % 3)));
			if (read !== null) isValidMessage(read);
			decodeSnapshotMessage(bytes);
		}),
		{ numRuns: 1000, seed: 2 },
	);
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
			decodeRaftMessage(bytes);
			decodeSnapshotMessage(bytes);
		}),
		{ numRuns: 2000, seed: 3 },
	);
});

describe("refused at decoding", () => {
	const from = (text: string) => decodeRaftMessage(Uint8Array.from(Buffer.from(text, "hex")));
	const head = "0a016b1201611a016220"; // field 4, the term, follows
	test("a number that is no safe integer", () => {
		expect(from(`${head}ffffffffffffff0f920100`)).toMatchObject({
			type: "campaign-now",
			term: Number.MAX_SAFE_INTEGER,
		});
		expect(from(`${head}8080808080808010 920100`.replace(" ", ""))).toBeNull();
		expect(from(`${head}ffffffffffffffffff01920100`)).toBeNull();
	});
	test("no body, an unknown one, entries outside an append, an unknown kind of entry", () => {
		expect(from(`${head}07`)).toBeNull();
		expect(from(`${head}07ba0600`)).toBeNull();
		expect(from(`${head}072a020801920100`)).toBeNull();
		expect(from(`${head}072a0408011803720108`)).toBeNull();
	});
	test("a term as text, an id that is not UTF-8", () => {
		expect(from("0a016b220101920100")).toBeNull();
		expect(from("0a01ff920100")).toBeNull();
	});
	test("20 million empty entries, without making them", () => {
		const bytes = new Uint8Array(40 * 1024 * 1024);
		for (let at = 0; at < bytes.length; at += 2) bytes[at] = 0x2a;
		const before = performance.now();
		expect(decodeRaftMessage(bytes)).toBeNull();
		expect(performance.now() - before).toBeLessThan(1000);
	});
	test("groups, nested without end", () => {
		expect(decodeRaftMessage(new Uint8Array(100_000).fill(0x0b))).toBeNull();
	});
});

test("fields are counted as they lie there", () => {
	const bytes = Uint8Array.from(Buffer.from("0a016b10ffffffffffffffffff011d000000002100000000000000002a00", "hex"));
	expect(hasAtMostFields(bytes, 5)).toBe(true);
	expect(hasAtMostFields(bytes, 4)).toBe(false);
	expect(hasAtMostFields(bytes.subarray(0, -1), 5)).toBe(false);
	expect(hasAtMostFields(Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), 5)).toBe(false);
	expect(hasAtMostFields(new Uint8Array(0), 0)).toBe(true);
});

describe("errors", () => {
	test("cross with code, text, fields and delay, without what is private", () => {
		const error = new AppError("stale-etag", "Somebody was faster.", {
			fields: [{ path: "/name", message: "taken" }],
			retryAfterMs: 500,
			context: { secret: "x" },
			cause: new Error("private"),
		});
		const text = encodeError(error);
		expect(text).not.toContain("private");
		expect(text).not.toContain("secret");
		const read = decodeError(text);
		expect([read.code, read.message, read.fields, read.retryAfterMs]).toEqual([
			"stale-etag",
			"Somebody was faster.",
			[{ path: "/name", message: "taken" }],
			500,
		]);
	});
	test("of a change, cross with whether it may have happened", () => {
		for (const outcome of ["not-proposed", "lost", "unknown"])
			expect(decodeError(encodeError(new AppError("no-space", "Full.", { context: { outcome } }))).context).toEqual({
				outcome,
			});
		expect(decodeError('{"code":"no-space","message":"Full.","outcome":"else"}').context).toEqual({});
		expect(encodeError(new AppError("invalid", "No.", { context: { outcome: 7 } }))).not.toContain("outcome");
	});
	test("anything else is an internal error", () => {
		for (const text of ["", "null", "[]", "7", '{"code":"new-code","message":5,"fields":[1,null]}', "{"])
			expect(decodeError(text)).toMatchObject({ code: "internal", fields: [] });
	});
});
