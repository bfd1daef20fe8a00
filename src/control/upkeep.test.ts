import { expect, test } from "bun:test";
import { silentLogger } from "../lib/log.ts";
import type { CommandBody } from "../store/command.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { startUpkeep } from "./upkeep.ts";
import { planUpkeep } from "./upkeep-plan.ts";

test("tasks are kept for two weeks, the audit for a year", () => {
	expect(planUpkeep(Date.parse("2026-06-15T12:00:00Z"))).toEqual({
		kind: "prune",
		tasksBefore: "2026-06-01T12:00:00.000Z",
		sessionsExpiredBefore: "2026-06-15T12:00:00.000Z",
		auditBefore: "2025-06-15T12:00:00.000Z",
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
		logger: silentLogger,
		proposer: { proposeSystem, propose: proposeSystem },
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
