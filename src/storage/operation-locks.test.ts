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
