/** Bits that flip in state and snapshots: noticed, nothing is lost, and the advice that is given works. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toAppError } from "../lib/errors.ts";
import { type Logger, silentLogger } from "../lib/log.ts";
import { afterStarts } from "../testing/dump-state.ts";
import { fixtureCluster } from "../testing/fixtures.ts";
import { flipText, StoreFolder, until } from "../testing/store-folder.ts";

let folder: StoreFolder;
beforeEach(() => {
	folder = new StoreFolder();
});
afterEach(() => folder.remove());

/** Three snapshots made, two kept, the log cut, and a few changes since. */
async function withSnapshots(): Promise<void> {
	const { store, system } = await folder.open({ policy: { snapshotEntries: 100 }, segmentBytes: 8_000 });
	await system(fixtureCluster());
	for (let round = 0; round < 3; round++) {
		await folder.addUsers(system, round * 110, 110);
		await until(() => Number(folder.snapshotNames().at(-1)?.slice(0, 16) ?? 0) > round * 110);
	}
	await until(() => folder.segments()[0] !== "0000000000000001.log");
	await folder.addUsers(system, 330, 10);
	await folder.close(store);
}
const newestSnapshot = () => join(folder.paths.snapshots, folder.snapshotNames().at(-1) ?? "");

async function expectRefusal(): Promise<void> {
	const before = folder.contents();
	await expect(folder.open()).rejects.toMatchObject({
		code: "corrupt",
		message: expect.stringMatching(/^[^\n]*state\.db is damaged.*Nothing was changed\. Move .*state\.db and the files/),
	});
	expect(folder.contents()).toEqual(before);
}

describe("in the state", () => {
	test.each([
		["the log reaches back to the beginning", () => folder.fill(20)],
		["the log was cut behind snapshots", withSnapshots],
	])("is refused, and moving it away brings everything back: %s", async (_, fill) => {
		await fill();
		const good = folder.dump();
		flipText(folder.paths.state, '"name":"user-7"');
		await expectRefusal();
		folder.moveAway("state.db");
		await folder.close((await folder.open()).store);
		expect(folder.dump()).toEqual(afterStarts(good, 1));
	});

	test("while the node runs: no snapshot is made of it, the log is kept, and what is to be done is said", async () => {
		await withSnapshots();
		const said: { message: string; error: unknown }[] = [];
		const logger: Logger = {
			...silentLogger,
			error: (message, fields) => said.push({ message, error: fields?.error }),
		};
		const { store, system } = await folder.open({ policy: { snapshotEntries: 30 }, segmentBytes: 8_000, logger });
		flipText(folder.paths.state, '"name":"user-7"');
		const [snapshots, [firstSegment]] = [folder.snapshotNames(), folder.segments()];
		await folder.addUsers(system, 340, 40);
		await until(() => said.length > 0);
		await folder.addUsers(system, 380, 40);
		expect(said).toHaveLength(1);
		expect(said[0]).toMatchObject({
			message: "the state is damaged: no snapshot was made, and the log is kept",
			error: { code: "corrupt", message: expect.stringMatching(/Stop the node\. Move .*state\.db/) },
		});
		await expect(store.snapshot(join(folder.folder, "backup.db"))).rejects.toMatchObject({ code: "corrupt" });
		expect([folder.snapshotNames(), folder.segments()[0]]).toEqual([snapshots, firstSegment]);
		await folder.close(store);
		await expectRefusal();

		folder.moveAway("state.db");
		const again = await folder.open();
		expect(again.store.count("user")).toBe(421);
		expect(again.store.userByName("user-7")?.user.name).toBe("user-7");
		// What was damaged is gone: snapshots work.
		expect(await again.store.snapshot(join(folder.folder, "backup.db"))).toMatchObject({ index: 424 });
	});
});

