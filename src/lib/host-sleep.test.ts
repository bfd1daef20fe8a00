/** A host that slept is told from one whose clock was set. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../testing/manual-clock.ts";
import { sleptMs } from "./host-sleep.ts";

const folder = mkdtempSync(join(tmpdir(), "lqx-proc-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("what the uptime has gone on by, and the monotonic clock has not", () => {
	const clock = new ManualClock();
	const at = (uptime: string) => {
		writeFileSync(join(folder, "uptime"), uptime);
		return sleptMs(clock, folder);
	};
	const before = at("90270.78 68323.72\n");
	clock.advance(5_000);
	clock.jump(3_600_000);
	expect(at("90275.78 68323.72\n") - before).toBeCloseTo(0);
	clock.advance(1_000);
	expect(at("90336.78 68323.72\n") - before).toBeCloseTo(60_000);
});

test("this host has not slept just now; one that does not say it never has", () => {
	expect(Math.abs(sleptMs() - sleptMs())).toBeLessThan(100);
	expect(sleptMs(undefined, join(folder, "none"))).toBe(0);
});
