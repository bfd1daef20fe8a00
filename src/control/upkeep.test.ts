import { describe, expect, test } from "bun:test";
import { present } from "../lib/assert.ts";
import { toRfc3339 } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import type { CommandBody } from "../store/command.ts";
import { maxPrunedRows } from "../store/limits.ts";
import { clusterIds, fixtureCluster, fixtureId, fixtureSession } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { openMemoryStore } from "../testing/memory-store.ts";
import { startUpkeep } from "./upkeep.ts";
import { planUpkeep } from "./upkeep-plan.ts";

test("tasks are kept for two weeks, the audit for a year", () => {
	const doubts = [{ aheadMs: 1, ranMs: 2, since: "2026-06-15T00:00:00.000Z" }];
	expect(planUpkeep(Date.parse("2026-06-15T12:00:00Z"), doubts)).toEqual({
		kind: "prune",
		tasksBefore: "2026-06-01T12:00:00.000Z",
		sessionsExpiredBefore: "2026-06-15T12:00:00.000Z",
		auditBefore: "2025-06-15T12:00:00.000Z",
		doubts,
	});
});

test("it runs every hour, also after a failure, until it is stopped", async () => {
	const clock = new ManualClock();
	const proposed: CommandBody[] = [];
	let fail = true;
	const proposeSystem = async (body: CommandBody) => {
		proposed.push(body);
		if (fail) throw new Error("no quorum");
		return { index: 1, replayed: false, targets: [], taskId: null };
	};
	const stop = startUpkeep({
		clock,
		agreed: clock,
		logger: silentLogger,
		store: { upkeepTimeMs: () => null, upkeepDoubts: () => [], prunable: () => 0 },
		proposer: { proposeSystem, propose: proposeSystem },
		leads: () => true,
	});
	const settle = async () => {
		for (let i = 0; i < 10; i++) await Promise.resolve();
	};
	clock.advance(60_000);
	await settle();
	fail = false;
	clock.advance(3_600_000);
	await settle();
	expect(proposed).toHaveLength(2);
	stop();
	clock.advance(10 * 3_600_000);
	await settle();
	expect(proposed).toHaveLength(2);
});

test("what is beyond a bound is deleted while it comes, by the time of the last hourly round", async () => {
	const clock = new ManualClock();
	const begin = clock.monotonicMs();
	const proposed: { atMs: number; body: CommandBody }[] = [];
	let excess = 0;
	let comesEach250Ms = 0;
	const proposeSystem = async (body: CommandBody) => {
		proposed.push({ atMs: clock.monotonicMs() - begin, body });
		excess = Math.max(0, excess - maxPrunedRows);
		return { index: 1, replayed: false, targets: [], taskId: null };
	};
	const run = async (ms: number) => {
		for (let step = 0; step < ms / 250; step++) {
			excess += comesEach250Ms;
			clock.advance(250);
			for (let turn = 0; turn < 10; turn++) await Promise.resolve();
		}
	};
	const stop = startUpkeep({
		clock,
		agreed: clock,
		logger: silentLogger,
		store: { upkeepTimeMs: () => null, upkeepDoubts: () => [], prunable: () => Math.min(excess, maxPrunedRows) },
		proposer: { proposeSystem, propose: proposeSystem },
		leads: () => true,
	});
	await run(100_000);
	expect(proposed.map(({ atMs }) => atMs)).toEqual([60_000]);
	const [first] = proposed;
	// Some thousands a second: rounds follow one another, and each is small.
	comesEach250Ms = 600;
	await run(30_000);
	expect(proposed.length).toBeGreaterThan(80);
	expect(excess).toBeLessThan(2 * 600);
	for (const { body } of proposed) expect(body).toEqual(present(first, "a round").body);
	// One a second.
	comesEach250Ms = 0.25;
	const before = proposed.length;
	await run(1_000_000);
	expect(proposed.length - before).toBeWithin(3, 6);
	comesEach250Ms = 0;
	await run(2_600_000);
	expect(proposed.at(-1)?.body).not.toEqual(present(first, "a round").body);
	stop();
});

