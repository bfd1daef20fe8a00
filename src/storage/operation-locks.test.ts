/** Locks between operations: who waits for whom, and that waiting ends. */
import { expect, test } from "bun:test";
import { fails } from "./conformance.ts";
import { OperationLocks } from "./operation-locks.ts";

test("readers share, a writer is alone, first come first served", async () => {
	const locks = new OperationLocks(1000);
	const order: string[] = [];
	const first = await locks.shared("a", "busy");
	const second = await locks.shared("a", "busy");
	const writer = locks.exclusive("a", "busy").then((lock) => {
		order.push("writer");
		return lock;
	});
	const late = locks.shared("a", "busy").then((lock) => {
		order.push("late reader");
		return lock;
	});
	(await locks.exclusive("b", "busy"))[Symbol.dispose]();
	first[Symbol.dispose]();
	first[Symbol.dispose]();
	expect(order).toEqual([]);
	second[Symbol.dispose]();
	(await writer)[Symbol.dispose]();
	(await late)[Symbol.dispose]();
	expect(order).toEqual(["writer", "late reader"]);
	(await locks.exclusive("a", "busy"))[Symbol.dispose]();
});

test("waiting ends with in-use, and those behind go on", async () => {
	const locks = new OperationLocks(20);
	const reader = await locks.shared("a", "busy");
	const writer = fails("in-use", locks.exclusive("a", "the thing is busy"));
	const patient = locks.shared("a", "busy");
	expect(await writer).toBe("the thing is busy");
	(await patient)[Symbol.dispose]();
	reader[Symbol.dispose]();
	(await locks.exclusive("a", "busy"))[Symbol.dispose]();
});

const lock = (key: string, how: "shared" | "exclusive" = "exclusive") => ({ key, how, busyMessage: `${key} is busy` });

test("with a signal it waits for longer, says so, and gets its turn", async () => {
	const locks = new OperationLocks(5);
	const told: (string | undefined)[] = [];
	const first = await locks.exclusive("a", "busy");
	const twice = Promise.withResolvers<void>();
	const progress = (ratio: number | null, message?: string) => {
		expect(ratio).toBeNull();
		if (told.push(message) === 2) twice.resolve();
	};
	const patient = locks.all([lock("a")], { signal: new AbortController().signal, progress });
	await twice.promise;
	first[Symbol.dispose]();
	using _held = await patient;
	expect([...new Set(told)]).toEqual(["a is busy", undefined]);
	expect(told.at(-1)).toBeUndefined();
});

test("the signal ends the waiting, and nothing is kept", async () => {
	const locks = new OperationLocks(5);
	const [a, b] = [await locks.exclusive("a", "busy"), await locks.exclusive("b", "busy")];
	const abort = new AbortController();
	const patient = fails("canceled", locks.all([lock("b"), lock("a")], { signal: abort.signal }));
	a[Symbol.dispose]();
	await fails("in-use", locks.exclusive("a", "busy"));
	abort.abort();
	await patient;
	(await locks.exclusive("a", "busy"))[Symbol.dispose]();
	await fails("canceled", locks.all([lock("b")], { signal: abort.signal }));
	b[Symbol.dispose]();
	(await locks.exclusive("b", "busy"))[Symbol.dispose]();
	// Without one it has the limit of all others, and what it had by then is free.
	const held = await locks.exclusive("b", "busy");
	await fails("in-use", locks.all([lock("a"), lock("b")]));
	(await locks.exclusive("a", "busy"))[Symbol.dispose]();
	held[Symbol.dispose]();
});

test("two that want the same, named the other way round, do not wait for each other; a key named twice is one", async () => {
	const locks = new OperationLocks(5);
	const { signal } = new AbortController();
	const done: string[] = [];
	const take = async (name: string, ...keys: string[]) => {
		using _held = await locks.all(
			keys.map((key) => lock(key)),
			{ signal },
		);
		await null;
		done.push(name);
	};
	await Promise.all([take("one", "a", "b"), take("two", "b", "a"), take("three", "b", "b"), take("four", "a", "c")]);
	expect(done.sort()).toEqual(["four", "one", "three", "two"]);
	const held = await locks.all([lock("a", "shared"), lock("a"), lock("a", "shared")], { signal });
	await fails("in-use", locks.shared("a", "busy"));
	held[Symbol.dispose]();
});

test("closed, nobody gets a lock, as long as it takes; it closes only while nobody has one but whoever closes", async () => {
	const locks = new OperationLocks(1000);
	const own = await locks.exclusive("pool", "busy");
	const reader = await locks.shared("a", "busy");
	expect(locks.close(["pool"])).toBeNull();
	reader[Symbol.dispose]();
	const closed = locks.close(["pool"]);
	expect(closed).not.toBeNull();
	let isIn = false;
	const late = locks.exclusive("a", "busy").then((lock) => {
		isIn = true;
		return lock;
	});
	const waits = locks.exclusive("pool", "busy");
	own[Symbol.dispose]();
	await Promise.resolve();
	expect([isIn, locks.close(["pool"])]).toEqual([false, null]);
	closed?.[Symbol.dispose]();
	(await late)[Symbol.dispose]();
	(await waits)[Symbol.dispose]();
});
