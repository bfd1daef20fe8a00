/** Reads that wait for this copy: each ends, in time or with a reason. */
import { expect, test } from "bun:test";
import { ManualClock } from "../testing/manual-clock.ts";
import { IndexWaiters, readTimeoutMs } from "./index-waiters.ts";
import { maxPendingProposals } from "./limits.ts";

const outcome = (waiting: Promise<void>): Promise<string> =>
	waiting.then(
		() => "reached",
		(error: { code: string }) => error.code,
	);

test("each is let go when its index is reached, and not before", async () => {
	const waiters = new IndexWaiters(new ManualClock());
	const [first, second] = [outcome(waiters.wait(3)), outcome(waiters.wait(5))];
	waiters.reached(4);
	expect(await Promise.race([second, first])).toBe("reached");
	expect(await first).toBe("reached");
	waiters.reached(5);
	expect(await second).toBe("reached");
});

test("none waits for longer than the limit, and no timer stays", async () => {
	const clock = new ManualClock();
	const waiters = new IndexWaiters(clock);
	const early = outcome(waiters.wait(3));
	clock.advance(readTimeoutMs / 2);
	const late = outcome(waiters.wait(3));
	clock.advance(readTimeoutMs / 2);
	expect(await early).toBe("unavailable");
	expect(clock.waiting).toBe(1);
	clock.advance(readTimeoutMs);
	expect(await late).toBe("unavailable");
	expect(clock.waiting).toBe(0);
});

test("more than a number of them are refused at once", async () => {
	const waiters = new IndexWaiters(new ManualClock());
	const waiting = Array.from({ length: maxPendingProposals }, () => outcome(waiters.wait(1)));
	expect(await outcome(waiters.wait(1))).toBe("unavailable");
	waiters.reached(1);
	expect(new Set(await Promise.all(waiting))).toEqual(new Set(["reached"]));
});
