/** A node becomes another one: all or nothing, also when it is interrupted at any step. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as files from "node:fs/promises";
import { join } from "node:path";
import { silentLogger } from "../lib/log.ts";
import { loadIdentity } from "../peer/identity.ts";
import { clusterId, testId, testIdentity } from "../peer/test-peers.ts";
import { clusterPathsOf, readNodeFile, writeNodeFile } from "./node-file.ts";
import { admittedAgain, completeSwitch, prepareFresh, prepareJoin, prepareReturn, readHints } from "./switch.ts";

let folder: string;
let dataDir: string;
const before = testId(0xbe);
beforeEach(async () => {
	folder = mkdtempSync("/tmp/lqx-switch-");
	dataDir = join(folder, "data");
	mkdirSync(join(dataDir, "raft"), { recursive: true });
	for (const [name, text] of Object.entries(stateOf)) writeFileSync(join(dataDir, name), text);
	mkdirSync(join(dataDir, "snapshots"));
	mkdirSync(join(dataDir, "peer"));
	writeFileSync(join(dataDir, "peer", "identity.pem"), "the old identity");
	mkdirSync(join(dataDir, "pools", "local"), { recursive: true });
	writeFileSync(join(dataDir, "pools", "local", "disk"), "a disk");
	await writeNodeFile(clusterPathsOf(dataDir).node, { nodeId: before, clusterId: testId(0xc0), founder: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

const stateOf = { "state.db": "the old state", "state.db-wal": "its log", "raft/0.log": "the old log" };
const join1 = async () => {
	const identity = await testIdentity(1);
	const members = [{ nodeId: testId(2), name: "n2", addresses: ["10.0.0.2:8444"] }];
	await prepareJoin(dataDir, { identity, members, formerNodeId: before, rename: true, witness: false }, before);
	return identity;
};

function expectWhatWas(): void {
	const former = join(clusterPathsOf(dataDir).former, before);
	for (const [name, text] of Object.entries(stateOf)) expect(readFileSync(join(former, name), "utf8")).toBe(text);
	expect(readFileSync(join(former, "peer", "identity.pem"), "utf8")).toBe("the old identity");
	for (const name of ["state.db", "state.db-wal", "raft", "snapshots"])
		expect(existsSync(join(dataDir, name))).toBe(false);
	expect(readFileSync(join(dataDir, "pools", "local", "disk"), "utf8")).toBe("a disk");
}

test("a join takes effect at the next start", async () => {
	const identity = await join1();
	expect(readFileSync(join(dataDir, "state.db"), "utf8")).toBe("the old state");
	expect(await completeSwitch(dataDir, silentLogger)).toBe(true);
	const paths = clusterPathsOf(dataDir);
	expect(await readNodeFile(paths.node)).toEqual({ nodeId: testId(1), clusterId, founder: false });
	expect((await loadIdentity(paths.identity))?.fingerprint).toBe(identity.fingerprint);
	expect(await readHints(dataDir)).toMatchObject({ formerNodeId: before, rename: true, members: [{ name: "n2" }] });
	expectWhatWas();
	expect(await completeSwitch(dataDir, silentLogger)).toBe(false);
});

test("admitted once more before it has arrived, it still knows what it was; as the same member it keeps its log", async () => {
	const identity = await join1();
	await completeSwitch(dataDir, silentLogger);
	const joined = { members: [], formerNodeId: before, rename: false, witness: false };
	writeFileSync(join(dataDir, "state.db"), "of the member");
	const renewed = await testIdentity(1);
	await admittedAgain(dataDir, { ...joined, identity: renewed });
	expect(await completeSwitch(dataDir, silentLogger)).toBe(false);
	expect((await loadIdentity(clusterPathsOf(dataDir).identity))?.fingerprint).toBe(renewed.fingerprint);
	expect(readFileSync(join(dataDir, "state.db"), "utf8")).toBe("of the member");
	expect(await readHints(dataDir)).toEqual(joined);
	// As another member, somewhere else or after it was removed.
	await prepareJoin(dataDir, { ...joined, identity: await testIdentity(3) }, identity.nodeId);
	await completeSwitch(dataDir, silentLogger);
	expect((await readNodeFile(clusterPathsOf(dataDir).node))?.nodeId).toBe(testId(3));
	expect((await readHints(dataDir))?.formerNodeId).toBe(before);
	const { former } = clusterPathsOf(dataDir);
	expect(readFileSync(join(former, identity.nodeId, "state.db"), "utf8")).toBe("of the member");
	for (const [name, text] of Object.entries(stateOf))
		expect(readFileSync(join(former, before, name), "utf8")).toBe(text);
});

test("a node that left is nobody at the next start", async () => {
	await prepareFresh(dataDir, before);
	expect(await completeSwitch(dataDir, silentLogger)).toBe(true);
	expect(await readNodeFile(clusterPathsOf(dataDir).node)).toBe(null);
	expect(await readHints(dataDir)).toBe(null);
	expectWhatWas();
});

test("a join that was not completed is undone, also when that is interrupted", async () => {
	const identity = await join1();
	await completeSwitch(dataDir, silentLogger);
	const paths = clusterPathsOf(dataDir);
	writeFileSync(join(dataDir, "state.db"), "of the member");
	await prepareReturn(dataDir, before, identity.nodeId);
	// Interrupted before that was written down: asked for again.
	rmSync(paths.switching);
	expect(await completeSwitch(dataDir, silentLogger)).toBe(false);
	await prepareReturn(dataDir, before, identity.nodeId);
	expect(await completeSwitch(dataDir, silentLogger)).toBe(true);
	expect((await readNodeFile(paths.node))?.nodeId).toBe(before);
	for (const [name, text] of Object.entries(stateOf)) expect(readFileSync(join(dataDir, name), "utf8")).toBe(text);
	expect(readFileSync(join(dataDir, "peer", "identity.pem"), "utf8")).toBe("the old identity");
	expect(readFileSync(join(paths.former, identity.nodeId, "state.db"), "utf8")).toBe("of the member");
	await expect(prepareReturn(dataDir, before, identity.nodeId)).rejects.toMatchObject({ code: "corrupt" });
});

test("what was set aside under the same id before is kept, too", async () => {
	const { former } = clusterPathsOf(dataDir);
	mkdirSync(join(former, before), { recursive: true });
	writeFileSync(join(former, before, "state.db"), "an older state");
	await prepareFresh(dataDir, before);
	await completeSwitch(dataDir, silentLogger);
	expectWhatWas();
	expect(readFileSync(join(former, `${before}-2`, "state.db"), "utf8")).toBe("an older state");
});

test("nothing happens without a decision, whatever a join that broke off has left", async () => {
	const identity = await testIdentity(1);
	const joining = clusterPathsOf(clusterPathsOf(dataDir).joining);
	mkdirSync(joining.peer, { recursive: true });
	await writeNodeFile(joining.node, { nodeId: identity.nodeId, clusterId, founder: false });
	expect(await completeSwitch(dataDir, silentLogger)).toBe(false);
	expect((await readNodeFile(clusterPathsOf(dataDir).node))?.nodeId).toBe(before);
});

test("interrupted after any rename, it goes on at the next start", async () => {
	await join1();
	const prepared = join(folder, "prepared");
	cpSync(dataDir, prepared, { recursive: true });
	// As many runs as there are renames: each run ends at the next one.
	for (let renames = 0; ; renames++) {
		rmSync(dataDir, { recursive: true });
		cpSync(prepared, dataDir, { recursive: true });
		const done = await interruptedAfter(renames);
		await completeSwitch(dataDir, silentLogger);
		expect((await readNodeFile(clusterPathsOf(dataDir).node))?.nodeId).toBe(testId(1));
		expect(readdirSync(dataDir).sort()).toEqual(["former", "lock", "node.json", "peer", "pools"]);
		expectWhatWas();
		if (done) {
			expect(renames).toBe(8);
			return;
		}
	}
});

/** True when the switch came to its end before the rename that was to be the last. */
async function interruptedAfter(renames: number): Promise<boolean> {
	const { rename } = files;
	let left = renames;
	const dying = async (from: string, to: string) => {
		if (left-- <= 0) throw new Error("the power is gone");
		await rename(from, to);
	};
	try {
		await completeSwitch(dataDir, silentLogger, dying);
		return true;
	} catch (error) {
		expect(String(error)).toContain("the power is gone");
		return false;
	}
}
