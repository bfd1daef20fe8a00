import { expect, test } from "bun:test";
import { Backoff } from "./backoff.ts";
import { SendQueue } from "./send-queue.ts";

const bytes = (size: number, mark = 0): Uint8Array => new Uint8Array(size).fill(mark);
const drain = (queue: SendQueue, nowMs = 0): number[] => {
	const marks: number[] = [];
	for (let next = queue.shift(nowMs); next !== null; next = queue.shift(nowMs)) marks.push(next[0] ?? -1);
	return marks;
};

test("what is not an append goes first; each lane keeps its order", () => {
	const queue = new SendQueue({ maxMessages: 10, maxBytes: 1000, maxAgeMs: 100 });
	queue.push("append", bytes(1, 1), 0);
	queue.push("control", bytes(1, 2), 0);
	queue.push("append", bytes(1, 3), 0);
	queue.push("control", bytes(1, 4), 0);
	expect([queue.length, queue.bytes]).toEqual([4, 4]);
	expect(drain(queue)).toEqual([2, 4, 1, 3]);
	expect([queue.length, queue.bytes]).toEqual([0, 0]);
});

test("when it is full the newest append is dropped, also to make room for the rest", () => {
	const queue = new SendQueue({ maxMessages: 3, maxBytes: 1000, maxAgeMs: 100 });
	for (const mark of [1, 2, 3, 4]) queue.push("append", bytes(1, mark), 0);
	expect(queue.dropped).toEqual({ appends: 1, control: 0, stale: 0 });
	queue.push("control", bytes(1, 9), 0);
	expect(queue.dropped.appends).toBe(2);
	expect(drain(queue)).toEqual([9, 1, 2]);
	for (const mark of [1, 2, 3, 4]) queue.push("control", bytes(1, mark), 0);
	expect(queue.dropped.control).toBe(1);
	expect(drain(queue)).toEqual([2, 3, 4]);
});

test("bytes are bounded, but one message always fits", () => {
	const queue = new SendQueue({ maxMessages: 100, maxBytes: 100, maxAgeMs: 100 });
	queue.push("append", bytes(5000, 1), 0);
	queue.push("append", bytes(1, 2), 0);
	expect([queue.length, queue.dropped.appends]).toEqual([1, 1]);
	queue.push("control", bytes(10, 3), 0);
	expect([queue.length, queue.bytes, queue.dropped.appends]).toEqual([1, 10, 2]);
	queue.push("append", bytes(90, 4), 0);
	queue.push("append", bytes(1, 5), 0);
	expect(drain(queue)).toEqual([3, 4]);
});

test("what waited too long is not sent", () => {
	const queue = new SendQueue({ maxMessages: 10, maxBytes: 1000, maxAgeMs: 100 });
	queue.push("control", bytes(1, 1), 0);
	queue.push("append", bytes(1, 2), 50);
	queue.push("control", bytes(1, 3), 101);
	expect(drain(queue, 101)).toEqual([3, 2]);
	expect([queue.dropped.stale, queue.bytes]).toEqual([1, 0]);
});

test("pauses grow to a limit, are spread, and begin anew", () => {
	const backoff = new Backoff({ firstMs: 100, maxMs: 1000 }, { bytes: () => Uint8Array.of(255) });
	expect([1, 2, 3, 4, 5, 6].map(() => backoff.nextMs())).toEqual([100, 200, 400, 800, 1000, 1000]);
	expect(backoff.nextMs(5000)).toBe(5000);
	backoff.reset();
	expect([backoff.failures, backoff.nextMs()]).toEqual([0, 100]);
	const low = new Backoff({ firstMs: 100, maxMs: 1000 }, { bytes: () => Uint8Array.of(0) });
	expect(low.nextMs()).toBe(50);
});
