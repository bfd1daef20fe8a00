/** What a failed test has left running is waited for, with a limit. */
import { expect, test } from "bun:test";
import { DriverCalls } from "./conformance-calls.ts";

class Slow {
	#answer = Promise.withResolvers<number>();
	readonly snapshots = { take: () => this.#answer.promise };
	work = () => this.#answer.promise;
	own(): Promise<number> {
		return this.#answer.promise;
	}
	end(): void {
		this.#answer.resolve(1);
	}
}

test("calls of the object and of its snapshots are waited for, however they end", async () => {
	const slow = new Slow();
	const calls = new DriverCalls();
	const watched = calls.watch(slow);
	const answers = [watched.work(), watched.own(), watched.snapshots.take().then(() => Promise.reject(new Error("no")))];
	const all = Promise.allSettled(answers);
	let hasEnded = false;
	const ended = calls.ended(60_000).then(() => {
		hasEnded = true;
	});
	await calls.ended(5);
	expect(hasEnded).toBe(false);
	watched.end();
	await ended;
	expect((await all).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
	await calls.ended(60_000);
});

test("what never ends is given up", async () => {
	const slow = new Slow();
	const calls = new DriverCalls();
	void calls.watch(slow).work();
	await calls.ended(10);
	slow.end();
});
