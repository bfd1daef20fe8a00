/** The ballast is made and kept; what happens on a full disk is in ballast.lab.test.ts. */
import { afterEach, beforeEach, expect, mock, spyOn, test } from "bun:test";
import fs, { linkSync, mkdtempSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../lib/log.ts";
import { MiB } from "../lib/units.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { Ballast } from "./ballast.ts";

const reserveBytes = 3 * MiB;
let folder: string;
let path: string;
let clock: ManualClock;
let said: string[];
let ballast: Ballast;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-ballast-"));
	path = join(folder, "ballast");
	clock = new ManualClock();
	said = [];
	const note = (message: string) => void said.push(message);
	ballast = new Ballast({ path, reserveBytes, clock, logger: { ...silentLogger, info: note, warn: note } });
});
afterEach(async () => {
	mock.restore();
	await ballast.stop();
	rmSync(folder, { recursive: true });
});

const heldBytes = () => {
	const found = statSync(path, { throwIfNoEntry: false });
	return found === undefined ? 0 : found.blocks * 512;
};
/** The time for a look, and until there is something new about it. */
async function look(isThere: () => boolean, ms = 10_000): Promise<void> {
	clock.advance(ms);
	const deadline = performance.now() + 4_000;
	while (!isThere()) {
		if (performance.now() > deadline) throw new Error(`${heldBytes()} bytes are held; said: ${said}`);
		await new Promise((resolve) => setImmediate(resolve));
	}
}
/** It was looked, and the next look waits for its time. */
const isDone = () => clock.waiting === 1;
const isMade = () => isDone() && heldBytes() > reserveBytes - MiB;
/** Of the disk, to whoever asks. */
const free = (bytes: number) =>
	spyOn(fs, "statfsSync").mockReturnValue({ type: 0, bsize: 1, bavail: bytes, bfree: bytes } as never);
const held = "what is kept of the disk for changes that make room is held";
const write = (bytes: number) => writeFileSync(path, new Uint8Array(bytes).fill(1), { flush: true });

test("it is made after the start, for nobody else to read, and again after it was given up", async () => {
	ballast.start();
	expect(heldBytes()).toBe(0);
	await look(isMade);
	expect([statSync(path).size, statSync(path).mode & 0o777]).toEqual([reserveBytes, 0o600]);
	expect(said).toEqual([held]);
	expect([await ballast.makeRoom(), statSync(path).size]).toEqual([true, reserveBytes - MiB]);
	await look(isMade);
});

test("whatever is left of one that was being made, or of a copy, the next start makes it whole", async () => {
	const left: [string, () => void][] = [
		["an empty file", () => write(0)],
		["a part of it", () => write(1.5 * MiB)],
		["a part of it, as long as all of it", () => [write(MiB), truncateSync(path, reserveBytes)]],
		["nothing, as long as all of it", () => [write(0), truncateSync(path, reserveBytes)]],
	];
	for (const [what, leave] of left) {
		leave();
		const next = new Ballast({ path, reserveBytes, clock, logger: silentLogger });
		next.start();
		await look(isMade);
		await next.stop();
		expect({ what, isHollow: statSync(path).size - heldBytes() >= MiB }).toEqual({ what, isHollow: false });
		rmSync(path);
	}
});

test("one that is deleted is made anew, also when that happens while it is made or shortened", async () => {
	ballast.start();
	await look(isMade);
	rmSync(path);
	expect(await ballast.makeRoom()).toBe(false);
	await look(isMade);
	rmSync(path);
	clock.advance(10_000);
	rmSync(path);
	await look(isDone, 0);
	expect([heldBytes(), said]).toEqual([0, [held]]);
	await look(isMade);
});

