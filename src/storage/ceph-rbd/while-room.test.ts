/** Work in a pool that gets full is ended when it stands still, and only then. */
import { expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import type { LongOptions } from "../driver.ts";
import { whileRoom } from "./while-room.ts";

const always = async () => true;

/** As a program that ends by its signal. */
const hangs = ({ signal }: LongOptions) =>
	new Promise<never>((_, reject) => {
		signal?.addEventListener("abort", () => reject(new Error("ended")));
	});

test("what stands still in a full pool is ended, and has found no room", async () => {
	const work = whileRoom(systemClock, always, {}, hangs, 1);
	await expect(work).rejects.toMatchObject({ code: "no-space" });
});

test("what goes on is left alone, though the pool is full by now, and so is what stands still while there is room", async () => {
	let looks = 0;
	const { promise: looked, resolve } = Promise.withResolvers<void>();
	const hasRoom = async () => {
		if (++looks === 5) resolve();
		if (looks === 2) throw new Error("no answer");
		return looks % 2 === 1;
	};
	expect(await whileRoom(systemClock, hasRoom, {}, () => looked.then(() => "done"), 1)).toBe("done");

	const told: (number | null)[] = [];
	const options = { progress: (ratio: number | null) => void told.push(ratio) };
	const moves = async ({ progress, signal }: LongOptions) => {
		const begun = performance.now();
		for (let part = 0; performance.now() - begun < 100; part++) {
			progress?.(part / 1000);
			await new Promise((goOn) => setImmediate(goOn));
		}
		return signal?.aborted;
	};
	expect(await whileRoom(systemClock, always, options, moves, 20)).toBe(false);
	expect(told.length).toBeGreaterThan(1);
});

test("a failure and a cancellation stay what they are", async () => {
	const failure = new Error("damaged");
	await expect(whileRoom(systemClock, always, {}, () => Promise.reject(failure), 1)).rejects.toBe(failure);
	const canceled = whileRoom(systemClock, always, { signal: AbortSignal.timeout(1) }, hangs, 60_000);
	await expect(canceled).rejects.toThrow("ended");
});
