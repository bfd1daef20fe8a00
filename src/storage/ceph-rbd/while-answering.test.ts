/** A program that reads a file which does not answer is left behind. */
import { expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { whileAnswering } from "./while-answering.ts";

const silence = new AppError("timeout", "The file does not answer.");

test("work that ends is what counts, and nothing is looked at afterwards", async () => {
	let looks = 0;
	const look = async () => {
		looks += 1;
	};
	expect(await whileAnswering(systemClock, look, async () => "done")).toBe("done");
	const failure = new AppError("invalid", "no image");
	await expect(whileAnswering(systemClock, look, () => Promise.reject(failure))).rejects.toBe(failure);
	expect(looks).toBe(0);
});

test("work that hangs is given up when a look fails, and told so, for when it can end", async () => {
	const looked: string[] = [];
	const look = async () => {
		looked.push("look");
		if (looked.length === 3) throw silence;
	};
	let given: AbortSignal | null = null;
	const hangs = (signal: AbortSignal) => {
		given = signal;
		return new Promise<never>(() => {});
	};
	await expect(whileAnswering(systemClock, look, hangs, 1)).rejects.toBe(silence);
	expect(looked).toHaveLength(3);
	expect((given as AbortSignal | null)?.reason).toBe(silence);
});
