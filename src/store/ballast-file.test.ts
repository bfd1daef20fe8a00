/** The file that is given up, on a disk that has space: what it holds, and how it becomes shorter. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB } from "../lib/units.ts";
import { ballastFile } from "./ballast-file.ts";

let folder: string;
let path: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-ballast-"));
	path = join(folder, "ballast");
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (bytes: number) => writeFileSync(path, new Uint8Array(bytes).fill(1), { flush: true });
/** More than any disk has. */
const everything = 2 ** 50;

test("it is shortened step by step until nothing is left", () => {
	write(2.5 * MiB);
	const file = ballastFile(path, folder);
	expect(file.heldBytes()).toBe(2.5 * MiB);
	const sizes: number[] = [];
	while (file.shorten()) sizes.push(statSync(path).size / MiB);
	expect(sizes).toEqual([1.5, 0.5, 0]);
	expect([file.heldBytes(), file.shorten()]).toEqual([0, false]);
});

test("nothing is given up while there is space, and all of it for somebody who needs more than there is", () => {
	write(3 * MiB);
	const file = ballastFile(path, folder);
	file.makeFree(1);
	expect(file.heldBytes()).toBe(3 * MiB);
	file.makeFree(everything);
	expect(file.heldBytes()).toBe(0);
});

test("no more is given up than was asked for, even when it does not become free", () => {
	write(4 * MiB);
	const file = ballastFile(path, folder);
	file.makeFree(file.free().ownBytes + 1.5 * MiB);
	expect(statSync(path).size).toBeGreaterThanOrEqual(MiB);
});

test("a file that is only said to be long holds nothing", () => {
	write(0);
	truncateSync(path, 32 * MiB);
	expect(ballastFile(path, folder).heldBytes()).toBe(0);
});

test("none, and one on another file system, are of no use", () => {
	write(MiB);
	for (const [given, asked] of [
		[null, folder],
		[join(folder, "missing"), folder],
		[path, "/proc"],
	] as const) {
		const file = ballastFile(given, asked);
		expect([given, file.heldBytes(), file.shorten()]).toEqual([given, 0, false]);
	}
	expect(statSync(path).size).toBe(MiB);
});

test("root may use what a file system keeps for root, others may not", () => {
	const { ownBytes, othersBytes } = ballastFile(path, folder).free();
	expect(ownBytes).toBeGreaterThanOrEqual(othersBytes);
});
