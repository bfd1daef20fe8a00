/** Damage of the database, to the bit: what is stored reads as it was written, or the file is refused. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { toAppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { commandArbitrary } from "../../testing/command-arbitrary.ts";
import { dumpState } from "../../testing/dump-state.ts";
import { fixtureCluster, fixtureId, fixtureSession, fixtureToken, fixtureUser } from "../../testing/fixtures.ts";
import { encodeCommand } from "../codec.ts";
import type { Command, CommandBody } from "../command.ts";
import { StateMachine } from "../state-machine.ts";
import { openStateFile } from "./database.ts";
import { migrate, migrations } from "./migrations.ts";
import { checkStateFile, isSealed, sealStateFile } from "./state-check.ts";
import { stateDigest } from "./state-digest.ts";

let folder: string;
/** A database that was closed in order, and a snapshot of it. */
let state: string;
let snapshot: string;
/** The file that a test damages. */
let path: string;
let written: string;

const system = (body: CommandBody, number: number): Command => ({
	id: fixtureId(0x40000000 + number),
	timeMs: Date.UTC(2026, 0, 1),
	requester: { kind: "system", id: null, name: "system" },
	remoteAddress: null,
	operation: "system",
	idempotencyKey: null,
	credential: null,
	body,
});

/** Something in every table. */
function fill(file: string): void {
	const database = openStateFile(file);
	const userId = fixtureId(0x700);
	const bodies: CommandBody[] = [
		{ kind: "userCreate", user: fixtureUser({ id: userId, name: "delta", role: "admin" }), passwordHash: "$x" },
		{ kind: "sessionCreate", session: fixtureSession({ id: fixtureId(0x701), userId }), secretHash: "s".repeat(32) },
		{ kind: "tokenCreate", token: fixtureToken({ id: fixtureId(0x702), userId }), secretHash: "t".repeat(32) },
		...["alpha", "beta", "gamma"].map(
			(name, at): CommandBody => ({
				kind: "userCreate",
				user: fixtureUser({ id: fixtureId(0x800 + at), name }),
				passwordHash: "$x",
			}),
		),
	];
	const commands = [
		system(fixtureCluster(), 0),
		...fc.sample(commandArbitrary, { numRuns: 400, seed: 20_260_101 }),
		...bodies.map((body, at) => system(body, at + 1)),
	];
	const entries = commands.map((command, at) => ({ index: at + 1, term: 3, data: encodeCommand(command) }));
	const machine = new StateMachine(database, silentLogger);
	for (let at = 0; at < entries.length; ) at += machine.apply(entries.slice(at)).appliedCount;
	written = dumpState(database.database);
	database.database.run("VACUUM INTO ?", [snapshot]);
	database.close();
}

beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-check-"));
	state = join(folder, "filled.db");
	snapshot = join(folder, "snapshot.db");
	path = join(folder, "state.db");
	fill(state);
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
	for (const name of readdirSync(folder)) if (name.startsWith("state.db")) rmSync(join(folder, name));
});

function stored(): string {
	const opened = openStateFile(path);
	try {
		return dumpState(opened.database);
	} finally {
		opened.close();
	}
}

const seeded = (seed: number) => {
	let value = seed;
	return (below: number): number => {
		value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0;
		return Math.floor((value / 2 ** 32) * below);
	};
};

type Verdict = "refused" | "intact";

/** Flips a bit of a copy and tells what became of it; fails when it is another state. */
async function verdictOnFlip(good: Buffer, position: number, bit: number): Promise<Verdict> {
	const bytes = Buffer.from(good);
	bytes[position] = (bytes[position] ?? 0) ^ (1 << bit);
	writeFileSync(path, bytes);
	const checked = await checkStateFile(path).catch((error: unknown) => ({ found: toAppError(error).code }));
	// It was only looked at.
	expect(readFileSync(path).equals(bytes)).toBe(true);
	if ("found" in checked) return "refused";
	expect({ position, bit, same: stored() === written }).toEqual({ position, bit, same: true });
	for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
	return "intact";
}

describe("a bit that flips", () => {
	test.each([
		["the database", () => state, 1],
		["a snapshot", () => snapshot, 2],
	] as const)("anywhere in %s is noticed, or changes nothing", async (_, file, seed) => {
		const good = readFileSync(file());
		const random = seeded(seed);
		const verdicts = { refused: 0, intact: 0 };
		for (let number = 0; number < 60; number++) {
			// A third where pages say what is in them; most of the bytes are in documents.
			const position = number % 3 === 0 ? random(good.length / 4096) * 4096 + random(48) : random(good.length);
			verdicts[await verdictOnFlip(good, position, random(8))] += 1;
		}
		expect(verdicts.refused).toBeGreaterThan(15);
	});

	test("in any of the places where a name is stored, rows and indices, is noticed", async () => {
		const good = readFileSync(snapshot);
		const verdicts: Verdict[] = [];
		for (let at = good.indexOf("gamma"); at >= 0; at = good.indexOf("gamma", at + 1))
			verdicts.push(await verdictOnFlip(good, at + 2, 0));
		// The row's column, its document, the index of names, the event; copies that are left in free space do not matter.
		expect(verdicts.filter((verdict) => verdict === "refused").length).toBeGreaterThanOrEqual(4);
	});

	test("in the version of the schema is noticed", async () => {
		const good = readFileSync(state);
		for (let bit = 0; bit < 32; bit++) expect(await verdictOnFlip(good, 60 + (bit >> 3), bit & 7)).toBe("refused");
	});
});