test("what is in its place and is something else is left alone, and that is said", async () => {
	const others = join(folder, "disk-of-a-vm");
	writeFileSync(others, "a disk");
	ballast.start();
	for (const make of [() => symlinkSync(others, path), () => linkSync(others, path)]) {
		make();
		await look(isDone, 600_000);
		expect(said.splice(0)).toEqual(["the ballast cannot be made; it is tried again"]);
		expect([statSync(others).size, await ballast.makeRoom()]).toEqual([6, false]);
		rmSync(path);
	}
	symlinkSync(join(folder, "missing"), path);
	await look(isDone, 600_000);
	expect([fs.existsSync(join(folder, "missing")), said.length]).toEqual([false, 1]);
});

test("a file system that keeps nothing for a file is told of once, and left alone for long", async () => {
	const { lstatSync } = fs;
	spyOn(fs, "lstatSync").mockImplementation(((name: string) =>
		Object.assign(lstatSync(name) as object, { blocks: 0 })) as never);
	ballast.start();
	await look(() => said.length > 0);
	const hollow = "the file system keeps no space for a file: nothing is held for changes that make room";
	await look(isDone, 0);
	const made = statSync(path).ino;
	clock.advance(599_000);
	await look(isDone, 0);
	expect([said, statSync(path).ino]).toEqual([[hollow], made]);
	await look(isDone, 1_000);
	expect(said).toEqual([hollow]);
	mock.restore();
	await look(isMade, 600_000);
	expect(said).toEqual([hollow, held]);
});

test("once stopped, nothing is made any more", async () => {
	ballast.start();
	await ballast.stop();
	clock.advance(100_000);
	await ballast.stop();
	expect([heldBytes(), said]).toEqual([0, []]);
});

test("what is needed to go on gets as much of it as the log can do without", async () => {
	write(reserveBytes);
	expect([await ballast.takeRoom(1), await ballast.takeRoom(2 ** 50)]).toEqual([true, false]);
	expect(statSync(path).size).toBe(reserveBytes);
	// Whatever is given up does not become free here: no more than was missing, and never the last quarter.
	free(MiB);
	expect([await ballast.takeRoom(2 * MiB), statSync(path).size / MiB]).toEqual([false, 2]);
	expect([await ballast.takeRoom(4 * MiB), statSync(path).size / MiB]).toEqual([false, 2]);
	// A step more would be of that quarter: nothing is given up in vain.
	expect([await ballast.takeRoom(2.1 * MiB), statSync(path).size / MiB]).toEqual([false, 2]);
});

test("what was lent to it is not taken back for the ballast before it is done", async () => {
	write(2 * MiB);
	free(20 * MiB);
	expect(await ballast.takeRoom(18 * MiB)).toBe(true);
	ballast.start();
	await look(isDone);
	expect(statSync(path).size).toBe(2 * MiB);
	// Where there is more than that, it is made nevertheless.
	free(22 * MiB);
	await look(isMade);
	expect([await ballast.makeRoom(), statSync(path).size]).toEqual([true, 2 * MiB]);
	free(20 * MiB);
	await look(isDone);
	expect(statSync(path).size).toBe(2 * MiB);
	ballast.giveRoomBack();
	await look(isMade);
});

test("what was refused is lent nothing", async () => {
	expect(await ballast.takeRoom(2 ** 50)).toBe(false);
	ballast.start();
	await look(isMade);
});

test("upkeep leaves the last quarter; what is committed gets that, too", async () => {
	write(reserveBytes);
	const sizes: number[] = [];
	const note = () => sizes.push(statSync(path).size / MiB);
	while (await ballast.makeRoomForUpkeep()) note();
	while (await ballast.makeRoom()) note();
	expect(sizes).toEqual([2, 1, 0]);
	expect([await ballast.makeRoomForUpkeep(), await ballast.makeRoom()]).toEqual([false, false]);
	write(reserveBytes);
	let upkeep = 0;
	while (await ballast.makeRoomForUpkeep()) upkeep += 1;
	expect([upkeep, statSync(path).size]).toEqual([2, MiB]);
});

test("for what can wait there is room only beside it", () => {
	expect([ballast.fits(1), ballast.fits(2 ** 50)]).toEqual([true, false]);
});
