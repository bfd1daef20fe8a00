/** Going back to a snapshot: refused where it would lose something, safe to interrupt, and what messages advise it for. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError, toAppError } from "../lib/errors.ts";
import { afterStarts } from "../testing/dump-state.ts";
import { fixtureCluster, fixtureSession, fixtureToken, fixtureUser } from "../testing/fixtures.ts";
import { flipText, StoreFolder } from "../testing/store-folder.ts";

let folder: StoreFolder;
let backup: string;
beforeEach(async () => {
	folder = new StoreFolder();
	backup = join(folder.folder, "backup.db");
});
afterEach(() => folder.remove());

const restore = (dataDir = folder.dataDir, snapshotPath = backup) => folder.restore(snapshotPath, { dataDir });

/** Five users are in the backup, two came after it. */
async function fill(): Promise<void> {
	const { store, system } = await folder.open();
	await system(fixtureCluster());
	await folder.addUsers(system, 0, 5);
	await store.snapshot(backup);
	await folder.addUsers(system, 5, 2);
	await folder.close(store);
}

/** The node starts with the backup's users, takes changes, and starts again. */
async function expectRestored(): Promise<void> {
	const { store, system } = await folder.open();
	expect(store.count("user")).toBe(6);
	await folder.addUsers(system, 5, 1);
	const { term } = store.status();
	expect(term).toBeGreaterThan(1);
	await folder.close(store);
	const again = await folder.open();
	expect(again.store.count("user")).toBe(7);
	await folder.close(again.store);
}

