import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../simulation/random.ts";
import { type CutReport, sectorBytes, VolatileDisk } from "./volatile-disk.ts";

const folder = mkdtempSync("/tmp/lqx-volatile-disk-");
const basePath = join(folder, "base");
const sizeBytes = 64 * 1024;
const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);
/** The first byte of each sector. */
const sectors = (disk: VolatileDisk): number[] =>
	[...disk.read(0, sizeBytes)].filter((_, at) => at % sectorBytes === 0);

beforeAll(() => writeFileSync(basePath, filled(sizeBytes, 1)));
afterAll(() => rmSync(folder, { recursive: true }));

/** A cut of a disk that `prepare` has written to, with the power on again, for each of many seeds. */
function cuts(prepare: (disk: VolatileDisk) => void, count = 200): { after: number[]; report: CutReport }[] {
	return Array.from({ length: count }, (_, seed) => {
		const disk = new VolatileDisk(basePath);
		prepare(disk);
		const report = disk.cut(new Random(seed));
		disk.powerOn();
		const after = sectors(disk);
		disk.close();
		return { after, report };
	});
}

test("what was written is read, across pages, before and after the flush", () => {
	const disk = new VolatileDisk(basePath);
	disk.write(3584, filled(1024, 7));
	expect([...disk.read(3072, 2048)].filter((_, at) => at % sectorBytes === 0)).toEqual([1, 7, 7, 1]);
	disk.flush();
	disk.write(4096, filled(512, 8));
	expect([...disk.read(3072, 2048)].filter((_, at) => at % sectorBytes === 0)).toEqual([1, 7, 8, 1]);
	disk.close();
});

test("what was flushed survives every cut", () => {
	const after = cuts((disk) => {
		disk.write(0, filled(8192, 2));
		disk.flush();
	});
	for (const cut of after) {
		expect(cut.after.slice(0, 17)).toEqual([...Array(16).fill(2), 1]);
		expect(cut.report.unflushed).toBe(0);
	}
});

test("of what was not flushed each sector is the old or one of the new, and all of it happens", () => {
	const seen = new Set<string>();
	const fates = new Set<string>();
	for (const { after, report } of cuts((disk) => {
		disk.write(0, filled(2048, 2));
		disk.write(1024, filled(1024, 3));
	})) {
		for (const value of after.slice(0, 2)) expect([1, 2]).toContain(value);
		for (const value of after.slice(2, 4)) expect([1, 2, 3]).toContain(value);
		expect(after.slice(4)).toEqual(Array(124).fill(1));
		expect(report.whole + report.torn + report.lost).toBe(report.unflushed);
		expect(report.unflushed).toBe(2);
		seen.add(after.slice(0, 4).join(""));
		fates.add(report.fate);
	}
	expect(fates).toEqual(new Set(["nothing", "some", "a beginning"]));
	// Nothing, everything, the second without the first, the first torn in the middle.
	for (const outcome of ["1111", "2233", "1133", "2111"]) expect(seen).toContain(outcome);
});

test("a beginning is the first writes and a part of the next, never a later one", () => {
	const after = cuts((disk) => {
		for (let at = 0; at < 16; at++) disk.write(at * 4096, filled(4096, 2));
	}).filter(({ report }) => report.fate === "a beginning");
	expect(after.length).toBeGreaterThan(20);
	for (const { report } of after) expect(report.torn).toBeLessThanOrEqual(1);
	for (const cut of after) {
		const pages = Array.from({ length: 16 }, (_, page) => cut.after.slice(page * 8, page * 8 + 8));
		const firstOld = pages.findIndex((page) => page.includes(1));
		for (const page of firstOld < 0 ? [] : pages.slice(firstOld + 1)) expect(page).not.toContain(2);
	}
});

test("a durable write survives, over an earlier one of the same place and under a later one", () => {
	for (const { after } of cuts((disk) => {
		disk.write(0, filled(1024, 2));
		disk.write(0, filled(512, 3), true);
		disk.write(512, filled(512, 4), true);
		disk.write(512, filled(512, 5));
	})) {
		expect(after[0]).toBe(3);
		expect([4, 5]).toContain(after[1] ?? 0);
	}
});

test("without power nothing can be read, written or flushed", () => {
	const disk = new VolatileDisk(basePath);
	disk.cut(new Random(1));
	for (const use of [() => disk.read(0, 512), () => disk.write(0, filled(512, 1)), () => disk.flush()])
		expect(use).toThrow("the disk has power");
	disk.close();
});

test("a fork has what is durable, and the two go their own ways", () => {
	const disk = new VolatileDisk(basePath);
	disk.write(0, filled(512, 2));
	disk.flush();
	disk.write(512, filled(512, 3));
	const fork = disk.fork();
	expect(sectors(fork).slice(0, 2)).toEqual([2, 1]);
	fork.write(0, filled(512, 9));
	fork.flush();
	expect(sectors(disk).slice(0, 2)).toEqual([2, 3]);
	disk.close();
	fork.close();
});

test("the same seed makes the same cut", () => {
	const prepare = (disk: VolatileDisk): void => {
		for (let at = 0; at < 8; at++) disk.write(at * 3072, filled(3072, at + 2));
	};
	expect(cuts(prepare, 20)).toEqual(cuts(prepare, 20));
});
