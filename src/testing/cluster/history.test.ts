import { expect, test } from "bun:test";
import { History } from "./history.ts";

const key = "network-1";
const write = (history: History, process: string, value: string, type: "ok" | "info" = "ok") =>
	history.record(process, { operation: "write", key, value }, async () => ({ type }));
const read = (history: History, process: string, value: string | null) =>
	history.record(process, { operation: "read", key }, async () => ({ type: "ok" as const, value }));

test("what was recorded is judged: a read of what was overwritten is found", async () => {
	const good = new History();
	await write(good, "a", "1");
	await write(good, "a", "2");
	await read(good, "b", "2");
	expect(good.judge()).toEqual({ linearizable: true });

	const bad = new History();
	await write(bad, "a", "1");
	await write(bad, "a", "2");
	await read(bad, "b", "1");
	expect(bad.judge()).toMatchObject({ linearizable: false, key });
});

test("operations that overlap are recorded as such", async () => {
	const history = new History();
	const answer = Promise.withResolvers<void>();
	const slow = history.record("a", { operation: "write", key, value: "1" }, async () => {
		await answer.promise;
		return { type: "ok" as const };
	});
	await read(history, "b", null);
	await read(history, "b", "1");
	answer.resolve();
	await slow;
	expect(history.judge()).toEqual({ linearizable: true });
	await read(history, "b", null);
	expect(history.judge()).toMatchObject({ linearizable: false });
});

test("a compare-and-set that found something else must have had a reason", async () => {
	const refused = async (before: string[]) => {
		const history = new History();
		for (const value of before) await write(history, "a", value);
		const cas = { operation: "cas", key, value: ["1", "3"] as [string, string] } as const;
		await history.record("b", cas, async () => ({ type: "fail" as const, mismatch: true }));
		return history.judge().linearizable;
	};
	expect(await refused(["1", "2"])).toBe(true);
	expect(await refused(["1"])).toBe(false);
});

test("a write without an answer may take effect in a later history, once", async () => {
	const before = new History();
	await write(before, "a", "1");
	await write(before, "a", "lost", "info");
	await write(before, "a", "2");
	expect(before.openWrites).toBe(1);

	const after = new History(before);
	await write(after, "a", "3");
	await read(after, "b", "lost");
	expect(after.judge()).toEqual({ linearizable: true });
	await write(after, "a", "4");
	await read(after, "b", "lost");
	expect(after.judge()).toMatchObject({ linearizable: false });
	expect(after.openWrites).toBe(0);
});
