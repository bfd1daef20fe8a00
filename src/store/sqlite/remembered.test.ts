import { afterEach, beforeEach, expect, test } from "bun:test";
import { fixtureId, fixtureSession, fixtureToken, fixtureUser } from "../../testing/fixtures.ts";
import { openMemoryState } from "./database.ts";
import { SqliteReader } from "./reader.ts";
import { Remembered } from "./remembered.ts";
import type { StateDatabase } from "./state-database.ts";

const user = fixtureUser({ id: fixtureId(1), name: "one" });
const session = fixtureSession({ id: fixtureId(2), userId: user.id });
const token = fixtureToken({ id: fixtureId(3), userId: user.id });
let state: StateDatabase;
let reader: SqliteReader;

beforeEach(() => {
	state = openMemoryState();
	reader = new SqliteReader(state);
	state.transaction(() => {
		state.insert("user", user);
		state.insert("session", session);
		state.setSecretHash("session", session.id, "s");
		state.insert("token", token);
		state.setSecretHash("token", token.id, "t");
	});
});
afterEach(() => state.close());

test("the holder of a secret is read once, until something is written that may change it", () => {
	const first = reader.sessionBySecretHash("s");
	expect(first).toEqual({ session, user });
	state.transaction(() => state.setMeta("x", 1));
	expect(reader.sessionBySecretHash("s")).toBe(first as never);
	state.transaction(() => state.update("user", user, { ...user, enabled: false }));
	expect(reader.sessionBySecretHash("s")?.user.enabled).toBe(false);
	expect(reader.tokenBySecretHash("t")?.user.enabled).toBe(false);
});

test("one that is gone is not found any more, and one that comes is found", () => {
	expect(reader.sessionBySecretHash("s")).not.toBeNull();
	expect(reader.tokenBySecretHash("t")).not.toBeNull();
	expect(reader.sessionBySecretHash("new")).toBeNull();
	state.transaction(() => {
		state.delete("session", session.id);
		state.deleteSecretHash("token", token.id);
		state.insert("session", fixtureSession({ id: fixtureId(4), userId: user.id }));
		state.setSecretHash("session", fixtureId(4), "new");
	});
	expect(reader.sessionBySecretHash("s")).toBeNull();
	expect(reader.tokenBySecretHash("t")).toBeNull();
	expect(reader.sessionBySecretHash("new")?.session.id).toBe(fixtureId(4));
});

test("nothing is kept of what was undone, or of a state that was replaced", () => {
	const failing = () => {
		state.update("user", user, { ...user, role: "viewer" });
		expect(reader.sessionBySecretHash("s")?.user.role).toBe("viewer");
		throw new Error("no");
	};
	expect(() => state.transaction(failing)).toThrow("no");
	expect(reader.sessionBySecretHash("s")?.user.role).toBe(user.role);
	state.replace(() => openMemoryState().database);
	expect(reader.sessionBySecretHash("s")).toBeNull();
});

test("what is kept is bounded", () => {
	let reads = 0;
	const remembered = new Remembered<{ key: string }>(state, ["user"]);
	const get = (key: string) =>
		remembered.get(key, () => {
			reads += 1;
			return { key };
		});
	for (let number = 0; number < 1000; number++) get(`${number}`);
	get("999");
	expect(reads).toBe(1000);
	get("one more");
	get("999");
	expect(reads).toBe(1002);
});
