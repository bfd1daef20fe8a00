/** A log that is cut and written on: what was cut never comes back, in any crash; what is damaged is cut off and told. */
import { describe, expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { encodeConfiguration } from "../../raft/configuration.ts";
import type { Entry } from "../../raft/types.ts";
import { MemoryFiles } from "../../testing/memory-files.ts";
import { decodeSegmentHeader, encodeRecords, encodeSegmentHeader, recordHeaderBytes } from "./record.ts";
import type { Damage } from "./recovery.ts";
import { SegmentLog } from "./segment-log.ts";

const entry = (index: number, term: number, length = 40): Entry => ({
	index,
	term,
	kind: "command",
	data: new Uint8Array(length).fill((index * 7 + term * 31) % 251),
});
const entries = (from: number, to: number, term: number, length?: number): Entry[] =>
	Array.from({ length: to - from + 1 }, (_, position) => entry(from + position, term, length));

type Options = { knownIndex?: number; knownTerm?: number; segmentBytes?: number; members?: boolean; fresh?: boolean };

/** `members`: damage is cut off and told. `fresh`: there need not be a log yet. */
async function open(files: MemoryFiles, options: Options = {}) {
	const { knownIndex = 0, knownTerm, segmentBytes = 400, members, fresh } = options;
	const told: Damage[] = [];
	const log = await SegmentLog.open(
		{
			files,
			logger: silentLogger,
			onFatal: () => {},
			knownIndex,
			...(knownTerm === undefined ? {} : { knownTerm }),
			segmentBytes,
			...(members === true
				? {
						onDamage: async (damage: Damage) => {
							told.push(damage);
						},
					}
				: {}),
		},
		fresh === true ? 1 : null,
	);
	return Object.assign(log, { told });
}

async function readAll(log: SegmentLog, from = log.firstIndex): Promise<Entry[]> {
	const all: Entry[] = [];
	for (let index = from; index <= log.lastIndex; ) {
		const some = await log.read(index, 200);
		all.push(...some);
		index += some.length;
	}
	return all;
}

const terms = async (log: SegmentLog): Promise<string> =>
	(await readAll(log)).map(({ index, term }) => `${index}:${term}`).join(" ");

test("the bytes of a segment after a cut, and of an entry that is a configuration", () => {
	const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
	const header = { firstIndex: 7, generation: 3, anew: true, previousTerm: 5 };
	const bytes = encodeSegmentHeader(header);
	expect(hex(bytes)).toBe(
		`${"4c5158524c4f470a" + "02000000"}c03a7dd5${"0700000000000000" + "03000000" + "01000000" + "05000000" + "00000000"}`,
	);
	expect(decodeSegmentHeader(bytes)).toEqual(header);
	const { data } = encodeRecords([{ index: 7, term: 3, kind: "configuration", data: Buffer.from("hello") }], 6);
	expect(hex(data)).toBe(
		`05000000cd34a155${"0700000000000000" + "03000000" + "01000000" + "0600000000000000"}68656c6c6f`,
	);
});

describe("a cut", () => {
	test("ends the log where it says, in one segment and over several, and the log goes on from there", async () => {
		for (let at = 0; at <= 12; at++) {
			const files = new MemoryFiles();
			const log = await open(files, { fresh: true });
			for (const some of [entries(1, 3, 1), entries(4, 9, 1), entries(10, 12, 2)]) await log.append(some);
			await log.truncateAfter(at);
			expect([log.lastIndex, log.lastTerm]).toEqual([at, at === 0 ? 0 : at < 10 ? 1 : 2]);
			await log.append(entries(at + 1, at + 2, 3));
			const expected = [
				...entries(1, Math.min(at, 9), 1),
				...(at > 9 ? entries(10, at, 2) : []),
				...entries(at + 1, at + 2, 3),
			];
			expect(await readAll(log)).toEqual(expected);
			const again = await open(files);
			expect(await readAll(again)).toEqual(expected);
			expect(again.termRuns()).toEqual(log.termRuns());
			expect([again.firstIndex, again.lastIndex, again.lastTerm]).toEqual([1, at + 2, 3]);
		}
	});

	test("at the same place again and again leaves few files", async () => {
		const files = new MemoryFiles();
		const log = await open(files, { fresh: true });
		await log.append(entries(1, 5, 1));
		for (let term = 2; term < 30; term++) {
			await log.truncateAfter(5);
			await log.append(entries(6, 8, term));
		}
		expect((await files.list()).length).toBe(2);
		expect(await terms(await open(files))).toBe("1:1 2:1 3:1 4:1 5:1 6:29 7:29 8:29");
	});

	test("begins the log anew after a snapshot, also beyond its end", async () => {
		for (const index of [2, 5, 30]) {
			const files = new MemoryFiles();
			const log = await open(files, { fresh: true });
			await log.append(entries(1, 5, 1));
			await log.resetTo(index, 4);
			expect([log.firstIndex, log.lastIndex, log.lastTerm, log.termAt(index)]).toEqual([index + 1, index, 4, 4]);
			expect((await files.list()).length).toBe(1);
			const again = await open(files, { knownIndex: index, knownTerm: 4 });
			expect([again.lastIndex, again.lastTerm]).toEqual([index, 4]);
			await again.append(entries(index + 1, index + 2, 4));
			expect(await terms(await open(files, { knownIndex: index }))).toBe(`${index + 1}:4 ${index + 2}:4`);
		}
	});

	test("for which there is no space leaves the log as it was", async () => {
		const files = new MemoryFiles();
		const log = await open(files, { fresh: true });
		await log.append(entries(1, 5, 1));
		files.capacityBytes = files.usedBytes() + 10;
		await expect(log.truncateAfter(3)).rejects.toMatchObject({ code: "no-space" });
		expect(log.lastIndex).toBe(5);
		files.capacityBytes = Number.POSITIVE_INFINITY;
		await log.truncateAfter(3);
		await log.append(entries(4, 4, 2));
		expect(await terms(await open(files))).toBe("1:1 2:1 3:1 4:2");
	});

	test("is in force before the old segments go: no space for that is a failure, and not an answer", async () => {
		const cuts = [(log: SegmentLog) => log.resetTo(30, 4), (log: SegmentLog) => log.truncateAfter(0)];
		for (const cut of cuts) {
			const files = new MemoryFiles();
			const log = await open(files, { fresh: true });
			await log.append(entries(1, 5, 1));
			files.onOperation = (operation) => (operation === "remove" ? "no-space" : undefined);
			await expect(cut(log)).rejects.toMatchObject({ code: "storage" });
			files.onOperation = () => undefined;
			await expect(log.append([entry(log.lastIndex + 1, 9)])).rejects.toMatchObject({ code: "storage" });
			expect((await open(files)).lastIndex).toBe(log.lastIndex);
		}
	});
});

type Step =
	| { do: "append"; entries: Entry[] }
	| { do: "truncate"; after: number }
	| { do: "reset"; index: number; term: number }
	| { do: "compact"; index: number };

/** What the log may hold: `first`: its first index at least, and the terms of its entries up to the last one. */
type Model = { first: number; terms: string[] };
const key = ({ index, term }: Entry): string => `${index}:${term}`;

function after({ first, terms: before }: Model, step: Step): Model {
	const indexOf = (text: string): number => Number(text.split(":")[0]);
	switch (step.do) {
		case "append":
			return { first, terms: [...before, ...step.entries.map(key)] };
		case "truncate":
			return { first, terms: before.filter((text) => indexOf(text) <= step.after) };
		case "reset":
			return { first: step.index + 1, terms: [] };
		case "compact":
			return { first, terms: before };
	}
}

const script: Step[] = [
	{ do: "append", entries: entries(1, 4, 1) },
	{ do: "append", entries: entries(5, 5, 1, 300) },
	{ do: "append", entries: entries(6, 9, 2) },
	// The same sizes again: what is cut would fit in place.
	{ do: "truncate", after: 7 },
	{ do: "append", entries: entries(8, 8, 1 + 1) },
	{ do: "truncate", after: 2 },
	{ do: "append", entries: entries(3, 3, 3) },
	{ do: "append", entries: entries(4, 9, 3) },
	{ do: "compact", index: 5 },
	{ do: "truncate", after: 6 },
	{ do: "append", entries: entries(7, 8, 4, 90) },
	{ do: "append", entries: entries(9, 12, 4) },
	{ do: "truncate", after: 8 },
	{ do: "truncate", after: 7 },
	{ do: "append", entries: entries(8, 9, 5) },
	{ do: "reset", index: 8, term: 6 },
	{ do: "append", entries: entries(9, 12, 6) },
	{ do: "truncate", after: 8 },
	{ do: "append", entries: entries(9, 10, 7) },
	{ do: "reset", index: 40, term: 7 },
	{ do: "append", entries: entries(41, 43, 7) },
];

/** Runs the script until the process is gone: what was done, and the step under way. */
async function run(files: MemoryFiles): Promise<{ done: Model; under: Step | null; committed: number }> {
	let done: Model = { first: 1, terms: [] };
	let under: Step | null = null;
	let committed = 0;
	try {
		const log = await open(files, { fresh: true });
		for (const step of script) {
			under = step;
			if (step.do === "append") await log.append(step.entries);
			else if (step.do === "truncate") await log.truncateAfter(step.after);
			else if (step.do === "reset") await log.resetTo(step.index, step.term);
			else await log.cutBefore(step.index);
			done = after(done, step);
			under = null;
			if (step.do === "reset") committed = step.index;
			if (step.do === "compact") committed = step.index;
		}
	} catch (error) {
		if (!files.crashed) throw error;
	}
	return { done, under, committed };
}

test("a power cut at any operation leaves each cut whole or not begun, and no member takes it for damage", async () => {
	const dry = new MemoryFiles();
	await run(dry);
	expect(dry.operations).toBeGreaterThan(70);
	for (let at = 1; at <= dry.operations; at++)
		for (let seed = 0; seed < 12; seed++) {
			const files = new MemoryFiles();
			files.onOperation = (_, count) => (count === at ? "crash" : undefined);
			const { done, under, committed } = await run(files);
			const survived = files.afterCrash(randomNumbers(at * 100 + seed), seed === 0 ? "process-end" : "power-cut");
			// A snapshot that is being installed was made durable before.
			const known = under?.do === "reset" ? 0 : committed;
			const fresh = done.first === 1 && done.terms.length === 0 && (under === null || under === script[0]);
			const log = await open(survived, { members: true, knownIndex: seed % 2 === 0 ? 0 : known, fresh });
			const where = `operation ${at}, seed ${seed}, during ${JSON.stringify(under)}`;
			expect(log.told, where).toEqual([]);
			const left = await terms(log);
			const allowed = [done, ...(under === null ? [] : [after(done, under)])].map((model) => model.terms);
			if (under?.do === "append")
				for (let some = 1; some < under.entries.length; some++)
					allowed.push([...done.terms, ...under.entries.slice(0, some).map(key)]);
			// Compaction goes on by whole segments: any suffix that reaches the compacted index.
			const ends = allowed.some((whole) => {
				const text = whole.join(" ");
				return (
					text === left || (left !== "" && text.endsWith(` ${left}`) && log.firstIndex <= Math.max(committed, 5) + 1)
				);
			});
			expect(ends, `${where}: left ${left}`).toBe(true);
			// And it goes on: a cut and an append after the crash, and another start.
			if (log.lastIndex >= log.firstIndex) await log.truncateAfter(log.lastIndex - 1);
			await log.append([entry(log.lastIndex + 1, 9)]);
			const now = await terms(log);
			const again = await open(survived.afterCrash(randomNumbers(at + seed)), { members: true });
			expect([await terms(again), again.told]).toEqual([now, []]);
		}
}, 60_000);

describe("damage of a member's log", () => {
	const filled = async () => {
		const files = new MemoryFiles();
		const log = await open(files, { fresh: true });
		for (let index = 1; index <= 20; index++) await log.append([entry(index, index < 12 ? 1 : 2)]);
		return files;
	};
	const configuration = { voters: ["a", "b", "c"], witnesses: [], learners: [], removed: [] };

	test("is told and awaited, then cut off with what comes after it", async () => {
		const whole = (await filled()).afterCrash(() => 0, "process-end");
		const names = (await whole.list()).sort();
		expect(names.length).toBeGreaterThan(3);
		for (const name of names)
			for (let position = 3; position < whole.bytes(name).length; position += 11) {
				const files = whole.afterCrash(() => 0, "process-end");
				files.bytes(name)[position] = (files.bytes(name)[position] ?? 0) ^ 0x10;
				const before = await open(files).catch((error: AppError) => error.code);
				const log = await open(files, { members: true });
				const isTail = log.told.length === 0;
				// The length of the last record alone can make it look like one that was not finished.
				if (isTail) expect([before instanceof SegmentLog, log.lastIndex]).toEqual([true, 19]);
				else expect(log.found.damaged).toBe(log.told[0]?.found ?? "");
				const kept = log.lastIndex;
				expect(kept).toBeLessThan(20);
				await log.append([entry(kept + 1, 5)]);
				const again = await open(files, { members: true });
				expect([again.told, again.lastIndex, again.lastTerm]).toEqual([[], kept + 1, 5]);
			}
	});

	test("of what the state has seen makes the log begin anew after that", async () => {
		const files = await filled();
		const name = (await files.list()).sort()[1] ?? "";
		files.bytes(name)[60] = 0xee;
		const log = await open(files, { members: true, knownIndex: 15, knownTerm: 2 });
		expect([log.firstIndex, log.lastIndex, log.lastTerm, log.told.length]).toEqual([16, 15, 2, 1]);
		const again = await open(files, { members: true, knownIndex: 15, knownTerm: 2 });
		expect([again.lastIndex, again.told]).toEqual([15, []]);
	});

	test("is also a log that is missing, ends too early, or is of another history than the state", async () => {
		const other = { members: true, knownIndex: 20, knownTerm: 9 };
		for (const files of [new MemoryFiles(), await filled()]) {
			const log = await open(files, other);
			expect([log.lastIndex, log.lastTerm, log.told.length]).toEqual([20, 9, 1]);
		}
		const short = await open(await filled(), { members: true, knownIndex: 25, knownTerm: 2 });
		expect([short.lastIndex, short.told.length]).toEqual([25, 1]);
	});

	test("is not cut when it could not be told", async () => {
		const files = await filled();
		const name = (await files.list()).sort()[1] ?? "";
		files.bytes(name)[60] = 0xee;
		const names = await files.list();
		const refused = SegmentLog.open(
			{
				files,
				logger: silentLogger,
				onFatal: () => {},
				knownIndex: 0,
				onDamage: () => Promise.reject(new AppError("no-space", "full")),
			},
			null,
		);
		await expect(refused).rejects.toMatchObject({ code: "no-space" });
		expect(await files.list()).toEqual(names);
		expect((await open(files, { members: true })).told.length).toBe(1);
	});

	test("says which configurations come before it, and those in force are found again", async () => {
		const files = new MemoryFiles();
		const log = await open(files, { segmentBytes: 100_000, fresh: true });
		const change = (index: number): Entry => ({
			index,
			term: 1,
			kind: "configuration",
			data: encodeConfiguration(configuration),
		});
		await log.append([entry(1, 1), change(2)]);
		await log.append([entry(3, 1), change(4)]);
		await log.append([entry(5, 1)]);
		expect((await open(files)).found.configurations).toEqual([change(2), change(4)]);
		await log.truncateAfter(3);
		expect((await open(files)).found.configurations).toEqual([change(2)]);
		files.bytes("0000000000000001.log")[80 + recordHeaderBytes] = 0;
		const again = await open(files, { members: true });
		expect(again.told[0]?.configurations.length).toBe(again.lastIndex >= 2 ? 1 : 0);
	});
});

/** Numbers in [0, 1) that a seed gives again (mulberry32). */
function randomNumbers(seed: number): () => number {
	let state = seed;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}
