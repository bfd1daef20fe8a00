/** The store on a real folder: restarts, kill -9, a second daemon, damage, snapshots, restore. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
	chmodSync,
	cpSync,
	existsSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openNodeFile } from "../cluster/node-file.ts";
import { restoreSnapshot } from "../cluster/restore.ts";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { afterStarts, copyOfState, type StateCopy } from "../testing/dump-state.ts";
import { fixtureCluster, fixtureNode, fixtureUser } from "../testing/fixtures.ts";
import { loneNode } from "../testing/store-identity.ts";
import { type OpenStoreOptions, openStore, pathsOf } from "./open-store.ts";
import { proposer } from "./proposer.ts";
import { openStateFile } from "./sqlite/database.ts";
import { migrate } from "./sqlite/migrations.ts";
import type { Proposer, Store } from "./store.ts";

let folder: string;
let dataDir: string;
const opened: Store[] = [];
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-store-"));
	dataDir = join(folder, "data");
});
afterEach(async () => {
	for (const store of opened.splice(0)) await store.close();
	rmSync(folder, { recursive: true });
});

type Opened = { store: Store; system: Proposer["proposeSystem"] };
const ids = idSource(systemClock, systemRandom);

async function open(options: Partial<OpenStoreOptions> = {}): Promise<Opened> {
	const store = await openStore({
		...loneNode,
		dataDir,
		clock: systemClock,
		logger: silentLogger,
		fsync: false,
		onFatal: (error) => {
			throw error;
		},
		...options,
	});
	opened.push(store);
	return { store, system: proposer(store, systemClock, ids).proposeSystem };
}
async function filled(users = 5, options: Partial<OpenStoreOptions> = {}): Promise<void> {
	const { store, system } = await open(options);
	await system(fixtureCluster());
	await addUsers(system, 0, users);
	await close(store);
}
async function addUsers(system: Opened["system"], first: number, count: number): Promise<void> {
	for (let number = first; number < first + count; number++)
		await system({
			kind: "userCreate",
			user: fixtureUser({ id: ids.newId(), name: `user-${number}` }),
			passwordHash: "$x",
		});
}
async function close(store: Store): Promise<void> {
	opened.splice(opened.indexOf(store), 1);
	await store.close();
}
function dump(): StateCopy {
	const state = openStateFile(pathsOf(dataDir).state);
	const copy = copyOfState(state.database);
	state.close();
	return copy;
}
const flip = (path: string, position: number) => {
	const bytes = readFileSync(path);
	bytes[position] = (bytes[position] ?? 0) ^ 0xff;
	writeFileSync(path, bytes);
};
const contents = () =>
	Object.fromEntries(
		readdirSync(dataDir, { recursive: true, withFileTypes: true })
			.filter((file) => file.isFile() && file.name !== "lock" && !file.name.endsWith("-shm"))
			.map((file) => [join(file.parentPath, file.name), Bun.hash(readFileSync(join(file.parentPath, file.name)))]),
	);
/** Waits for a condition that another thread brings about. */
async function until(condition: () => boolean): Promise<void> {
	const deadline = performance.now() + 10_000;
	while (!condition()) {
		if (performance.now() > deadline) throw new Error("the condition did not come about");
		await new Promise((resolve) => setImmediate(resolve));
	}
}

describe("a restart", () => {
	test("finds everything, and goes on", async () => {
		await filled();
		const { store, system } = await open();
		expect(store.count("user")).toBe(6);
		await addUsers(system, 5, 1);
		expect(store.status()).toMatchObject({ quorum: true, leader: fixtureNode().id, appliedIndex: 9, term: 2 });
	});

	test("keeps secrets from others on the host", async () => {
		await filled();
		const modes = readdirSync(dataDir, { recursive: true }).map(
			(name) => statSync(join(dataDir, String(name))).mode & 0o077,
		);
		expect(new Set(modes)).toEqual(new Set([0]));
		expect(statSync(dataDir).mode & 0o077).toBe(0);
		const { store } = await open();
		await store.snapshot(join(folder, "backup.db"));
		expect(statSync(join(folder, "backup.db")).mode & 0o077).toBe(0);
	});

	test("rebuilds a missing database from the log", async () => {
		await filled();
		const before = dump();
		rmSync(pathsOf(dataDir).state);
		const { store } = await open();
		await close(store);
		expect(dump()).toEqual(afterStarts(before, 1));
	});

	test("does not mix a stray write-ahead log into a new database", async () => {
		await filled();
		rmSync(pathsOf(dataDir).state);
		writeFileSync(`${pathsOf(dataDir).state}-wal`, "leftover");
		const { store } = await open();
		expect(store.count("user")).toBe(6);
		expect(existsSync(`${pathsOf(dataDir).state}-wal.unused`)).toBe(true);
	});
});

