/** A node that has left: what is in the way of its new beginning neither keeps it from starting, nor is the end of it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../lib/log.ts";
import { clusterIds, fixtureCluster, fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../testing/memory-store.ts";
import { Leaving, type LeavingDeps } from "./leaving.ts";
import { clusterPathsOf } from "./node-file.ts";
import { Turns } from "./turns.ts";

const own = fixtureId(0x998);
const pools = [0x500, 0x501].map((number) => ({ id: fixtureId(number), path: `/srv/${number}` }));

let clock: ManualClock;
let dataDir: string;
let store: MemoryStore;
let released: string[];
let refusesWrites: boolean;
let turns: Turns;
let release: () => Promise<void>;
let stopNode: () => Promise<void>;
let begun: PromiseWithResolvers<void>;
let leaving: Leaving;
const never = new Promise<void>(() => {});

beforeEach(async () => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-beginning-anew-"));
	mkdirSync(clusterPathsOf(dataDir).peer);
	writeFileSync(clusterPathsOf(dataDir).leaving, JSON.stringify(pools));
	clock = new ManualClock();
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	[released, refusesWrites, turns, begun] = [[], false, new Turns(), Promise.withResolvers()];
	release = stopNode = async () => {};
	leaving = new Leaving({
		...{
			dataDir,
			node: { nodeId: own, clusterId: clusterIds.cluster, founder: false },
			hints: null,
			store,
			clock,
			turns,
		},
		consensus: {
			details: () => ({ removed: true, configuration: {} }) as ReturnType<LeavingDeps["consensus"]["details"]>,
			noteRemoved() {
				refusesWrites = true;
			},
		},
		silence: () => () => {},
		poolFolders: {
			async handOver() {},
			async release(_path, id) {
				released.push(id);
				await release();
			},
		},
		onFresh: () => begun.resolve(),
		onRemoved: () => stopNode(),
		logger: silentLogger,
	});
});
afterEach(async () => {
	await store.close();
	rmSync(dataDir, { recursive: true, force: true });
});

test("pools that cannot be given free keep neither each other nor the node", async () => {
	release = () => Promise.reject(new Error("EIO: input/output error"));
	await leaving.finish(never);
	await begun.promise;
	expect(released).toEqual(pools.map(({ id }) => id));
	expect([existsSync(clusterPathsOf(dataDir).switching), leaving.hindrance]).toEqual([true, null]);
});

test("nor does it matter that what was noted of its pools cannot be read", async () => {
	writeFileSync(clusterPathsOf(dataDir).leaving, "{");
	await leaving.finish(never);
	await begun.promise;
});

describe("when its data folder cannot be changed", () => {
	const inTheWay = () => clusterPathsOf(dataDir).switching;
	beforeEach(() => mkdirSync(inTheWay()));

	test("it starts all the same, changes nothing, and says why", async () => {
		await leaving.finish(never);
		expect([leaving.removed, refusesWrites]).toEqual([true, true]);
		expect(leaving.hindrance).toContain("cannot begin anew yet: Its data folder cannot be changed (EISDIR).");
	});

	test("it tries again by itself, ever more seldom", async () => {
		await leaving.finish(never);
		let tries = 0;
		stopNode = async () => void tries++;
		const triesAfter = (seconds: number) => {
			clock.advance(seconds * 1000);
			leaving.watch(false);
			return tries;
		};
		// Whoever asks meanwhile is told what becomes of it.
		const ended = () => expect(leaving.leave(async () => {})).rejects.toMatchObject({ code: "storage" });
		expect([triesAfter(4), triesAfter(1)]).toEqual([0, 1]);
		await ended();
		expect([triesAfter(9), triesAfter(1)]).toEqual([1, 2]);
		await ended();
		rmSync(inTheWay(), { recursive: true });
		expect([triesAfter(19), triesAfter(1)]).toEqual([2, 3]);
		await begun.promise;
		expect(leaving.hindrance).toBeNull();
	});

	test("whoever asks for it tries it at once", async () => {
		await leaving.finish(never);
		await expect(leaving.leave(async () => {})).rejects.toMatchObject({
			...{ code: "storage", message: leaving.hindrance ?? "" },
		});
		rmSync(inTheWay(), { recursive: true });
		await leaving.leave(async () => {});
		await begun.promise;
		expect(leaving.hindrance).toBeNull();
	});

	test("it does not come between when it joins a cluster meanwhile", async () => {
		await leaving.finish(never);
		rmSync(inTheWay(), { recursive: true });
		turns.beginJoin();
		await expect(leaving.leave(async () => {})).rejects.toMatchObject({
			...{ code: "wrong-state", message: expect.stringContaining("joining a cluster already") },
		});
		turns.endJoin();
		await leaving.leave(async () => {});
		expect(() => turns.beginJoin()).toThrow();
	});
});

test("a full disk is said to be one", async () => {
	stopNode = () => Promise.reject(Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" }));
	await leaving.finish(never);
	expect(leaving.hindrance).toContain("The disk of this node is full.");
	await expect(leaving.leave(async () => {})).rejects.toMatchObject({ code: "no-space" });
});
