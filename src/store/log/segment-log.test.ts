/** The log on files that tear, lose and fill up: what was acknowledged stays, what is damaged is not used. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import type { Entry } from "../../raft/types.ts";
import { MemoryFiles } from "../../testing/memory-files.ts";
import { crc32c } from "./crc32c.ts";
import { readHardState, writeHardState } from "./hard-state.ts";
import { encodeRecords, encodeSegmentHeader, recordHeaderBytes, segmentHeaderBytes } from "./record.ts";
import { SegmentLog } from "./segment-log.ts";

const data = (index: number, length = 40): Uint8Array => new Uint8Array(length).fill(index % 251);
const entry = (index: number, length?: number): Entry => ({
	index,
	term: 1,
	kind: "command",
	data: data(index, length),
});
const entries = (from: number, to: number, length?: number): Entry[] =>
	Array.from({ length: to - from + 1 }, (_, position) => entry(from + position, length));

function open(
	files: MemoryFiles,
	options: { knownIndex?: number; segmentBytes?: number; onFatal?: (e: AppError) => void } = {},
) {
	const knownIndex = options.knownIndex ?? 0;
	return SegmentLog.open(
		{
			files,
			logger: silentLogger,
			onFatal: options.onFatal ?? (() => {}),
			knownIndex,
			...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
		},
		knownIndex === 0 ? 1 : null,
	);
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

const firstSegment = "0000000000000001.log";
const corrupt = expect.objectContaining({ code: "corrupt" });

test("CRC-32C has the published check values", () => {
	expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
	// RFC 3720, B.4.
	expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
	expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
	expect(crc32c(Uint8Array.from({ length: 32 }, (_, position) => position))).toBe(0x46dd794e);
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 100 }), (bytes, cut) => {
			expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(crc32c(bytes));
		}),
	);
});

test("the bytes on disk stay what released versions wrote", () => {
	const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
	const header = { firstIndex: 7, generation: 0, anew: false, previousTerm: null };
	expect(hex(encodeSegmentHeader(header))).toBe("4c5158524c4f470a" + "01000000" + "696448e0" + "0700000000000000");
	const { data: record } = encodeRecords([{ index: 7, term: 3, data: Buffer.from("hello") }], 6);
	const numbers = "0700000000000000" + "0300000000000000" + "0600000000000000";
	expect(hex(record)).toBe(`0500000092e8450a${numbers}68656c6c6f`);
});

describe("a log", () => {
	test("gives back what was appended, over segments, after opening it again", async () => {
		const files = new MemoryFiles();
		const log = await open(files, { segmentBytes: 300 });
		for (let index = 1; index <= 50; index += 5) await log.append(entries(index, index + 4));
		expect((await files.list()).length).toBeGreaterThan(5);
		expect(await readAll(log)).toEqual(entries(1, 50));
		await log.close();
		const again = await open(files, { segmentBytes: 300, knownIndex: 50 });
		expect([again.firstIndex, again.lastIndex, again.lastTerm]).toEqual([1, 50, 1]);
		await again.append(entries(51, 52));
		expect(await readAll(again, 30)).toEqual(entries(30, 52));
	});

	test("is cut by whole segments, and only below the index", async () => {
		const files = new MemoryFiles();
		const log = await open(files, { segmentBytes: 300 });
		for (let index = 1; index <= 40; index++) await log.append([entry(index)]);
		await log.cutBefore(21);
		expect(log.firstIndex).toBeLessThanOrEqual(21);
		expect(log.firstIndex).toBeGreaterThan(10);
		expect(await readAll(log, 21)).toEqual(entries(21, 40));
		const again = await open(files, { knownIndex: 40 });
		expect(again.firstIndex).toBe(log.firstIndex);
		await again.cutBefore(1000);
		expect(again.lastIndex).toBe(40);
	});

	test("refuses entries that do not continue it", async () => {
		const log = await open(new MemoryFiles());
		await expect(log.append([entry(2)])).rejects.toThrow("entry 2 follows 0");
	});

	test("keeps empty and large entries", async () => {
		const files = new MemoryFiles();
		const log = await open(files);
		const written = [entry(1, 0), entry(2, 3_000_000), entry(3, 0)];
		await log.append(written);
		expect(await readAll(await open(files))).toEqual(written);
	});
});

describe("a torn tail", () => {
	test("is cut off, at whatever byte it was torn", async () => {
		const files = new MemoryFiles();
		const log = await open(files);
		await log.append(entries(1, 3));
		const whole = files.bytes(firstSegment).slice();
		const start = whole.length - (recordHeaderBytes + 40);
		for (let cut = start; cut < whole.length; cut++) {
			const torn = files.afterCrash(() => 0, "process-end");
			await (await torn.open(firstSegment, "existing")).truncate(cut);
			const again = await open(torn, { knownIndex: 2 });
			expect(again.lastIndex).toBe(2);
			await again.append([entry(3, 10)]);
			expect(await readAll(await open(torn))).toEqual([...entries(1, 2), entry(3, 10)]);
		}
	});

	test("of a commit whose parts reached the disk in another order is no corruption", async () => {
		const files = new MemoryFiles();
		const log = await open(files);
		await log.append(entries(1, 2));
		await log.append(entries(3, 6));
		const bytes = files.bytes(firstSegment);
		bytes.fill(0, bytes.length - 3 * (recordHeaderBytes + 40), bytes.length - 2 * (recordHeaderBytes + 40));
		const again = await open(files, { knownIndex: 2 });
		expect(again.lastIndex).toBe(3);
	});

	test("a segment that was being made is made again", async () => {
		for (const size of [0, 5, segmentHeaderBytes]) {
			const files = new MemoryFiles();
			const log = await open(files, { segmentBytes: 100 });
			await log.append(entries(1, 3));
			const unfinished = await files.open("0000000000000004.log", "create");
			await unfinished.append(new Uint8Array(size));
			const again = await open(files, { segmentBytes: 100, knownIndex: 3 });
			await again.append([entry(4)]);
			expect(await readAll(again)).toEqual(entries(1, 4));
		}
	});
});

describe("corruption", () => {
	const filled = async (segmentBytes?: number) => {
		const files = new MemoryFiles();
		const log = await open(files, segmentBytes === undefined ? {} : { segmentBytes });
		for (let index = 1; index <= 10; index++) await log.append([entry(index)]);
		return files;
	};

	test("any flipped bit before the last record is found, and nothing is changed", async () => {
		const files = await filled();
		const length = files.bytes(firstSegment).length;
		const lastRecord = length - (recordHeaderBytes + 40);
		for (let position = 0; position < lastRecord; position++) {
			const bytes = files.bytes(firstSegment);
			const before = bytes[position] ?? 0;
			bytes[position] = before ^ (1 << (position % 8));
			await expect(open(files)).rejects.toMatchObject({ code: "corrupt" });
			expect(files.bytes(firstSegment).length).toBe(length);
			bytes[position] = before;
		}
		expect((await open(files)).lastIndex).toBe(10);
	});

	test("of the last record is found when the state has seen it", async () => {
		const files = await filled();
		const bytes = files.bytes(firstSegment);
		bytes[bytes.length - 1] = 0;
		await expect(open(files, { knownIndex: 10 })).rejects.toThrow(corrupt);
		expect((await open(files, { knownIndex: 9 })).lastIndex).toBe(9);
	});

	test("of an earlier segment is never a torn tail", async () => {
		const files = await filled(300);
		const bytes = files.bytes(firstSegment);
		bytes[bytes.length - 1] = 0;
		await expect(open(files)).rejects.toThrow(corrupt);
	});

	test("a missing segment, a missing log and a log that ends too early are found", async () => {
		const files = await filled(300);
		const names = (await files.list()).sort();
		const second = names[1] ?? "";
		const without = files.afterCrash(() => 0, "process-end");
		await without.remove(second);
		await expect(open(without)).rejects.toThrow(corrupt);
		await expect(open(new MemoryFiles(), { knownIndex: 1 })).rejects.toThrow(corrupt);
		await expect(open(files, { knownIndex: 11 })).rejects.toThrow(corrupt);
	});

	test("the message says that nothing was changed and what to do", async () => {
		const files = await filled();
		files.bytes(firstSegment)[100] = 0xff;
		const message = await open(files).catch((error: Error) => error.message);
		expect(message).toContain("Nothing was changed");
		expect(message).toContain("limiquantix cluster restore FILE");
	});

	test("a newer format is not taken for damage", async () => {
		const files = await filled();
		const bytes = files.bytes(firstSegment);
		bytes[8] = 3;
		await expect(open(files)).rejects.toThrow(corrupt);
		const crc = crc32c(bytes.subarray(16, segmentHeaderBytes), crc32c(bytes.subarray(8, 12)));
		new DataView(bytes.buffer).setUint32(12, crc, true);
		await expect(open(files)).rejects.toMatchObject({ code: "unsupported" });
	});
});

describe("a full disk", () => {
	test("is an answer: the log stays as it was and goes on when there is space", async () => {
		const files = new MemoryFiles();
		const log = await open(files, { segmentBytes: 400 });
		let fatal = 0;
		await log.append(entries(1, 3));
		const used = files.usedBytes();
		for (const space of [0, 1, 40, 100]) {
			files.capacityBytes = used + space;
			await expect(log.append(entries(4, 6))).rejects.toMatchObject({ code: "no-space" });
			expect([log.lastIndex, files.usedBytes()]).toEqual([3, used]);
		}
		files.capacityBytes = Number.POSITIVE_INFINITY;
		await log.append(entries(4, 6));
		expect(await readAll(await open(files, { onFatal: () => fatal++ }))).toEqual(entries(1, 6));
		expect(fatal).toBe(0);
	});

	test("also while a segment begins", async () => {
		const files = new MemoryFiles();
		const log = await open(files, { segmentBytes: 100 });
		await log.append(entries(1, 3));
		for (const space of [0, 10, segmentHeaderBytes]) {
			files.capacityBytes = files.usedBytes() + space;
			await expect(log.append([entry(4)])).rejects.toMatchObject({ code: "no-space" });
		}
		files.capacityBytes = Number.POSITIVE_INFINITY;
		await log.append([entry(4)]);
		expect(await readAll(await open(files))).toEqual(entries(1, 4));
	});
});

describe("a failing disk", () => {
	for (const operation of ["append", "sync"] as const)
		test(`an error of ${operation} is fatal: nothing is acknowledged any more`, async () => {
			const files = new MemoryFiles();
			const fatal: AppError[] = [];
			const log = await open(files, { onFatal: (error) => fatal.push(error) });
			await log.append([entry(1)]);
			files.onOperation = (current) => (current === operation ? "io-error" : undefined);
			await expect(log.append([entry(2)])).rejects.toMatchObject({ code: "storage" });
			files.onOperation = () => undefined;
			await expect(log.append([entry(2)])).rejects.toMatchObject({ code: "storage" });
			expect(fatal).toHaveLength(1);
		});
});

/** Runs appends and cuts until the process is gone; says what was acknowledged. */
async function workload(
	files: MemoryFiles,
	batches: readonly number[],
): Promise<{ acknowledged: number; cut: number }> {
	let acknowledged = 0;
	let cut = 0;
	try {
		await writeHardState(files, { term: 1, vote: null });
		const log = await open(files, { segmentBytes: 2_000 });
		for (const [number, size] of batches.entries()) {
			await log.append(entries(acknowledged + 1, acknowledged + size, 20 + ((number * 137) % 900)));
			acknowledged += size;
			if (number % 5 === 4) {
				await log.cutBefore(Math.floor(acknowledged / 2));
				cut = Math.floor(acknowledged / 2);
			}
		}
	} catch (error) {
		if (!files.crashed) throw error;
	}
	return { acknowledged, cut };
}

