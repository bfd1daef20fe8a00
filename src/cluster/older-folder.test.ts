/** A data folder as the last release without clusters left it: goes on, as the same node, with everything. */

import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import { encodeCommand } from "../store/codec.ts";
import type { Command, CommandBody } from "../store/command.ts";
import { openDiskFiles } from "../store/log/disk-files.ts";
import { SegmentLog } from "../store/log/segment-log.ts";
import { openStore, pathsOf } from "../store/open-store.ts";
import { proposer } from "../store/proposer.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { migrate, migrations } from "../store/sqlite/migrations.ts";
import { snapshotName } from "../store/sqlite/snapshot-files.ts";
import { digestText, stateDigest, writeDigest } from "../store/sqlite/state-digest.ts";
import type { Store } from "../store/store.ts";
import { clusterIds, fixtureCluster, fixtureId, fixtureUser } from "../testing/fixtures.ts";
import { openNodeFile } from "./node-file.ts";

let dataDir: string;
let store: Store | null = null;
beforeEach(() => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-older-folder-"));
});
afterEach(async () => {
	await store?.close();
	store = null;
	rmSync(dataDir, { recursive: true });
});

let made = 0;
const command = (body: CommandBody): Uint8Array => {
	made += 1;
	const envelope: Command = {
		...{ id: fixtureId(0x5000 + made), timeMs: Date.UTC(2026, 0, 1, 0, 0, made), remoteAddress: null },
		...{ requester: { kind: "system", id: null, name: "system" }, credential: null },
		...{ operation: "system", idempotencyKey: null, body },
	};
	return encodeCommand(envelope);
};
const userNames = Array.from({ length: 12 }, (_, number) => `user-${number}`);

/** Its first command did not say what nodes have since. */
function firstCommand(): CommandBody {
	const { node, ...init } = fixtureCluster();
	const { peerAddresses: _addresses, witness: _witness, ...before } = node;
	return { ...init, node: before as typeof node };
}

/** Two starts: each was a term of its own, and began with no entry. The votes were for nobody. */
async function writeLog(firstIndex = 1): Promise<void> {
	const { log: directory } = pathsOf(dataDir);
	const files = await openDiskFiles({ directory, sync: true });
	const log = await SegmentLog.open({ files, logger: silentLogger, onFatal: () => {}, knownIndex: 0 }, firstIndex);
	const bodies = [
		firstCommand(),
		...userNames.map((name, number): CommandBody => {
			const user = fixtureUser({ id: fixtureId(0x800 + number), name });
			return { kind: "userCreate", user, passwordHash: "$x" };
		}),
	];
	for (const [at, body] of bodies.entries()) {
		const data = command(body);
		if (at + 1 >= firstIndex) await log.append([{ index: at + 1, term: at < 6 ? 1 : 2, data }]);
	}
	await log.close();
	// In the format of before: without recoveries.
	const json = '{"term":2,"vote":null}';
	const sum = (await import("../store/log/crc32c.ts")).crc32c(Buffer.from(json)).toString(16).padStart(8, "0");
	await Bun.write(join(directory, "hard-state"), `${json} ${sum}\n`);
	await files.close();
}

/** Of the schema of before, with what the first `upTo` entries made: so far as this test reads it. */
function writeState(path: string, upTo: number): void {
	const database = new Database(path, { create: true, strict: true });
	database.run("PRAGMA journal_mode = WAL");
	migrate(database, migrations.slice(0, 2));
	const { node, cluster, admin, adminPasswordHash } = fixtureCluster();
	const { peerAddresses: _addresses, witness: _witness, ...before } = node;
	const put = (table: string, object: { id: string }) =>
		database.run(`INSERT INTO ${table} (id, doc) VALUES (?, ?)`, [object.id, JSON.stringify(object)]);
	put("cluster", cluster);
	put("node", before);
	put("user", admin);
	database.run("INSERT INTO user_secret (id, password_hash) VALUES (?, ?)", [admin.id, adminPasswordHash]);
	for (const [number, name] of userNames.slice(0, upTo - 1).entries()) {
		put("user", fixtureUser({ id: fixtureId(0x800 + number), name }));
		database.run("INSERT INTO user_secret (id, password_hash) VALUES (?, ?)", [fixtureId(0x800 + number), "$x"]);
	}
	database.run("INSERT INTO meta (key, value) VALUES ('appliedIndex', ?), ('appliedTerm', ?)", [
		upTo,
		upTo <= 6 ? 1 : 2,
	]);
	writeDigest(database);
	expect(digestText(stateDigest.digestOf(database))).toHaveLength(16);
	database.close();
}

async function open(): Promise<{ opened: Store; consensus: RaftConsensus }> {
	const identity = await openNodeFile(dataDir, () => expect.unreachable("who it is is known"));
	expect(identity).toEqual({ nodeId: clusterIds.node, clusterId: clusterIds.cluster, founder: true });
	let consensus: RaftConsensus | undefined;
	const opened = await openStore({
		...{ dataDir, identity, clock: systemClock, logger: silentLogger, random: () => 0, fsync: false },
		onConsensus(started) {
			consensus = started;
		},
		onFatal(error) {
			throw error;
		},
	});
	store = opened;
	return { opened, consensus: consensus as RaftConsensus };
}

async function expectEverything(term: number, applied: number): Promise<void> {
	const { opened, consensus } = await open();
	expect(opened.status()).toMatchObject({ term, quorum: true, leader: clusterIds.node, appliedIndex: applied });
	expect(userNames.filter((name) => opened.userByName(name) === null)).toEqual([]);
	expect(opened.count("user")).toBe(13);
	expect(opened.get("node", clusterIds.node)).toMatchObject({ name: "node-1", peerAddresses: [], witness: false });
	expect(consensus.details().configuration.voters).toEqual([clusterIds.node]);
	const user = fixtureUser({ id: fixtureId(0x900), name: "later" });
	const { proposeSystem } = proposer(opened, systemClock, { newId: () => fixtureId(0x6000) });
	await proposeSystem({ kind: "userCreate", user, passwordHash: "$x" });
	await opened.close();
	store = null;
	const again = await open();
	expect(again.opened.userByName("later")?.user.id).toBe(user.id);
	expect(again.opened.status()).toMatchObject({ term: term + 1, appliedIndex: applied + 2 });
}

test("with state and log, as after an orderly end", async () => {
	await writeLog();
	writeState(pathsOf(dataDir).state, 13);
	await expectEverything(3, 14);
	expect(existsSync(join(dataDir, "node.json"))).toBe(true);
});

test("with a state that a power cut took back: the log has the rest", async () => {
	await writeLog();
	writeState(pathsOf(dataDir).state, 4);
	await expectEverything(3, 14);
});

test("with a log that was cut behind a snapshot", async () => {
	await writeLog(5);
	const { snapshots, state } = pathsOf(dataDir);
	mkdirSync(snapshots, { mode: 0o700 });
	writeState(join(snapshots, snapshotName(8)), 8);
	writeState(state, 9);
	await expectEverything(3, 14);
	expect(readdirSync(snapshots)).toContain(snapshotName(8));
});