describe("refused, and nothing is changed:", () => {
	const refuses = async (dataDir: string, code: string, message: RegExp) => {
		const before = folder.contents();
		await expect(restore(dataDir)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
		expect(folder.contents()).toEqual(before);
	};

	test("a folder with a state, or with any part of one", async () => {
		await fill();
		await refuses(folder.dataDir, "already-exists", /Move raft\/, snapshots\/ and state\.db\* out of it first/);
		for (const kept of ["raft", "state.db"]) {
			const copy = join(folder.folder, `only-${kept}`);
			mkdirSync(copy);
			cpSync(join(folder.dataDir, kept), join(copy, kept), { recursive: true });
			await expect(restore(copy)).rejects.toMatchObject({ code: "already-exists" });
			expect(readdirSync(copy).sort()).toEqual([kept]);
		}
	});

	test("a folder that a daemon has", async () => {
		await fill();
		const { store } = await folder.open();
		await expect(restore()).rejects.toMatchObject({ code: "in-use" });
		await folder.close(store);
	});

	test("a file that is damaged, is no snapshot, or is not whole", async () => {
		await fill();
		const empty = join(folder.folder, "empty");
		await expect(restore(empty, join(folder.folder, "missing.db"))).rejects.toMatchObject({ code: "not-found" });
		const text = join(folder.folder, "text.db");
		writeFileSync(text, "no database");
		await expect(restore(empty, text)).rejects.toMatchObject({ code: "corrupt" });
		writeFileSync(text, "");
		await expect(restore(empty, text)).rejects.toMatchObject({ code: "corrupt" });
		writeFileSync(`${backup}-wal`, "changes");
		await expect(restore(empty)).rejects.toMatchObject({ code: "invalid", message: expect.stringMatching(/-wal/) });
		rmSync(`${backup}-wal`);
		flipText(backup, '"name":"user-3"');
		await expect(restore(empty)).rejects.toMatchObject({ code: "corrupt" });
		expect(existsSync(empty)).toBe(false);
	});
});

test("a backup that is streamed is the same state, and leaves no file", async () => {
	const { store, system } = await folder.open();
	await system(fixtureCluster());
	await folder.addUsers(system, 0, 5);
	const [first, second] = await Promise.allSettled([store.backup(), store.backup()]);
	expect(second).toMatchObject({ status: "rejected", reason: { code: "too-many-requests" } });
	if (first?.status !== "fulfilled") throw new Error("there is no backup");
	const bytes = await new Response(first.value.stream).bytes();
	expect(bytes.length).toBe(first.value.sizeBytes);
	expect(readdirSync(folder.paths.snapshots)).toEqual([]);
	await (await store.backup()).stream.cancel();
	await folder.close(store);
	writeFileSync(backup, bytes);
	folder.dataDir = join(folder.folder, "restored");
	expect(await restore()).toEqual({ index: 7, nodeName: "node-1", membersLeft: [] });
	await expectRestored();
});

test("what else is in the folder stays, and nobody else can read the state", async () => {
	await fill();
	mkdirSync(join(folder.dataDir, "pools/local"), { recursive: true });
	writeFileSync(join(folder.dataDir, "pools/local/disk.qcow2"), "data");
	folder.moveAway("raft", "snapshots", "state.db");
	await restore();
	expect(readFileSync(join(folder.dataDir, "pools/local/disk.qcow2"), "utf8")).toBe("data");
	expect(statSync(folder.paths.state).mode & 0o077).toBe(0);
	await expectRestored();
});

test("the folder that it makes is one that QEMU's user can pass", async () => {
	await fill();
	folder.dataDir = join(folder.folder, "new");
	await restore();
	expect(statSync(folder.dataDir).mode & 0o777).toBe(0o711);
});

test("the state is damaged afterwards: the advice brings everything back", async () => {
	await fill();
	folder.moveAway("raft", "snapshots", "state.db");
	await restore();
	expect(folder.snapshotNames()).toEqual(["0000000000000007.db"]);
	const { store, system } = await folder.open();
	await folder.addUsers(system, 10, 3);
	await folder.close(store);
	const good = folder.dump();
	flipText(folder.paths.state, '"name":"user-3"');
	await expect(folder.open()).rejects.toMatchObject({
		code: "corrupt",
		message: expect.stringMatching(/Move .*state\.db and the files beside it/),
	});
	folder.moveAway("state.db");
	await folder.close((await folder.open()).store);
	expect(folder.dump()).toEqual(afterStarts(good, 1));
});

test("all sessions of the backup are ended; what else is in it is as it was", async () => {
	const { store, system } = await folder.open();
	await system(fixtureCluster());
	const user = fixtureUser({ id: folder.ids.newId(), name: "user-0" });
	await system({ kind: "userCreate", user, passwordHash: "$x" });
	const [sessionHash, tokenHash] = ["5e".repeat(16), "70".repeat(16)];
	const session = fixtureSession({ id: folder.ids.newId(), userId: user.id });
	await system({ kind: "sessionCreate", session, secretHash: sessionHash });
	const token = fixtureToken({ id: folder.ids.newId(), userId: user.id });
	await system({ kind: "tokenCreate", token, secretHash: tokenHash });
	expect(store.sessionBySecretHash(sessionHash)?.user.id).toBe(user.id);
	await store.snapshot(backup);
	await folder.close(store);
	folder.dataDir = join(folder.folder, "restored");
	await restore();
	// Of the secret, not a byte is left.
	const files = [folder.paths.state, join(folder.paths.snapshots, folder.snapshotNames()[0] ?? "")];
	for (const file of files) expect(readFileSync(file).includes(sessionHash)).toBe(false);
	for (const round of ["from the state", "from the snapshot"]) {
		const again = await folder.open();
		expect([round, again.store.count("session")]).toEqual([round, 0]);
		expect(again.store.sessionBySecretHash(sessionHash)).toBe(null);
		expect(again.store.tokenBySecretHash(tokenHash)?.user.id).toBe(user.id);
		expect(again.store.userSecret(user.id)).toEqual({ passwordHash: "$x" });
		await folder.close(again.store);
		folder.moveAway("state.db");
	}
});

describe("what the messages advise works:", () => {
	const restoring =
		/move raft\/, snapshots\/ and state\.db\* out of the data folder and run limiquantix cluster restore/;
	const segment = () => join(folder.paths.log, "0000000000000001.log");

	test.each([
		["a damaged log", () => flipText(segment(), "user-3")],
		["a missing log", () => rmSync(folder.paths.log, { recursive: true })],
		["a missing vote", () => rmSync(join(folder.paths.log, "hard-state"))],
		["a damaged vote", () => writeFileSync(join(folder.paths.log, "hard-state"), "{}")],
		[
			"neither state nor snapshot that reaches the log",
			() => {
				folder.moveAway("state.db");
				cpSync(segment(), join(folder.paths.log, "0000000000000002.log"));
				rmSync(segment());
			},
		],
	])("%s", async (what, harm) => {
		await fill();
		const good = join(folder.folder, "good");
		cpSync(folder.dataDir, good, { recursive: true });
		harm();
		const before = folder.contents();
		const { code, message } = await folder.open().then(
			() => new AppError("internal", `${what}: it started`),
			(failure: unknown) => toAppError(failure),
		);
		expect(code).toBe("corrupt");
		expect(message).toMatch(restoring);
		expect(message).toContain("Nothing was changed");
		expect(folder.contents()).toEqual(before);

		// A copy of the folder put back, whole.
		folder.moveAway("raft", "snapshots", "state.db");
		cpSync(good, folder.dataDir, { recursive: true });
		const { store } = await folder.open();
		expect(store.count("user")).toBe(8);
		await folder.close(store);
		// Or a snapshot.
		folder.moveAway("raft", "snapshots", "state.db");
		await restore();
		await expectRestored();
	});
});