test("a power cut at any operation loses nothing that was acknowledged, and the log opens", async () => {
	const batches = [1, 3, 2, 8, 1, 1, 5, 2, 4, 1, 9, 1, 2];
	const dry = new MemoryFiles();
	await workload(dry, batches);
	expect(dry.operations).toBeGreaterThan(40);
	for (let at = 1; at <= dry.operations; at++)
		for (let seed = 0; seed < 25; seed++) {
			const files = new MemoryFiles();
			files.onOperation = (_, count) => (count === at ? "crash" : undefined);
			const { acknowledged, cut } = await workload(files, batches);
			const survived = files.afterCrash(randomNumbers(at * 1000 + seed), seed === 0 ? "process-end" : "power-cut");
			const hardState = await readHardState(survived);
			if (acknowledged > 0) expect(hardState).toEqual({ term: 1, vote: null, recoveries: 0, recovering: false });
			// What the state knows is anything up to what was acknowledged.
			const knownIndex = seed % 2 === 0 ? acknowledged : 0;
			const log = await open(survived, { knownIndex, segmentBytes: 2_000 });
			expect(log.lastIndex).toBeGreaterThanOrEqual(acknowledged);
			expect(log.firstIndex).toBeLessThanOrEqual(cut + 1);
			for (const read of await readAll(log)) expect(read.data.every((byte) => byte === read.index % 251)).toBe(true);
			await log.append([entry(log.lastIndex + 1)]);
		}
}, 60_000);

describe("the hard state", () => {
	test("comes back, and damage is found", async () => {
		const files = new MemoryFiles();
		expect(await readHardState(files)).toBeNull();
		await writeHardState(files, { term: 7, vote: "node", recoveries: 2, recovering: true });
		const kept = { term: 8, vote: null, recoveries: 0, recovering: false };
		await writeHardState(files, { term: 8, vote: null });
		expect(await readHardState(files)).toEqual(kept);
		const bytes = files.bytes("hard-state");
		for (let position = 0; position < bytes.length; position++) {
			const before = bytes[position] ?? 0;
			bytes[position] = before ^ 1;
			await expect(readHardState(files)).rejects.toThrow(corrupt);
			bytes[position] = before;
		}
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