test("in the newest snapshot: the older one and the log do", async () => {
	await withSnapshots();
	const good = folder.dump();
	flipText(newestSnapshot(), '"name":"user-7"');
	folder.moveAway("state.db");
	const said: string[] = [];
	const { store } = await folder.open({ logger: { ...silentLogger, error: (message) => said.push(message) } });
	await folder.close(store);
	expect(said).toEqual(["a snapshot cannot be used"]);
	expect(folder.dump()).toEqual(afterStarts(good, 1));
});

test("in all snapshots: refused, and nothing is put in the state's place", async () => {
	await withSnapshots();
	const good = folder.dump();
	const [older = ""] = folder.snapshotNames();
	const kept = join(folder.folder, older);
	cpSync(join(folder.paths.snapshots, older), kept);
	for (const name of folder.snapshotNames()) flipText(join(folder.paths.snapshots, name), '"name":"user-7"');
	const elsewhere = folder.moveAway("state.db");
	const before = folder.contents();
	await expect(folder.open()).rejects.toMatchObject({ code: "corrupt", message: expect.stringMatching(/no intact/) });
	expect(folder.contents()).toEqual(before);
	// "Put state.db or a file of snapshots/ back from a copy": either will do.
	cpSync(join(elsewhere, "state.db"), folder.paths.state);
	await folder.close((await folder.open()).store);
	expect(folder.dump()).toEqual(afterStarts(good, 1));
	folder.moveAway("state.db");
	cpSync(kept, join(folder.paths.snapshots, older));
	await folder.close((await folder.open()).store);
	expect(folder.dump()).toEqual(afterStarts(good, 2));
});

test("a start after a crash looks at all of it, one after an orderly end at every byte", async () => {
	await folder.fill(20);
	const seal = `${folder.paths.state}.seal`;
	expect(await Bun.file(seal).exists()).toBe(true);
	await Bun.file(seal).delete();
	await folder.close((await folder.open()).store);
	expect(await Bun.file(seal).exists()).toBe(true);
	flipText(folder.paths.state, '"name":"user-7"');
	await expectRefusal();
});

test("in SQLite's own write-ahead log after a crash: what it makes of old and new pages is refused, or made up for", async () => {
	await folder.fill(300);
	const { store, system } = await folder.open({ policy: { checkpointBytes: Number.MAX_SAFE_INTEGER } });
	await folder.addUsers(system, 300, 60);
	// A reader holds the checkpoint back: the first half of the log is in the database, and all of it is in the log.
	const reader = new Database(folder.paths.state);
	reader.run("BEGIN");
	reader.query("SELECT count(*) FROM user").get();
	await folder.addUsers(system, 360, 30);
	const checkpointing = new Database(folder.paths.state);
	checkpointing.run("PRAGMA wal_checkpoint(PASSIVE)");
	const crashed = join(folder.folder, "crashed");
	cpSync(folder.dataDir, crashed, { recursive: true });
	for (const database of [reader, checkpointing]) database.close();
	await folder.close(store);
	const good = folder.dump();

	const outcomes: string[] = [];
	for (const place of [0.02, 0.1, 0.3, 0.6, 0.9]) {
		folder.dataDir = join(folder.folder, `crash-${place}`);
		cpSync(crashed, folder.dataDir, { recursive: true });
		const wal = `${folder.paths.state}-wal`;
		const bytes = readFileSync(wal);
		const position = Math.floor(bytes.length * place);
		bytes[position] = (bytes[position] ?? 0) ^ 1;
		writeFileSync(wal, bytes);
		const start = () => folder.open().then(({ store: opened }) => folder.close(opened));
		const outcome = await start().then(
			() => "made up for",
			(error: unknown) => toAppError(error).code,
		);
		outcomes.push(outcome);
		if (outcome === "corrupt") {
			folder.moveAway("state.db");
			await start();
		}
		expect(folder.dump()).toEqual(afterStarts(good, 1));
	}
	// The first places are before the pages that the database has by now.
	expect(outcomes[0]).toBe("corrupt");
	expect(outcomes.at(-1)).toBe("made up for");
});
