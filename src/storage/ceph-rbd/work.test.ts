/** What is half done in a pool and cannot be tidied up: tried again less and less often, and not for ever. */
import { expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { newId } from "../conformance.ts";
import { temporaryPrefix } from "./names.ts";
import type { RbdImages } from "./rbd-images.ts";
import type { CephRunner } from "./runner.ts";
import { RbdWork } from "./work.ts";

const nodeId = newId();
const minuteMs = 60_000;

function world() {
	const clock = new ManualClock();
	const logged: string[] = [];
	const note = (message: string, fields?: Record<string, unknown>) => void logged.push(`${message}: ${fields?.what}`);
	const log: Logger = { debug: note, info: () => {}, warn: note, error: note, with: () => log };
	/** Names of what is there, each with what its removal fails with. */
	const images = new Map<string, AppError | null>();
	const removals: { name: string; minute: number }[] = [];
	const begunMs = clock.monotonicMs();
	const parts = {
		runner: { rados: async () => "", changeRados: async () => "", onRoomAgain: () => {} },
		images: {
			names: async () => [...images.keys()],
			async remove(name: string) {
				removals.push({ name, minute: (clock.monotonicMs() - begunMs) / minuteMs });
				const failure = images.get(name);
				if (failure) throw failure;
				images.delete(name);
			},
		},
	};
	const work = new RbdWork(parts.runner as unknown as CephRunner, parts.images as unknown as RbdImages, {
		...{ nodeId, random: systemRandom, clock, log },
	});
	/** Time goes on, in steps that what waits for answers can keep up with. */
	const pass = async (ms: number) => {
		for (let passed = 0; passed < ms; passed += 5000) {
			clock.advance(5000);
			for (let turn = 0; turn < 20; turn++) await Promise.resolve();
		}
	};
	return { clock, logged, images, removals, work, pass, runner: parts.runner };
}

const inUse = new AppError("in-use", "Somebody has it open.");
const name = (last: string) => `${temporaryPrefix(nodeId)}${last}`;

test("what can never go is tried ever less often, given up, and told once", async () => {
	const { clock, logged, images, removals, work, pass } = world();
	images.set(name("never"), inUse);
	await work.tidy();
	await pass(24 * 60 * minuteMs);
	const waits = removals.slice(1).map(({ minute }, index) => minute - (removals[index]?.minute ?? 0));
	expect(waits).toEqual([0.25, 0.5, 1, 2, 4, 8, 16, 32]);
	expect(logged).toHaveLength(1);
	expect(logged[0]).toContain(name("never"));
	expect(clock.waiting).toBe(0);

	// Something else that is left later has trials of its own, and the other one gets no more of them.
	images.set(name("later"), inUse);
	work.tidyLater();
	await pass(minuteMs / 2);
	images.set(name("later"), null);
	await pass(60 * minuteMs);
	expect([...images.keys()]).toEqual([name("never")]);
	expect(removals.filter((one) => one.name === name("never"))).toHaveLength(9);
	expect(clock.waiting).toBe(0);

	// Whoever opens the pool tries everything, and says nothing more of it.
	await work.tidy();
	await pass(60 * minuteMs);
	expect(removals.filter((one) => one.name === name("never"))).toHaveLength(10);
	expect(logged).toHaveLength(1);
});

test("a pool that does not answer is left alone after a while; one that has room again is tidied up anew", async () => {
	const { clock, logged, images, removals, work, pass, runner } = world();
	images.set(name("one"), new AppError("timeout", "No answer."));
	images.set(name("two"), null);
	work.tidyLater();
	await pass(24 * 60 * minuteMs);
	expect(removals).toHaveLength(9);
	expect(logged).toHaveLength(1);
	expect(clock.waiting).toBe(0);
	images.set(name("one"), null);
	runner.onRoomAgain();
	await pass(5000);
	expect(images.size).toBe(0);
	expect(clock.waiting).toBe(0);
});
