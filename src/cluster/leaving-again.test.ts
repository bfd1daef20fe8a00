/** Who asks again for a node to leave, while the others cannot let it go yet, or nobody knows what became of it, undoes nothing. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import type { CommandBody } from "../store/command.ts";
import { notLeading, unknownOutcome } from "../store/raft/refusals.ts";
import { clusterIds, fixtureCluster, fixtureId, fixtureMember, fixturePool, fixtureTask } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../testing/memory-store.ts";
import { Leaving, type LeavingDeps } from "./leaving.ts";
import { clusterPathsOf } from "./node-file.ts";
import { Turns } from "./turns.ts";

const own = fixtureId(0x998);
const others = [clusterIds.node, fixtureId(0x997)];
const [poolId, path] = [fixtureId(0x500), "/srv/pool"];

/** Of the leave alone. */
let clock: ManualClock;
let dataDir: string;
let store: MemoryStore;
/** Raft has taken it out. */
let isLetGo: boolean;
let asked: number;
let released: string[];
let beginnings: number;
let leaving: Leaving;

const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
const note = () => clusterPathsOf(dataDir).leaving;
const until = async (condition: () => boolean) => {
	while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};

function started(): Leaving {
	return new Leaving({
		...{ dataDir, node: { nodeId: own, clusterId: clusterIds.cluster, founder: false }, hints: null, store, clock },
		...{ turns: new Turns(), logger: silentLogger },
		consensus: {
			details: () =>
				({
					...{ removed: isLetGo, lastIndex: 1, role: "follower" },
					configuration: { voters: isLetGo ? others : [...others, own], witnesses: [], learners: [], removed: [] },
				}) as unknown as ReturnType<LeavingDeps["consensus"]["details"]>,
			noteRemoved() {},
		},
		silence: () => () => {},
		poolFolders: {
			async handOver() {},
			async release(_path, id) {
				released.push(id);
			},
		},
		onFresh() {
			beginnings += 1;
		},
		async onRemoved() {},
	});
}

beforeEach(async () => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-leaving-again-"));
	mkdirSync(clusterPathsOf(dataDir).peer);
	clock = new ManualClock();
	[isLetGo, asked, released, beginnings] = [false, 0, [], 0];
	store = await openMemoryStore({ commands: [fixtureCluster()] });
	for (const [number, id] of [own, others[1]].entries())
		for (const body of fixtureMember({ id, name: `node-${number + 2}` }, systemClock.nowMs())) await apply(body);
	const pool = fixturePool({ id: poolId, name: "both", config: { path }, nodeIds: [clusterIds.node, own] });
	await apply({ kind: "poolCreate", pool, task: fixtureTask("pool.create", { kind: "pool", id: poolId }, {}) });
	leaving = started();
});
afterEach(async () => {
	await store.close();
	rmSync(dataDir, { recursive: true, force: true });
});

const removal: CommandBody = { kind: "nodeRemove", id: own, leaving: true, confirmName: null };
const leave = () =>
	leaving.leave(async () => {
		asked += 1;
		await apply(removal);
	});
const leaveFailing = (error: Error) => leaving.leave(() => Promise.reject(error));
/** The first to ask has waited in vain. */
async function notLetGoYet(): Promise<void> {
	const first = leave().catch((error: unknown) => error);
	await until(() => clock.waiting > 0);
	clock.advance(31_000);
	expect(await first).toMatchObject({ code: "timeout", message: expect.stringContaining("not let this one go yet") });
}

test("after it was down as one that has left, it proposes nothing, and leaves with its pools when it is let go", async () => {
	await notLetGoYet();
	const written = readFileSync(note(), "utf8");
	const second = leave();
	await until(() => clock.waiting > 0);
	expect([asked, readFileSync(note(), "utf8")]).toEqual([1, written]);
	isLetGo = true;
	clock.advance(100);
	await second;
	expect([released, beginnings]).toEqual([[poolId], 1]);
});

test("the same after a restart, and when the note of it is gone", async () => {
	await notLetGoYet();
	leaving = started();
	rmSync(note());
	await apply({ kind: "nodeRemove", id: others[1] ?? "", leaving: false, confirmName: "node-3" });
	const second = leave();
	await until(() => clock.waiting > 0);
	isLetGo = true;
	// Who looks hears of it first.
	leaving.watch(false);
	clock.advance(100);
	await second;
	expect([asked, beginnings, existsSync(clusterPathsOf(dataDir).removed)]).toEqual([1, 1, false]);
});

test("two who ask at the same time have the same answer, and it is proposed once", async () => {
	const both = [leave(), leave()];
	await until(() => clock.waiting > 0);
	expect(clock.waiting).toBe(1);
	isLetGo = true;
	clock.advance(100);
	await Promise.all(both);
	expect([asked, released, beginnings]).toEqual([1, [poolId], 1]);
});

test("what was asked of it first may still take effect when the second is not even proposed", async () => {
	await expect(leaveFailing(unknownOutcome("The leading node was lost."))).rejects.toMatchObject({
		code: "unavailable",
	});
	await expect(leaveFailing(notLeading(null))).rejects.toMatchObject({ code: "unavailable" });
	await apply(removal);
	isLetGo = true;
	leaving.watch(false);
	await until(() => beginnings > 0);
	expect([released, existsSync(clusterPathsOf(dataDir).removed)]).toEqual([[poolId], false]);
});

test("refused where it applied although it had left, since somebody else had removed it, it goes all the same", async () => {
	const refused = leaving.leave(async () => {
		await apply({ ...removal, leaving: false, confirmName: "node-2" });
		await apply(removal);
	});
	await expect(refused).rejects.toMatchObject({ code: "wrong-state" });
	isLetGo = true;
	await leave();
	expect([asked, released]).toEqual([0, [poolId]]);
});

test("a start that hears from a quorum does not take away the note of who asks just then", async () => {
	await expect(leaveFailing(unknownOutcome("The leading node was lost."))).rejects.toMatchObject({
		code: "unavailable",
	});
	leaving = started();
	const { promise: confirmed, resolve: confirm } = Promise.withResolvers<void>();
	await leaving.finish(confirmed);
	const left = leaving.leave(async () => {
		confirm();
		let turns = 0;
		await until(() => ++turns > 100);
		await apply(removal);
		isLetGo = true;
	});
	await left;
	expect(released).toEqual([poolId]);
});

test("a start that hears from a quorum takes away the note of what was not accepted", async () => {
	await expect(leaveFailing(unknownOutcome("The leading node was lost."))).rejects.toMatchObject({
		code: "unavailable",
	});
	await started().finish(Promise.resolve());
	await until(() => !existsSync(note()));
});
