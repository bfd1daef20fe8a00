import { afterEach, beforeEach, expect, test } from "bun:test";
import { fixtureId, fixtureUser } from "../../testing/fixtures.ts";
import { openMemoryState } from "./database.ts";
import { PartFailed } from "./failures.ts";
import type { StateDatabase } from "./state-database.ts";
import { stateDigest } from "./state-digest.ts";

const user = fixtureUser({ id: fixtureId(1), name: "one" });
let state: StateDatabase;

beforeEach(() => {
	state = openMemoryState();
	state.transaction(() => {
		state.insert("user", user);
	});
});
afterEach(() => {
	expect(stateDigest.damageOfRows(state.database)).toBeNull();
	state.close();
});

const known = () => state.known("user", user.id);

test("a document is read once, until something is written to its table", () => {
	const first = known();
	expect(first).toEqual(user);
	state.transaction(() => state.setMeta("x", 1));
	expect(known()).toBe(first as never);
	state.transaction(() => {
		state.update("user", user, { ...user, enabled: false });
	});
	expect(known()).toEqual({ ...user, enabled: false });
	state.transaction(() => state.delete("user", user.id));
	expect(known()).toBeNull();
});

test("what was undone is not known", () => {
	const failing = () => {
		state.update("user", known() as never, { ...user, name: "two" });
		expect(known()?.name).toBe("two");
		throw new Error("no");
	};
	expect(() => state.transaction(failing)).toThrow("no");
	expect(known()).toEqual(user);
	state.transaction(() => {
		try {
			state.savepoint(failing);
		} catch (error) {
			if (error instanceof PartFailed) throw error;
			expect(known()).toEqual(user);
		}
	});
	expect(known()).toEqual(user);
});

test("the digest follows what is stored, however the document was written", () => {
	const spaced = JSON.stringify(user, null, 1);
	state.transaction(() => {
		expect(state.updateRow("user", { id: user.id }, { doc: spaced })).toBe(true);
	});
	const before = known() as typeof user;
	state.transaction(() => {
		state.update("user", before, { ...before, name: "two" });
		state.update("user", { ...before, name: "two" }, { ...before, name: "three" });
	});
	expect(known()?.name).toBe("three");
});

test("events go on after the last one that is there, also when all of them were dropped", () => {
	const rows = () => state.rows("SELECT seq, total_bytes AS total FROM event ORDER BY seq");
	state.transaction(() => {
		state.insertEvent(1, 0, "ab");
		state.insertEvent(1, 1, "c");
	});
	const failing = () => {
		state.insertEvent(2, 0, "undone");
		throw new Error("no");
	};
	expect(() => state.transaction(failing)).toThrow("no");
	state.transaction(() => state.insertEvent(2, 0, "d"));
	expect(rows()).toEqual([
		{ seq: 1, total: 2 },
		{ seq: 2, total: 3 },
		{ seq: 3, total: 4 },
	]);
	state.transaction(() => {
		state.deleteRows("event", "true");
		state.insertEvent(3, 0, "e");
	});
	expect(rows()).toEqual([{ seq: 1, total: 1 }]);
});
