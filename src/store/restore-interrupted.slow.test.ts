/**
 * A restore that a crash interrupts, at each of its steps: the node does not start, another restore completes it, and
 * neither takes away anything that the restore did not make.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "../lib/log.ts";
import { fixtureCluster } from "../testing/fixtures.ts";
import { StoreFolder } from "../testing/store-folder.ts";
import { restoreSnapshot } from "./restore.ts";

const steps = [
	"begun",
	"cleared",
	"snapshot made",
	"state made",
	"log made",
	"recorded",
	"snapshots moved",
	"raft moved",
	"state.db moved",
	"work removed",
];

let folder: StoreFolder;
let backup: string;
/** The state of before the restore: seven users, where the backup has five. */
let original: string;
/** What a crash after the step leaves. */
const crashed = (step: string) => join(folder.folder, `after ${step}`);
const seen: string[] = [];

beforeAll(async () => {
	folder = new StoreFolder();
	backup = join(folder.folder, "backup.db");
	const { store, system } = await folder.open({ policy: { snapshotEntries: 4 } });
	await system(fixtureCluster());
	await folder.addUsers(system, 0, 5);
	await store.snapshot(backup);
	await folder.addUsers(system, 5, 2);
	await folder.close(store);
	original = folder.dataDir;
	folder.dataDir = join(folder.folder, "restored");
	const afterStep = (step: string) => {
		seen.push(step);
		cpSync(folder.dataDir, crashed(step), { recursive: true });
	};
	await restoreSnapshot({ snapshotPath: backup, dataDir: folder.dataDir, logger: silentLogger, afterStep });
});
afterAll(() => folder.remove());

let count = 0;
/** A data folder of its own, as the crash left it. */
function begin(step: string): void {
	count += 1;
	folder.dataDir = join(folder.folder, `${count}`);
	cpSync(crashed(step), folder.dataDir, { recursive: true });
}
const restore = (afterStep: (step: string) => void = () => {}) =>
	restoreSnapshot({ snapshotPath: backup, dataDir: folder.dataDir, logger: silentLogger, afterStep });

async function expectUsers(users: number): Promise<void> {
	const { store } = await folder.open();
	expect(store.count("user")).toBe(users);
	await folder.close(store);
}
const expectRestored = () => expectUsers(6);

test("these are all of the steps, and nothing of them is left", async () => {
	expect(seen).toEqual(steps);
	expect(readdirSync(join(folder.folder, "restored")).sort()).toEqual(["lock", "raft", "snapshots", "state.db"]);
});

describe.each(steps)("after the step: %s", (step) => {
	test("the node does not start, and changes nothing; another restore completes it", async () => {
		begin(step);
		const before = folder.contents();
		await expect(folder.open()).rejects.toMatchObject({
			code: "corrupt",
			message: expect.stringMatching(/was not finished.*Run it again: limiquantix cluster restore FILE.*Or give it up/),
		});
		expect(folder.contents()).toEqual(before);
		expect(await restore()).toEqual({ index: 7 });
		await expectRestored();
	});

	test("as is advised, it can be given up", async () => {
		begin(step);
		folder.moveAway("raft", "snapshots", "state.db");
		cpSync(original, folder.dataDir, { recursive: true });
		rmSync(join(folder.dataDir, "restore.tmp"), { recursive: true, force: true });
		rmSync(folder.paths.restoring);
		await expectUsers(8);
	});

	test("the state of before, put back beside the marker, is not taken away by another restore", async () => {
		begin(step);
		folder.moveAway("raft", "snapshots", "state.db");
		cpSync(original, folder.dataDir, { recursive: true });
		const before = folder.contents();
		await expect(restore()).rejects.toMatchObject({
			code: "already-exists",
			message: expect.stringMatching(
				/was interrupted, and .* is not from it\. Nothing was changed\. If it is the state/,
			),
		});
		expect(folder.contents()).toEqual(before);
		// As that advises.
		rmSync(join(folder.dataDir, "restore.tmp"), { recursive: true, force: true });
		rmSync(folder.paths.restoring);
		await expectUsers(8);
	});

	test("nor is a part of it", async () => {
		for (const part of ["raft", "snapshots", "state.db"]) {
			begin(step);
			rmSync(join(folder.dataDir, part), { recursive: true, force: true });
			cpSync(join(original, part), join(folder.dataDir, part), { recursive: true });
			const before = folder.contents();
			await expect(restore()).rejects.toMatchObject({ code: "already-exists" });
			expect(folder.contents()).toEqual(before);
		}
	});
});

test("the second one is interrupted as well: the third completes it", async () => {
	for (const second of ["begun", "cleared", "recorded", "raft moved", "state.db moved"]) {
		begin("raft moved");
		const crashedAgain = join(folder.folder, `${count}-again`);
		await restore((now) => {
			if (now === second) cpSync(folder.dataDir, crashedAgain, { recursive: true });
		});
		folder.dataDir = crashedAgain;
		expect(await restore()).toEqual({ index: 7 });
		expect(existsSync(folder.paths.restoring)).toBe(false);
	}
	await expectRestored();
});

test("interrupted while it takes away what the first one made: any part may be missing", async () => {
	begin("work removed");
	const files = readdirSync(folder.dataDir, { recursive: true, withFileTypes: true })
		.filter((file) => file.isFile() && !["lock", "restoring"].includes(file.name))
		.map((file) => join(file.parentPath, file.name));
	expect(files).toHaveLength(4);
	for (const [position, file] of files.entries()) {
		if (position > 0) begin("work removed");
		rmSync(file.replace(/^.*?\/\d+\//, `${folder.dataDir}/`));
		expect(await restore()).toEqual({ index: 7 });
		await expectRestored();
	}
});

test("a marker without a record, as an older version left it: what is there is nobody's to take away", async () => {
	begin("begun");
	mkdirSync(folder.paths.log);
	writeFileSync(join(folder.paths.log, "hard-state"), "x");
	await expect(restore()).rejects.toMatchObject({ code: "already-exists" });
	expect(existsSync(join(folder.paths.log, "hard-state"))).toBe(true);
	rmSync(folder.paths.log, { recursive: true });
	await restore();
	await expectRestored();
});

test("one that fails leaves the folder as it was: without a marker, or with that of the one before", async () => {
	for (const step of ["cleared", "log made", "raft moved", "work removed"]) {
		folder.dataDir = join(folder.folder, `fails ${step}`);
		mkdirSync(folder.dataDir);
		const failing = () =>
			restore((now) => {
				if (now === step) throw new Error("the disk failed");
			});
		await expect(failing()).rejects.toThrow("the disk failed");
		expect(readdirSync(folder.dataDir)).toEqual(["lock"]);
		writeFileSync(folder.paths.restoring, "");
		await expect(failing()).rejects.toThrow("the disk failed");
		expect(readdirSync(folder.dataDir).sort()).toEqual(["lock", "restoring"]);
	}
});
