/** Damage of the database, to the bit: what is stored reads as it was written, or the file is refused. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toAppError } from "../../lib/errors.ts";
import { dumpState } from "../../testing/dump-state.ts";
import {
	fixtureClusterObject,
	fixtureId,
	fixtureImage,
	fixtureJoinToken,
	fixtureNetwork,
	fixtureNode,
	fixturePool,
	fixtureSession,
	fixtureSnapshot,
	fixtureTask,
	fixtureTime,
	fixtureToken,
	fixtureUser,
	fixtureVm,
	fixtureVolume,
} from "../../testing/fixtures.ts";
import { openStateFile } from "./database.ts";
import { PartFailed } from "./failures.ts";
import { migrate, migrations } from "./migrations.ts";
import { checkStateFile, isSealed, sealStateFile } from "./state-check.ts";
import type { StateDatabase } from "./state-database.ts";
import { stateDigest } from "./state-digest.ts";

let folder: string;
/** A database that was closed in order, and a snapshot of it. */
let state: string;
let snapshot: string;
/** The file that a test damages. */
let path: string;
let written: string;

const count = 40;

/** Rows in every table, whatever the rules say: some of each, one of them called gamma. */
function fill(file: string): void {
	const database = openStateFile(file);
	database.transaction(() => {
		database.insert("cluster", fixtureClusterObject());
		database.insert("node", fixtureNode());
		database.insert("pool", fixturePool());
		database.insert("network", fixtureNetwork());
		database.setAuthority({ certificatePem: "certificate", keyPem: "key" });
		for (let number = 0; number < count; number++) insertSome(database, number);
		database.setApplied(407, 3);
	});
	// Pages that are free, and rows that have moved.
	database.transaction(() => {
		for (let number = 0; number < count; number += 5) database.delete("image", idOf(6, number));
	});
	written = dumpState(database.database);
	database.database.run("VACUUM INTO ?", [snapshot]);
	database.close();
}

const idOf = (table: number, number: number): string => fixtureId(0x1000 * table + number);

function insertSome(database: StateDatabase, number: number): void {
	const id = (table: number) => idOf(table, number);
	const name = number === 7 ? "gamma" : `name-${number}`;
	const user = fixtureUser({ id: id(1), name });
	database.insert("user", user);
	database.setPasswordHash(user.id, `$argon2id$${number}`);
	database.insert("session", fixtureSession({ id: id(2), userId: user.id }));
	database.setSecretHash("session", id(2), `session-${number}`);
	database.insert("token", fixtureToken({ id: id(3), userId: user.id, name }));
	database.setSecretHash("token", id(3), `token-${number}`);
	database.insert("joinToken", fixtureJoinToken({ id: id(10) }));
	const disks = [{ diskId: "disk-0", volumeId: id(5), sizeBytes: 1 << 20 }];
	database.insert("snapshot", fixtureSnapshot({ id: id(11), vmId: id(4), name, disks }));
	database.setSecretHash("joinToken", id(10), `join-token-${number}`);
	database.insert(
		"vm",
		fixtureVm({ id: id(4), name, tags: ["one", `tag-${number}`], description: "ä".repeat(number * 40) }),
	);
	database.insert("volume", fixtureVolume({ id: id(5), name, vmId: id(4) }));
	database.insert("image", fixtureImage({ id: id(6), name, description: "x".repeat(3000) }));
	database.insert("task", fixtureTask("vm.start", { kind: "vm", id: id(4), name }, { id: id(7) }));
	const requester = { kind: "user", id: user.id, name } as const;
	database.insertAudit({
		...{ id: id(8), time: fixtureTime, requester, remoteAddress: null, operation: "vmStart", outcome: "accepted" },
		...{ targets: [{ kind: "vm", id: id(4), name }], errorCode: null },
	});
	database.insertCommandResult(number + 1, id(9), "{}");
	database.insertEvent(number + 1, 0, JSON.stringify({ id: `${number + 1}.0`, name }));
	const key = { operation: "vmCreate", subject: "s", timeMs: number, result: "{}" };
	database.setIdempotencyRow(`user/${number}`, number + 1, key);
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
	// The first time there is no savepoint to go back to: all of it is done again, with them.
	const failures: unknown[] = [];
	opened.transaction(() => {
		opened.setMeta("b", 1);
		try {
			opened.savepoint(failing);
		} catch (error) {
			failures.push(error);
			if (error instanceof PartFailed) throw error;
		}
		opened.setMeta("c", 1);
	});
	expect(failures).toEqual([expect.any(PartFailed), new Error("no")]);
	const [after, actual] = digest();
	expect(after).toBe(actual as bigint);
	expect(after).not.toBe(before as bigint);
	expect(["a", "b", "c"].map((key) => opened.meta(key))).toEqual([1, 1, 1]);
	opened.close();
});

test("a part that fails before it writes is not done again", () => {
	const opened = openStateFile(path);
	let runs = 0;
	opened.transaction(() => {
		runs += 1;
		opened.setMeta("a", 1);
		expect(() =>
			opened.savepoint(() => {
				opened.meta("a");
				throw new Error("no");
			}),
		).toThrow("no");
	});
	expect([runs, opened.meta("a")]).toEqual([1, 1]);
	expect(stateDigest.storedDigest(opened.database)).toBe(stateDigest.digestOf(opened.database));
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