describe("damage", () => {
	const refuses = async (code: string, message: RegExp) => {
		const before = contents();
		const error = await open().then(
			() => new Error("it started"),
			(failure: unknown) => failure,
		);
		expect(error).toBeInstanceOf(AppError);
		expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
		expect(contents()).toEqual(before);
	};

	test("of the database is refused, with what to do, and nothing is lost", async () => {
		await filled(200);
		const path = pathsOf(dataDir).state;
		const good = dump();
		writeFileSync(path, readFileSync(path).fill(0x5a, 8192, 40_000));
		await refuses("corrupt", /Move .*state\.db and the files .* elsewhere and start again/);
		renameSync(path, join(folder, "damaged.db"));
		await close((await open()).store);
		expect(dump()).toEqual(afterStarts(good, 1));
	});

	test("a database that is something else is refused", async () => {
		await filled();
		writeFileSync(pathsOf(dataDir).state, "this is not a database, whatever its name may say".repeat(100));
		await refuses("corrupt", /damaged/);
	});

	test("of the log is refused, with what to do", async () => {
		await filled();
		flip(join(pathsOf(dataDir).log, "0000000000000001.log"), 200);
		await refuses("corrupt", /keep a copy of the data folder/);
	});

	test("a missing log is refused", async () => {
		await filled();
		rmSync(pathsOf(dataDir).log, { recursive: true });
		await open().then(
			() => expect.unreachable("it started"),
			(error) => expect(error).toMatchObject({ code: "corrupt", message: expect.stringMatching(/log is missing/) }),
		);
	});

	test("a forgotten vote is refused", async () => {
		await filled();
		rmSync(join(pathsOf(dataDir).log, "hard-state"));
		await refuses("corrupt", /vote/);
	});

	test("an older log put back is refused", async () => {
		await filled();
		const old = join(folder, "old");
		cpSync(pathsOf(dataDir).log, old, { recursive: true });
		const { store, system } = await open();
		await addUsers(system, 5, 5);
		await close(store);
		rmSync(pathsOf(dataDir).log, { recursive: true });
		cpSync(old, pathsOf(dataDir).log, { recursive: true });
		await refuses("corrupt", /ends at 7, while the state holds changes up to 13/);
	});

	test("a database of a newer version is refused", async () => {
		await filled();
		const state = openStateFile(pathsOf(dataDir).state);
		migrate(state.database, [
			{ version: 1, statements: [] },
			{ version: 99, statements: ["CREATE TABLE later (x)"] },
		]);
		state.close();
		await refuses("unsupported", /schema version 99/);
	});
});

describe("a second daemon on the same folder", () => {
	test("is refused while the first runs, in this process and in others", async () => {
		await filled();
		const { store } = await open();
		await expect(open()).rejects.toMatchObject({
			code: "in-use",
			message: expect.stringContaining(`process ${process.pid}`),
		});
		const other = Bun.spawn([process.execPath, join(import.meta.dir, "../testing/store-process.ts"), dataDir]);
		expect(await new Response(other.stdout).text()).toBe("in-use\n");
		expect(await other.exited).toBe(1);
		await close(store);
		expect((await open()).store.count("user")).toBe(6);
	});
});

test("kill -9 at any time: the next start has all that was acknowledged, and no stale lock", async () => {
	const acknowledged: string[] = [];
	for (let round = 0; round < 4; round++) {
		const child = Bun.spawn([process.execPath, join(import.meta.dir, "../testing/store-process.ts"), dataDir]);
		let text = "";
		for await (const chunk of child.stdout) {
			text += Buffer.from(chunk).toString();
			if (text.split("\n").length > 120 + 97 * round) child.kill("SIGKILL");
		}
		await child.exited;
		expect(text).toStartWith("ready\n");
		acknowledged.push(...text.split("\n").slice(1, -1));
	}
	const { store } = await open();
	const names = new Set(store.all("user").map((user) => user.name));
	expect(acknowledged.length).toBeGreaterThan(500);
	expect(acknowledged.filter((name) => !names.has(name))).toEqual([]);
}, 60_000);

