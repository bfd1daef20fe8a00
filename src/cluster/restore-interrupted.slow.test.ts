/**
 * A restore that a crash interrupts, at each of its steps: the node does not start, another restore completes it, and
 * neither takes away anything that the restore did not make.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeSecret } from "../peer/identity.ts";
import { fixtureCluster } from "../testing/fixtures.ts";
import { StoreFolder } from "../testing/store-folder.ts";
import { loneNode } from "../testing/store-identity.ts";
import { openNodeFile, writeNodeFile } from "./node-file.ts";

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
	"peer removed",
	"node.json written",
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
	// Of a node that had been somebody else: a member of a cluster.
	await writeNodeFile(join(folder.dataDir, "node.json"), loneNode.identity);
	await writeSecret(join(folder.dataDir, "peer/members.json"), "{}");
	await folder.restore(backup, { afterStep });
});
afterAll(() => folder.remove());

let count = 0;
/** A data folder of its own, as the crash left it. */
function begin(step: string): void {
	count += 1;
	folder.dataDir = join(folder.folder, `${count}`);
	cpSync(crashed(step), folder.dataDir, { recursive: true });
}
const restore = (afterStep: (step: string) => void = () => {}) => folder.restore(backup, { afterStep });

async function expectUsers(users: number): Promise<void> {
	const identity = await openNodeFile(folder.dataDir, () => expect.unreachable("it is known"));
	expect(identity.clusterId === loneNode.identity.clusterId).toBe(users === 8);
	const { store } = await folder.open();
	expect([store.count("user"), store.all("cluster").map(({ id }) => id)]).toEqual([users, [identity.clusterId]]);
	await folder.close(store);
}
/** As the messages advise it. */
function giveUp(): void {
	rmSync(join(folder.dataDir, "restore.tmp"), { recursive: true, force: true });
	rmSync(join(folder.dataDir, "node.json"), { force: true });
	rmSync(folder.paths.restoring);
	const before = join(folder.dataDir, "node.json.before");
	if (existsSync(before)) renameSync(before, join(folder.dataDir, "node.json"));
}
const expectRestored = () => expectUsers(6);

test("these are all of the steps, and nothing of them is left", async () => {
	expect(seen).toEqual(steps);
	expect(readdirSync(join(folder.folder, "restored")).sort()).toEqual([
		"lock",
		"node.json",
		"raft",
		"snapshots",
		"state.db",
	]);
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
		expect(await restore()).toMatchObject({ index: 7, membersLeft: [] });
		await expectRestored();
	});

	test("as is advised, it can be given up", async () => {
		begin(step);
		folder.moveAway("raft", "snapshots", "state.db");
		cpSync(original, folder.dataDir, { recursive: true });
		giveUp();
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
		giveUp();
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
		expect(await restore()).toMatchObject({ index: 7, membersLeft: [] });
		expect(existsSync(folder.paths.restoring)).toBe(false);
	}
	await expectRestored();
});

test("interrupted while it takes away what the first one made: any part may be missing", async () => {
	begin("peer removed");
	const files = readdirSync(folder.dataDir, { recursive: true, withFileTypes: true })
		.filter((file) => file.isFile() && !["lock", "restoring", "node.json", "node.json.before"].includes(file.name))
		.map((file) => join(file.parentPath, file.name));
	expect(files).toHaveLength(4);
	for (const [position, file] of files.entries()) {
		if (position > 0) begin("peer removed");
		rmSync(file.replace(/^.*?\/\d+\//, `${folder.dataDir}/`));
		expect(await restore()).toMatchObject({ index: 7, membersLeft: [] });
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
	for (const step of ["cleared", "log made", "raft moved", "work removed", "node.json written"]) {
		folder.dataDir = join(folder.folder, `fails ${step}`);
		mkdirSync(folder.dataDir);
		await writeNodeFile(join(folder.dataDir, "node.json"), loneNode.identity);
		const nodeFile = readFileSync(join(folder.dataDir, "node.json"), "utf8");
		const failing = () =>
			restore((now) => {
				if (now === step) throw new Error("the disk failed");
			});
		await expect(failing()).rejects.toThrow("the disk failed");
		expect(readdirSync(folder.dataDir).sort()).toEqual(["node.json"]);
		expect(readFileSync(join(folder.dataDir, "node.json"), "utf8")).toBe(nodeFile);
		writeFileSync(folder.paths.restoring, "");
		await expect(failing()).rejects.toThrow("the disk failed");
		expect(readdirSync(folder.dataDir).sort()).toEqual(["node.json", "restoring"]);
	}
});
