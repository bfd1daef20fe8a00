/** Steps of the schema: in order, each whole or not at all, never backwards. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { fixtureCluster, fixtureNode, fixtureTime } from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { openMemoryStore } from "../../testing/memory-store.ts";
import { type Migration, migrate, migrations, schemaVersion } from "./migrations.ts";
import { stateDigest, writeDigest } from "./state-digest.ts";

const version = (database: Database) =>
	database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version;
const tables = (database: Database) =>
	database
		.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
		.all()
		.map(({ name }) => name);

const steps: Migration[] = [
	{ version: 1, statements: ["CREATE TABLE one (x)", "INSERT INTO one VALUES (1)"] },
	{ version: 2, statements: ["ALTER TABLE one ADD COLUMN y", "CREATE TABLE two (x)"] },
];

test("a new database gets all steps, an older one the missing ones, and again nothing", () => {
	const database = new Database(":memory:");
	migrate(database, steps.slice(0, 1));
	expect(version(database)).toBe(1);
	migrate(database, steps);
	migrate(database, steps);
	expect([version(database), tables(database)]).toEqual([2, ["one", "two"]]);
	expect(database.query("SELECT * FROM one").all()).toEqual([{ x: 1, y: null }]);
});

test("a step that fails leaves no trace", () => {
	const database = new Database(":memory:");
	const bad: Migration = { version: 2, statements: ["CREATE TABLE two (x)", "NOT SQL"] };
	expect(() => migrate(database, [...steps.slice(0, 1), bad])).toThrow();
	expect([version(database), tables(database)]).toEqual([1, ["one"]]);
});

test("a database of a newer version is refused, untouched", () => {
	const database = new Database(":memory:");
	migrate(database, steps);
	expect(() => migrate(database, steps.slice(0, 1))).toThrow(expect.objectContaining({ code: "unsupported" }));
	expect([version(database), tables(database)]).toEqual([2, ["one", "two"]]);
});

test("nodes of version 2 get what a cluster needs, in the form in which a replay of their log gives it", async () => {
	const { peerAddresses: _addresses, witness: _witness, ...node } = fixtureNode();
	const database = new Database(":memory:", { strict: true });
	migrate(database, migrations.slice(0, 2));
	database.run("INSERT INTO node (id, doc) VALUES (?, ?)", [node.id, JSON.stringify(node)]);
	writeDigest(database);
	migrate(database);
	expect(stateDigest.damageOfRows(database)).toBeNull();
	const store = await openMemoryStore({ clock: new ManualClock(Date.parse(fixtureTime)) });
	await store.proposer.proposeSystem({ ...fixtureCluster(), node: node as never });
	const text = database.query<{ doc: string }, []>("SELECT doc FROM node").get()?.doc;
	expect(`[${text}]`).toBe(store.listJson("node", { limit: 10 }).itemsJson);
	await store.close();
	database.close();
});

test("the steps of this version count up by one", () => {
	expect(migrations.map((step) => step.version)).toEqual(migrations.map((_, position) => position + 1));
	expect(schemaVersion).toBe(migrations.length);
	// Else a database that was brought up to date would be taken for a damaged one.
	for (const step of migrations.slice(1)) expect(step.after).toBe(writeDigest);
});