describe("snapshots", () => {
	const policy = { snapshotEntries: 100 };
	const snapshotNames = () =>
		readdirSync(pathsOf(dataDir).snapshots)
			.filter((name) => /^\d+\.db$/.test(name))
			.sort();
	const segments = () =>
		readdirSync(pathsOf(dataDir).log)
			.filter((name) => name.endsWith(".log"))
			.sort();
	/** Enough for three snapshots, two of which are kept. */
	async function withSnapshots(): Promise<void> {
		const { store, system } = await open({ policy, segmentBytes: 8_000 });
		await system(fixtureCluster());
		for (let round = 0; round < 3; round++) {
			await addUsers(system, round * 110, 110);
			await until(() => Number(snapshotNames().at(-1)?.slice(0, 16) ?? 0) > round * 110);
		}
		await until(() => segments()[0] !== "0000000000000001.log");
		await addUsers(system, 330, 10);
		await close(store);
	}

	test("are made by themselves, two are kept, and the log is cut behind the older", async () => {
		await withSnapshots();
		const [older] = snapshotNames();
		expect(snapshotNames()).toHaveLength(2);
		expect(Number(segments()[0]?.slice(0, 16))).toBeLessThanOrEqual(Number(older?.slice(0, 16)) + 1);
		const { store } = await open();
		expect(store.count("user")).toBe(341);
	});

	test("and the log give the same state as before, without the database", async () => {
		await withSnapshots();
		const before = dump();
		for (const name of readdirSync(dataDir)) if (name.startsWith("state.db")) rmSync(join(dataDir, name));
		await close((await open()).store);
		expect(dump()).toEqual(afterStarts(before, 1));
	});

	test("a damaged one is passed over: the older one and the log do", async () => {
		await withSnapshots();
		const before = dump();
		for (const name of readdirSync(dataDir)) if (name.startsWith("state.db")) rmSync(join(dataDir, name));
		const newest = join(pathsOf(dataDir).snapshots, snapshotNames().at(-1) ?? "");
		writeFileSync(newest, readFileSync(newest).fill(0x5a, 4096, 30_000));
		await close((await open()).store);
		expect(dump()).toEqual(afterStarts(before, 1));
	});

	test("a database that a power cut took back behind the log is rebuilt", async () => {
		const { store, system } = await open();
		await system(fixtureCluster());
		await store.snapshot(join(folder, "old-state.db"));
		await close(store);
		rmSync(dataDir, { recursive: true });
		await withSnapshots();
		const before = dump();
		for (const name of readdirSync(dataDir)) if (name.startsWith("state.db")) rmSync(join(dataDir, name));
		cpSync(join(folder, "old-state.db"), pathsOf(dataDir).state);
		await close((await open()).store);
		expect(dump()).toEqual(afterStarts(before, 1));
	});

	test("without one that reaches the log, a missing database is refused", async () => {
		await withSnapshots();
		for (const name of readdirSync(dataDir)) if (name.startsWith("state.db")) rmSync(join(dataDir, name));
		rmSync(pathsOf(dataDir).snapshots, { recursive: true });
		await expect(open()).rejects.toMatchObject({
			code: "corrupt",
			message: expect.stringMatching(/no intact snapshot/),
		});
	});

	test("what an interrupted one left is removed", async () => {
		await withSnapshots();
		const left = join(pathsOf(dataDir).snapshots, "new.tmp.db");
		writeFileSync(left, "half");
		await open();
		expect(existsSync(left)).toBe(false);
	});
});

describe("restore", () => {
	const restore = (into: string, snapshotPath: string) =>
		restoreSnapshot({ snapshotPath, dataDir: into, newId: () => ids.newId(), nowMs: Date.now(), logger: silentLogger });

	test("a snapshot into an empty folder is the same cluster, and goes on", async () => {
		const { store, system } = await open();
		await system(fixtureCluster());
		await addUsers(system, 0, 7);
		const backup = join(folder, "backup.db");
		const { index, bytes } = await store.snapshot(backup);
		expect([index, statSync(backup).size]).toEqual([9, bytes]);
		await addUsers(system, 7, 1);
		await close(store);
		dataDir = join(folder, "restored");
		chmodSync(backup, 0o644);
		expect(await restore(dataDir, backup)).toMatchObject({ index: 9, membersLeft: [] });
		expect(statSync(pathsOf(dataDir).state).mode & 0o077).toBe(0);
		const identity = await openNodeFile(dataDir, () => expect.unreachable("it is known"));
		const again = await open({ identity });
		expect(again.store.count("user")).toBe(8);
		await addUsers(again.system, 7, 3);
		expect(again.store.appliedIndex).toBe(13);
		await close(again.store);
		expect((await open({ identity })).store.count("user")).toBe(11);
	});

	test("into a folder with a state, of a damaged file, and under a running daemon is refused", async () => {
		await filled(200);
		const { store } = await open();
		const backup = join(folder, "backup.db");
		await store.snapshot(backup);
		await expect(restore(dataDir, backup)).rejects.toMatchObject({ code: "in-use" });
		await close(store);
		await expect(restore(dataDir, backup)).rejects.toMatchObject({ code: "already-exists" });
		writeFileSync(backup, readFileSync(backup).fill(0x5a, 8192, 30_000));
		await expect(restore(join(folder, "new"), backup)).rejects.toMatchObject({ code: "corrupt" });
	});

	test("a snapshot to a folder that does not exist fails and leaves nothing", async () => {
		await filled();
		const { store, system } = await open();
		await expect(store.snapshot(join(folder, "missing/backup.db"))).rejects.toMatchObject({ code: "storage" });
		await addUsers(system, 5, 1);
	});
});
