/** The ballast is made and kept; what happens on a full disk is in ballast.lab.test.ts. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
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
	await ballast.stop();
	rmSync(folder, { recursive: true });
});

const heldBytes = () => {
	const found = statSync(path, { throwIfNoEntry: false });
	return found === undefined ? 0 : found.blocks * 512;
};
/** The time for a look, and until it is done. */
async function look(): Promise<void> {
	const before = said.length;
	clock.advance(10_000);
	const deadline = performance.now() + 10_000;
	while (said.length === before || heldBytes() < reserveBytes) {
		if (performance.now() > deadline) throw new Error(`${heldBytes()} bytes are held; said: ${said}`);
		await new Promise((resolve) => setImmediate(resolve));
	}
}

test("it is made after the start, for nobody else to read, and again after it was given up", async () => {
	ballast.start();
	expect(heldBytes()).toBe(0);
	await look();
	expect([statSync(path).size, statSync(path).mode & 0o777]).toEqual([reserveBytes, 0o600]);
	expect(said).toEqual(["what is kept of the disk for changes that make room is held"]);
	expect([ballast.makeRoom(), statSync(path).size]).toEqual([true, reserveBytes - MiB]);
});

test("a copy of it that holds nothing is made anew", async () => {
	writeFileSync(path, "");
	truncateSync(path, reserveBytes);
	expect(heldBytes()).toBe(0);
	ballast.start();
	await look();
	expect(heldBytes()).toBeGreaterThanOrEqual(reserveBytes);
});

test("once stopped, nothing is made any more", async () => {
	ballast.start();
	await ballast.stop();
	clock.advance(100_000);
	await ballast.stop();
	expect([heldBytes(), said]).toEqual([0, []]);
});

test("what is needed to go on gets as much of it as the log can do without", () => {
	writeFileSync(path, new Uint8Array(reserveBytes), { flush: true });
	expect([ballast.makeFree(1), ballast.makeFree(2 ** 50)]).toEqual([true, false]);
	expect(statSync(path).size).toBe(reserveBytes);
});

test("for what can wait there is room only beside it", () => {
	expect([ballast.fits(1), ballast.fits(2 ** 50)]).toEqual([true, false]);
});