test("a row of any table that is changed, added or gone is noticed", async () => {
	cpSync(state, path);
	const database = new Database(path);
	const forms = stateDigest.rowForms(database);
	for (const [table, { columns: plain }] of forms) {
		const harms = [
			`DELETE FROM ${table} WHERE ${plain[0]} = (SELECT min(${plain[0]}) FROM ${table} WHERE ${plain[0]} <> 'digest')`,
			...plain
				.filter((name) => name !== "doc")
				.map(
					(name) =>
						`UPDATE ${table} SET ${name} = ${name} || '7' WHERE ${plain[0]} = (SELECT max(${plain[0]}) FROM ${table})`,
				),
			...(plain.includes("doc") ? [`UPDATE ${table} SET doc = json_set(doc, '$.extra', 1)`] : []),
		];
		for (const harm of harms) {
			database.run("BEGIN");
			const changed = database.run(harm).changes;
			expect({ harm, changed: changed > 0, noticed: stateDigest.damageOfRows(database) !== null }).toEqual({
				harm,
				changed: true,
				noticed: true,
			});
			database.run("ROLLBACK");
		}
	}
	expect(stateDigest.damageOfRows(database)).toBeNull();
	database.close();
});

test("what is undone leaves the digest as it was", () => {
	const opened = openStateFile(path);
	const digest = () => [stateDigest.storedDigest(opened.database), stateDigest.digestOf(opened.database)];
	opened.transaction(() => opened.setMeta("a", 1));
	const [before] = digest();
	expect(digest()).toEqual([before, before] as bigint[]);
	const failing = () => {
		opened.setMeta("a", 2);
		opened.insertEvent(1, 0, "{}");
		throw new Error("no");
	};
	expect(() => opened.transaction(failing)).toThrow("no");
	opened.transaction(() => {
		expect(() => opened.savepoint(failing)).toThrow("no");
		opened.setMeta("b", 1);
	});
	const [after, actual] = digest();
	expect(after).toBe(actual as bigint);
	expect(after).not.toBe(before as bigint);
	expect(opened.meta("a")).toBe(1);
	opened.close();
});

test("an intact file says what it holds; one without content is at the beginning", async () => {
	expect(await checkStateFile(snapshot)).toEqual({ index: 407, term: 3 });
	writeFileSync(path, "");
	expect(await checkStateFile(path)).toEqual({ index: 0, term: 0 });
	await expect(checkStateFile(join(folder, "missing.db"))).rejects.toMatchObject({ code: "not-found" });
});

test("a database from before there was a digest is taken, and gets one", async () => {
	const old = new Database(path);
	migrate(old, migrations.slice(0, 1));
	old.run("INSERT INTO network (id, doc) VALUES ('a', ?)", [JSON.stringify({ name: "net", config: {} })]);
	old.run("INSERT INTO meta (key, value) VALUES ('appliedIndex', 7)");
	old.close();
	expect(await checkStateFile(path)).toEqual({ index: 7, term: 0 });
	const opened = openStateFile(path);
	expect(stateDigest.storedDigest(opened.database)).toBe(stateDigest.digestOf(opened.database));
	opened.close();
	expect(await checkStateFile(path)).toEqual({ index: 7, term: 0 });
});

test("the hash of rows is the one of the databases that exist", () => {
	expect(stateDigest.hashOf("123456789")).toBe(0x8cb8_41db_40e6_ae83n);
});

describe("the seal of a database that was closed", () => {
	const seal = () => `${path}.seal`;

	test("spares the next start the long look, as long as every byte is the same", async () => {
		cpSync(state, path);
		expect(isSealed(path)).toBe(false);
		expect(await sealStateFile(path)).toMatchObject({ index: 407 });
		expect(isSealed(path)).toBe(true);
		expect(statSync(seal()).mode & 0o077).toBe(0);
		const bytes = readFileSync(path);
		const last = bytes.length - 1;
		bytes[last] = (bytes[last] ?? 0) ^ 1;
		writeFileSync(path, bytes);
		expect(isSealed(path)).toBe(false);
	});

	test("does not count when there are changes beside, or when it is damaged", async () => {
		cpSync(state, path);
		await sealStateFile(path);
		writeFileSync(`${path}-wal`, "changes");
		expect(isSealed(path)).toBe(false);
		rmSync(`${path}-wal`);
		expect(isSealed(path)).toBe(true);
		writeFileSync(seal(), readFileSync(seal()).subarray(1));
		expect(isSealed(path)).toBe(false);
	});

	test("is not put on damage", async () => {
		const bytes = readFileSync(state);
		const place = bytes.indexOf("gamma");
		bytes[place] = (bytes[place] ?? 0) ^ 1;
		writeFileSync(path, bytes);
		expect(await sealStateFile(path)).toHaveProperty("found");
		expect(existsSync(seal())).toBe(false);
	});
});
