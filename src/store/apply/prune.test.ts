/** The bounds that do not depend on age: denials, events, results of commands, idempotency keys. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { AuditRecord } from "../../model/access.ts";
import { fixtureId } from "../../testing/fixtures.ts";
import { encodeCommand } from "../codec.ts";
import type { UpkeepDoubt } from "../command.ts";
import {
	maxAuditDenials,
	maxCommandResults,
	maxEventBytes,
	maxEvents,
	maxIdempotencyKeys,
	maxUpkeepDoubts,
	trimInterval,
} from "../limits.ts";
import { openMemoryState } from "../sqlite/database.ts";
import { SqliteReader } from "../sqlite/reader.ts";
import type { StateDatabase } from "../sqlite/state-database.ts";
import { stateDigest } from "../sqlite/state-digest.ts";
import { applyEntry } from "./apply.ts";
import { trim } from "./prune.ts";

let state: StateDatabase;
let reader: SqliteReader;
beforeEach(() => {
	state = openMemoryState();
	reader = new SqliteReader(state);
});
afterEach(() => state.close());

function addEvents(count: number, bytes: number): void {
	state.transaction(() => {
		for (let index = 1; index <= count; index++)
			state.insertEvent(index, 0, JSON.stringify({ id: `${index}.0`, object: "x".repeat(bytes) }));
	});
}

test("events are kept up to a number, and who comes too late is told so", () => {
	addEvents(maxEvents + 200, 1);
	trim(state, maxEvents + 200);
	expect(reader.eventsAfter("0.0", 1)).toBeNull();
	expect(reader.eventsAfter("199.0", 1)).toBeNull();
	expect(reader.eventsAfter("200.0", maxEvents + 1)).toHaveLength(maxEvents);
	expect(reader.lastEventId()).toBe(`${maxEvents + 200}.0`);
	expect(reader.eventsAfter(reader.lastEventId(), 1)).toEqual([]);
	expect(reader.eventsAfter(`${maxEvents + 201}.0`, 1)).toBeNull();
	for (const id of ["", "nonsense", "1", "-1.0", "1.0.0", "9999999999999999999.0"])
		expect(reader.eventsAfter(id, 1)).toBeNull();
});

test("events are kept up to a size", () => {
	const bytes = 1024 * 1024;
	const count = Math.floor(maxEventBytes / bytes) + 10;
	addEvents(count, bytes);
	trim(state, count);
	const kept = reader.eventsAfter(`${count - 20}.0`, 100);
	expect(kept).toHaveLength(20);
	expect(reader.eventsAfter("5.0", 1)).toBeNull();
	const row = state.row<{ bytes: number }>("SELECT sum(length(doc)) AS bytes FROM event");
	expect(row?.bytes).toBeLessThanOrEqual(maxEventBytes);
});

test("results of commands and idempotency keys are kept up to a number", () => {
	const last = maxCommandResults + 64 * trimInterval;
	const keys = maxIdempotencyKeys + 10;
	state.transaction(() => {
		for (let index = last - maxCommandResults - 100; index <= last; index++)
			state.insertCommandResult(index, fixtureId(index), "{}");
		for (let index = last - keys + 1; index <= last; index++)
			state.setIdempotencyRow(`key-${index}`, index, { operation: "o", subject: "s", timeMs: 0, result: "{}" });
	});
	trim(state, last - (last % (64 * trimInterval)));
	expect(state.commandResult(fixtureId(last))).not.toBeNull();
	expect(state.row<{ count: number }>("SELECT count(*) AS count FROM command_result")?.count).toBeLessThanOrEqual(
		maxCommandResults + 64 * trimInterval,
	);
	expect(state.row<{ count: number }>("SELECT count(*) AS count FROM idempotency")?.count).toBe(maxIdempotencyKeys);
	expect(state.idempotencyRow(`key-${last}`)).not.toBeNull();
});

test("denials push out older denials, never the records of mutations", () => {
	const timeMs = Date.UTC(2026, 0, 2);
	const requester = { kind: "system", id: null, name: "system" } as const;
	const record = (position: number, outcome: AuditRecord["outcome"]): AuditRecord => ({
		...{ id: fixtureId(position), time: new Date(timeMs + position).toISOString(), requester, remoteAddress: null },
		...{ operation: "userList", outcome, targets: [], errorCode: outcome === "accepted" ? null : "forbidden" },
	});
	state.transaction(() => {
		state.insertAudit(record(0, "accepted"));
		state.insertAudit(record(1, "rejected"));
		for (let position = 2; position < maxAuditDenials + 42; position++) state.insertAudit(record(position, "denied"));
	});
	const before = "2025-01-01T00:00:00.000Z";
	const outcome = applyEntry(state, {
		...{ index: 1, term: 1 },
		data: encodeCommand({
			...{ id: fixtureId(1), timeMs, requester, remoteAddress: null, operation: "system" },
			...{ idempotencyKey: null, credential: null },
			body: { kind: "prune", tasksBefore: before, sessionsExpiredBefore: before, auditBefore: before },
		}),
	});
	expect(outcome?.result).toHaveProperty("applied");
	expect(reader.count("audit", { outcome: "denied" })).toBe(maxAuditDenials);
	expect(reader.get("audit", fixtureId(41))).toBeNull();
	expect(reader.get("audit", fixtureId(42))).not.toBeNull();
	expect(reader.count("audit", { outcome: ["accepted", "rejected"] })).toBe(2);
});

test("the doubts of the clock are kept with the time of the upkeep, and go with a prune that has none", () => {
	const before = "2025-01-01T00:00:00.000Z";
	let index = 0;
	const prune = (doubts?: UpkeepDoubt[]) => {
		index += 1;
		const entry = {
			...{ index, term: 1 },
			data: encodeCommand({
				...{ id: fixtureId(index), timeMs: index, remoteAddress: null, operation: "system" },
				requester: { kind: "system", id: null, name: "system" },
				...{ idempotencyKey: null, credential: null },
				body: {
					...{ kind: "prune", tasksBefore: before, sessionsExpiredBefore: before, auditBefore: before },
					...(doubts === undefined ? {} : { doubts }),
				},
			}),
		};
		let outcome: ReturnType<typeof applyEntry> = null;
		state.transaction(() => {
			outcome = applyEntry(state, entry);
		});
		return (outcome as ReturnType<typeof applyEntry>)?.result;
	};
	const doubt = { aheadMs: 8 * 3_600_000, ranMs: 3_600_000, since: before };
	expect(prune([doubt, { ...doubt, aheadMs: 1e9 }])).toHaveProperty("applied");
	expect(reader.upkeepDoubts()).toEqual([doubt, { ...doubt, aheadMs: 1e9 }]);
	expect(reader.upkeepTimeMs()).toBe(Date.parse(before));
	const wrong = [
		{ ...doubt, ranMs: -1 },
		{ ...doubt, since: "then" },
		{ ...doubt, aheadMs: "1" as never },
	];
	for (const one of wrong) expect(prune([one])).not.toHaveProperty("applied");
	expect(prune(Array.from({ length: maxUpkeepDoubts + 1 }, () => doubt))).not.toHaveProperty("applied");
	expect(reader.upkeepDoubts()).toHaveLength(2);
	expect(prune()).toHaveProperty("applied");
	expect(reader.upkeepDoubts()).toEqual([]);
	expect(stateDigest.damageOfRows(state.database)).toBe(null);
});
