import { afterEach, beforeEach, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { flushSteadily } from "./steady-flush.ts";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-steady-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** How often this process has the file open. */
const handlesOf = (path: string): number =>
	readdirSync("/proc/self/fd").filter((fd) => {
		try {
			return readlinkSync(`/proc/self/fd/${fd}`) === path;
		} catch {
			return false;
		}
	}).length;

test("it looks for the file until it is there, lets go of it when it is made, and answers what whoever makes it says", async () => {
	const clock = new ManualClock();
	const path = join(folder, "new.db");
	const making = Promise.withResolvers<string>();
	const answer = flushSteadily(path, clock, making.promise);
	clock.advance(200);
	const handle = openSync(path, "w");
	writeSync(handle, "x".repeat(100_000));
	await waitUntil("it to have found the file", 5_000, () => {
		clock.advance(200);
		return handlesOf(path) === 2;
	});
	making.resolve("made");
	expect(await answer).toBe("made");
	expect(handlesOf(path)).toBe(1);
	closeSync(handle);
});

test("that it was not made is passed on, and no time is waited for", async () => {
	const making = Promise.reject(new Error("disk full"));
	await expect(flushSteadily(join(folder, "none"), new ManualClock(), making)).rejects.toThrow("disk full");
});