describe("a wall clock that jumps", () => {
	const hourMs = 3_600_000;
	const yearMs = 400 * 24 * hourMs;

	/** A store with an audit record, a session, and a finished task; upkeep runs on it. */
	async function begin(sessionHours = 24) {
		const clock = new ManualClock();
		const store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
		const { proposer } = store;
		const expiresAt = toRfc3339(clock.nowMs() + sessionHours * hourMs);
		await proposer.proposeSystem({
			kind: "sessionCreate",
			session: fixtureSession({ id: fixtureId(0x901), expiresAt }),
			secretHash: "s".repeat(32),
		});
		await proposer.propose(
			{ kind: "clusterUpdate", id: clusterIds.cluster, name: "renamed" },
			{
				...{ requester: { kind: "local", id: null, name: "local" }, remoteAddress: null, operation: "clusterUpdate" },
				...{ idempotencyKey: null, credential: null },
			},
		);
		/** By how much the clock of this node is ahead of those of most others; null while it hears no majority. */
		const others: { aheadMs: number | null } = { aheadMs: null };
		const agreed = { nowMs: () => clock.nowMs() - (others.aheadMs ?? 0) };
		const start = () => startUpkeep({ clock, agreed, store, proposer, logger: silentLogger, leads: () => true });
		const counts = () => [store.count("audit"), store.count("session")];
		const settle = async () => {
			for (let turn = 0; turn < 20; turn++) await Promise.resolve();
		};
		/** And the moment until the round at their end. */
		const hours = async (count: number) => {
			for (let hour = 0; hour < count; hour++) {
				clock.advance(hourMs);
				await settle();
			}
			clock.advance(2 * 60_000);
			await settle();
		};
		return { clock, store, others, start, counts, hours };
	}

	test("forward deletes nothing at once, back neither; what is really old goes", async () => {
		const { clock, store, start, counts, hours } = await begin();
		const stop = start();
		await hours(2);
		expect(counts()).toEqual([1, 1]);
		clock.jump(yearMs);
		await hours(10);
		expect(counts()).toEqual([1, 1]);
		clock.jump(-2 * yearMs);
		await hours(5);
		expect(counts()).toEqual([1, 1]);
		clock.jump(yearMs);
		await hours(48);
		// The session has expired; the audit is kept for a year.
		expect(counts()).toEqual([1, 0]);
		stop();
		await store.close();
	});

	test("that is wrong before there was any upkeep deletes nothing", async () => {
		const { clock, store, start, counts, hours } = await begin();
		clock.jump(yearMs);
		const stop = start();
		await hours(20);
		expect(counts()).toEqual([1, 1]);
		stop();
		await store.close();
	});

	test("that is wrong at a start deletes nothing before a day of running, over however many starts", async () => {
		const { clock, store, start, counts, hours } = await begin();
		const first = start();
		await hours(2);
		first();
		clock.jump(yearMs);
		for (let round = 0; round < 4; round++) {
			const stop = start();
			await hours(5);
			stop();
		}
		expect(counts()[0]).toBe(1);
		const stop = start();
		await hours(6);
		expect(counts()).toEqual([0, 0]);
		expect(store.upkeepDoubts()).toEqual([]);
		stop();
		await store.close();
	});

	test.each([50 * hourMs, yearMs])(
		"%d ms ahead while most others agree on the time deletes nothing by its own, however long it stays there",
		async (aheadMs) => {
			const { clock, store, others, start, counts, hours } = await begin(72);
			const stop = start();
			await hours(2);
			clock.jump(aheadMs);
			others.aheadMs = aheadMs;
			// After a day it is believed, as far as it alone goes; by it the session has ended.
			await hours(40);
			expect(counts()).toEqual([1, 1]);
			await hours(40);
			// The session has ended by everybody's clock; the audit is kept for a year.
			expect(counts()).toEqual([1, 0]);
			stop();
			// Nor after a start, at which it is ahead of what was kept.
			const again = start();
			await hours(60);
			expect(counts()).toEqual([1, 0]);
			again();
			await store.close();
		},
	);

	test("behind while most others agree on a later time: nothing goes before it is old by both", async () => {
		const { clock, store, others, start, counts, hours } = await begin();
		const stop = start();
		await hours(2);
		clock.jump(-30 * hourMs);
		others.aheadMs = -30 * hourMs;
		await hours(50);
		expect(counts()).toEqual([1, 1]);
		await hours(10);
		expect(counts()).toEqual([1, 0]);
		stop();
		await store.close();
	});

	test("the right one of a node that is off every night: it is no more than a day behind", async () => {
		const { clock, store, start, hours } = await begin();
		for (let day = 0; day < 14; day++) {
			const stop = start();
			await hours(16);
			stop();
			expect(clock.nowMs() - (store.upkeepTimeMs() ?? 0)).toBeLessThan(26 * hourMs);
			clock.jump(8 * hourMs);
		}
		await store.close();
	});
});
