/** When a store applies what is committed: at once for whoever waits here, and else several together. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentLogger } from "../lib/log.ts";
import type { Event } from "../model/event.ts";
import { fixtureCluster, fixtureNode } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { quietConsensus, systemCommand } from "../testing/quiet-consensus.ts";
import type { LogEntry } from "./apply/apply.ts";
import { encodeCommand } from "./codec.ts";
import type { Command } from "./command.ts";
import type { CommittedHandler } from "./consensus.ts";
import { ReplicatedStore } from "./replicated-store.ts";
import { openMemoryState } from "./sqlite/database.ts";

const gatherMs = 10;
let clock: ManualClock;
let store: ReplicatedStore;
let committed: CommittedHandler;
let replaced: () => void;
let readIndex: number;
let groups: Event[][];

const status = (number: number): Command => {
	const node = fixtureNode();
	return systemCommand(number, { kind: "nodeStatus", id: node.id, status: { ...node.status, reason: `${number}` } });
};
const entry = (index: number): LogEntry => ({ index, term: 1, data: encodeCommand(status(index)) });

beforeEach(async () => {
	clock = new ManualClock();
	groups = [];
	store = await ReplicatedStore.open({
		...{ state: openMemoryState(), clock, logger: silentLogger, gatherMs },
		onFatal: (error) => {
			throw error;
		},
		connect: async (onCommitted, _appliedIndex, onReplaced) => {
			committed = onCommitted;
			replaced = onReplaced;
			onCommitted([{ index: 1, term: 1, data: encodeCommand(systemCommand(1, fixtureCluster())) }]);
			return quietConsensus({ readIndex: async () => readIndex });
		},
		takeSnapshot: () => Promise.reject(new Error("none")),
		takeBackup: () => Promise.reject(new Error("none")),
		release: async () => {},
	});
	store.subscribe((events) => groups.push([...events]));
});
afterEach(() => store.close());

test("what nobody here waits for is applied together, a moment later", () => {
	expect(store.appliedIndex).toBe(1);
	committed([entry(2)]);
	committed([entry(3), entry(4)]);
	clock.advance(gatherMs - 1);
	expect(store.appliedIndex).toBe(1);
	clock.advance(1);
	expect(store.appliedIndex).toBe(4);
	expect(groups.map((events) => events.length)).toEqual([3]);
	committed([entry(5)]);
	expect(store.appliedIndex).toBe(4);
	clock.advance(gatherMs);
	expect(store.appliedIndex).toBe(5);
});

test("many do not wait", () => {
	committed(Array.from({ length: 31 }, (_, position) => entry(2 + position)));
	expect(store.appliedIndex).toBe(1);
	committed([entry(33)]);
	expect(store.appliedIndex).toBe(33);
});

test("under load it is gathered for longer, and more of it", () => {
	const burst = (from: number, count: number) =>
		committed(Array.from({ length: count }, (_, position) => entry(from + position)));
	burst(2, 16);
	clock.advance(gatherMs);
	expect(store.appliedIndex).toBe(17);
	burst(18, 127);
	clock.advance(10 * gatherMs - 1);
	expect(store.appliedIndex).toBe(17);
	clock.advance(1);
	expect(store.appliedIndex).toBe(144);
	burst(145, 127);
	expect(store.appliedIndex).toBe(144);
	burst(272, 1);
	expect(store.appliedIndex).toBe(272);
	// Quiet again.
	clock.advance(10 * gatherMs + 1);
	burst(273, 1);
	clock.advance(gatherMs);
	expect(store.appliedIndex).toBe(273);
});

test("a command of this node is applied at once, with all before it", async () => {
	committed([entry(2)]);
	const applied = store.propose(status(3));
	committed([entry(3)]);
	expect(store.appliedIndex).toBe(3);
	expect(await applied).toMatchObject({ index: 3 });
});

test("a read sees what is committed, and does not wait for the moment to pass", async () => {
	committed([entry(2), entry(3)]);
	readIndex = 1;
	await store.readIndex();
	expect(store.appliedIndex).toBe(1);
	readIndex = 3;
	await store.readIndex();
	expect(store.appliedIndex).toBe(3);
	readIndex = 5;
	const read = store.readIndex();
	await Promise.resolve();
	await Promise.resolve();
	committed([entry(4), entry(5)]);
	expect([await read, store.appliedIndex]).toEqual([5, 5]);
});

test("what was gathered is applied before the store closes", async () => {
	committed([entry(2)]);
	await store.close();
	expect(store.appliedIndex).toBe(2);
});

test("what was gathered is forgotten when another state takes the place of this one", () => {
	committed([entry(2)]);
	replaced();
	clock.advance(gatherMs);
	expect(store.appliedIndex).toBe(1);
});

test("while it is held nothing is applied, for whoever waits; then everything is", async () => {
	const first = Promise.withResolvers<void>();
	const second = Promise.withResolvers<string>();
	const holding = store.held(() => first.promise);
	const other = store.held(() => second.promise);
	committed([entry(2)]);
	committed([entry(3), entry(4)]);
	readIndex = 4;
	const read = store.readIndex();
	clock.advance(100 * gatherMs);
	expect(store.appliedIndex).toBe(1);
	first.resolve();
	await holding;
	expect(store.appliedIndex).toBe(1);
	second.resolve("done");
	expect(await other).toBe("done");
	expect(store.appliedIndex).toBe(4);
	expect(await read).toBe(4);
});

test("what failed while it was held does not hold it on", async () => {
	const work = Promise.withResolvers<void>();
	const holding = store.held(() => work.promise);
	committed([entry(2)]);
	work.reject(new Error("the disk"));
	await expect(holding).rejects.toThrow("the disk");
	expect(store.appliedIndex).toBe(2);
});
