/** The database's disk is full, and something is given up for it: meanwhile whoever proposes or reads waits, and all else goes on. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { fixtureCluster, fixtureNode } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { quietConsensus, systemCommand } from "../testing/quiet-consensus.ts";
import type { LogEntry } from "./apply/apply.ts";
import { encodeCommand } from "./codec.ts";
import type { Command } from "./command.ts";
import type { CommittedHandler } from "./consensus.ts";
import { ReplicatedStore } from "./replicated-store.ts";
import { openMemoryState } from "./sqlite/database.ts";
import type { StateDatabase } from "./sqlite/state-database.ts";

let clock: ManualClock;
let state: StateDatabase;
let committed: CommittedHandler;
let replaced: () => void;
let readIndex: number;
/** Answers to those who ask for room, in their order. */
let asked: ((isGiven: boolean) => void)[];

beforeEach(() => {
	clock = new ManualClock();
	state = openMemoryState();
	asked = [];
	readIndex = 1;
});

/** Of pages of the database, of the document that change `number` makes so much larger. */
const pagesOf = (number: number): number => 10 * 4 ** (number - 2);
const change = (number: number): Command => {
	const node = fixtureNode();
	const reason = "y".repeat(4096 * pagesOf(number));
	return systemCommand(number, { kind: "nodeStatus", id: node.id, status: { ...node.status, reason } });
};
const entry = (index: number): LogEntry => ({ index, term: 1, data: encodeCommand(change(index)) });
const pages = () => state.row<{ page_count: number }>("PRAGMA page_count")?.page_count ?? 0;
const limitPages = (count: number) => state.database.run(`PRAGMA max_page_count = ${count}`);
/** For this change, which is kept with its result, too; not for the next. */
const enoughFor = (number: number) => limitPages(pages() + 2 * pagesOf(number) + 5);

let store: ReplicatedStore;
async function open(already: readonly LogEntry[] = []): Promise<void> {
	store = await ReplicatedStore.open({
		...{ state, clock, logger: silentLogger, gatherMs: 10 },
		onFatal: (error) => {
			throw error;
		},
		connect: async (onCommitted, _appliedIndex, onReplaced) => {
			committed = onCommitted;
			replaced = onReplaced;
			onCommitted([{ index: 1, term: 1, data: encodeCommand(systemCommand(1, fixtureCluster())) }]);
			if (already.length > 0) limitPages(pages());
			onCommitted(already);
			return quietConsensus({
				propose: async (data) => committed([{ index: store.appliedIndex + 1, term: 1, data }]),
				readIndex: async () => readIndex,
			});
		},
		takeSnapshot: () => Promise.reject(new Error("none")),
		takeBackup: () => Promise.reject(new Error("none")),
		makeRoom: () => new Promise((resolve) => asked.push(resolve)),
		release: async () => {},
	});
}
afterEach(() => state.close());

/** How often it has been asked for room. */
async function untilAsked(times: number): Promise<void> {
	const deadline = performance.now() + 5_000;
	while (asked.length < times) {
		if (performance.now() > deadline) throw new Error(`asked ${asked.length} times`);
		await new Promise((resolve) => setImmediate(resolve));
	}
}
const outcomeOf = (work: Promise<unknown>): Promise<string> =>
	work.then(
		() => "done",
		(error: AppError) => error.code,
	);

test("nobody is refused meanwhile; once there is room all of it is applied, in its order", async () => {
	await open();
	limitPages(pages());
	const proposed = outcomeOf(store.propose(change(2)));
	await untilAsked(1);
	committed([entry(3)]);
	readIndex = 3;
	const read = store.readIndex();
	// Time goes on, and nothing is tried before there is room.
	clock.advance(5_000);
	expect([store.appliedIndex, asked.length]).toEqual([1, 1]);
	// A step of it is not enough for both.
	enoughFor(2);
	asked[0]?.(true);
	await untilAsked(2);
	enoughFor(4);
	asked[1]?.(true);
	expect([await proposed, await read, store.appliedIndex]).toEqual(["done", 3, 3]);
	await store.close();
});

test("when there is nothing to give up, whoever waits is told, and it is tried again", async () => {
	await open();
	limitPages(pages());
	const proposed = outcomeOf(store.propose(change(2)));
	await untilAsked(1);
	asked[0]?.(false);
	expect(await proposed).toBe("no-space");
	expect(await outcomeOf(store.propose(change(3)))).toBe("no-space");
	enoughFor(2);
	clock.advance(1_000);
	expect(store.appliedIndex).toBe(2);
	await store.close();
});

test("a start is done when all that it was given is applied, and an end as well", async () => {
	const starting = open([entry(2)]);
	await untilAsked(1);
	enoughFor(2);
	asked[0]?.(true);
	await starting;
	expect(store.appliedIndex).toBe(2);
	limitPages(pages());
	committed([entry(3)]);
	const closing = store.close();
	await untilAsked(2);
	enoughFor(3);
	asked[1]?.(true);
	await closing;
	expect(state.appliedIndex).toBe(3);
});

test("what waits elsewhere for the database to be left alone waits on", async () => {
	await open();
	limitPages(pages());
	const proposed = outcomeOf(store.propose(change(2)));
	await untilAsked(1);
	const gate = Promise.withResolvers<void>();
	const held = store.held(() => gate.promise);
	enoughFor(2);
	asked[0]?.(true);
	await Promise.resolve();
	expect(store.appliedIndex).toBe(1);
	gate.resolve();
	await held;
	expect([await proposed, store.appliedIndex]).toEqual(["done", 2]);
	await store.close();
});

test("a state that was replaced meanwhile needs no room", async () => {
	await open();
	limitPages(pages());
	committed([entry(2)]);
	clock.advance(10);
	await untilAsked(1);
	replaced();
	asked[0]?.(false);
	await Promise.resolve();
	enoughFor(3);
	expect(await outcomeOf(store.propose(change(3)))).toBe("done");
	await store.close();
});
