import { expect, test } from "bun:test";
import { ManualClock } from "../testing/manual-clock.ts";
import { AppError } from "./errors.ts";
import { HangingPaths } from "./hanging-paths.ts";
import type { startOrGiveUp } from "./run-or-give-up.ts";

/** Programs that nobody can end, until what they wait for answers. */
function stuckPrograms() {
	const there: (() => void)[] = [];
	let hangs = true;
	let started = 0;
	const start: typeof startOrGiveUp = (_clock, _program, args) => {
		started += 1;
		const asked = args.slice(args.indexOf("--") + 1);
		if (!hangs) {
			const stdout = asked.map((path) => `/real${path}\0`).join("");
			const result = Promise.resolve({ exitCode: 0, stdout, stderr: "" });
			return { result, ended: Promise.resolve(), lingers: () => false };
		}
		const { promise: ended, resolve } = Promise.withResolvers<void>();
		there.push(resolve);
		return { result: Promise.reject(new AppError("timeout", "It hangs.")), ended, lingers: () => true };
	};
	return {
		start,
		started: () => started,
		async answer() {
			hangs = false;
			for (const end of there.splice(0)) end();
			// Who waits for that is told in the next turn.
			await new Promise<void>((resolve) => setImmediate(resolve));
		},
	};
}

const months = 90 * 24 * 3600_000;
const rounds = 1000;

test("what hangs for months is asked by a few programs, and again as soon as they have ended", async () => {
	const clock = new ManualClock();
	const programs = stuckPrograms();
	const paths = new HangingPaths(clock, programs);
	for (let round = 0; round < rounds; round++) {
		expect(await paths.realPaths(["/a", "/b"])).toEqual([null, null]);
		clock.advance(months / rounds);
	}
	// Three for each, and three for both together.
	expect(programs.started()).toBe(9);
	await programs.answer();
	expect(await paths.realPaths(["/a", "/b"])).toEqual(["/real/a", "/real/b"]);
	expect(programs.started()).toBe(10);
});

test("files of one mount that hangs are one question", async () => {
	const clock = new ManualClock();
	const programs = stuckPrograms();
	const paths = new HangingPaths(clock, programs);
	for (let round = 0; round < rounds; round++) {
		expect(await paths.answers(`/mnt/file-${round}`, "/mnt")).toBe(false);
		clock.advance(months / rounds);
	}
	expect(programs.started()).toBe(3);
	await programs.answer();
	expect(await paths.answers("/mnt/file", "/mnt")).toBe(true);
});

test("however many paths hang, there is an end", async () => {
	const programs = stuckPrograms();
	const paths = new HangingPaths(new ManualClock(), programs);
	for (let count = 0; count < rounds; count++) expect(await paths.realPaths([`/path-${count}`])).toEqual([null]);
	expect(programs.started()).toBe(256);
});

test("where a path led is known while it does not answer", async () => {
	const clock = new ManualClock();
	const programs = stuckPrograms();
	await programs.answer();
	let hangs = false;
	const hung = stuckPrograms();
	const paths = new HangingPaths(clock, { start: (...args) => (hangs ? hung : programs).start(...args) });
	expect(await paths.realPaths(["/a"])).toEqual(["/real/a"]);
	hangs = true;
	expect(await paths.realPaths(["/a"])).toEqual([null]);
	expect(paths.lastKnown(["/a", "/b"])).toEqual(["/real/a", null]);
	expect(await paths.lastRealPaths(["/a"])).toEqual(["/real/a"]);
});
