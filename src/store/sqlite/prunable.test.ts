import { afterEach, beforeEach, expect, test } from "bun:test";
import type { AuditRecord } from "../../model/access.ts";
import { fixtureId, fixtureSession } from "../../testing/fixtures.ts";
import { maxAuditDenials, maxPrunedRows } from "../limits.ts";
import { openMemoryState } from "./database.ts";
import { prunableRows } from "./prunable.ts";
import type { StateDatabase } from "./state-database.ts";

let state: StateDatabase;
beforeEach(() => {
	state = openMemoryState();
});
afterEach(() => state.close());

const at = (ms: number): string => new Date(Date.UTC(2026, 0, 2) + ms).toISOString();
const nothingOld = {
	kind: "prune",
	tasksBefore: at(-1e6),
	sessionsExpiredBefore: at(-1e6),
	auditBefore: at(-1e6),
} as const;

function record(position: number, outcome: AuditRecord["outcome"]): AuditRecord {
	const requester = { kind: "system", id: null, name: "system" } as const;
	return {
		...{ id: fixtureId(position), time: at(position), requester, remoteAddress: null },
		...{ operation: "userList", outcome, targets: [], errorCode: outcome === "accepted" ? null : "forbidden" },
	};
}

test("what is old counts, up to what one prune deletes", () => {
	expect(prunableRows(state, nothingOld)).toBe(0);
	state.transaction(() => {
		for (let position = 0; position < maxPrunedRows + 10; position++) state.insertAudit(record(position, "accepted"));
		state.insert("session", fixtureSession({ id: fixtureId(1e6), expiresAt: at(0) }));
	});
	expect(prunableRows(state, nothingOld)).toBe(0);
	expect(prunableRows(state, { ...nothingOld, sessionsExpiredBefore: at(1) })).toBe(1);
	expect(prunableRows(state, { ...nothingOld, auditBefore: at(7) })).toBe(7);
	expect(prunableRows(state, { ...nothingOld, auditBefore: at(1e9) })).toBe(maxPrunedRows);
});

test("what is beyond a bound counts, whatever its age, and each bound for itself", () => {
	const add = (from: number, to: number, outcome: AuditRecord["outcome"]) =>
		state.transaction(() => {
			for (let position = from; position < to; position++) state.insertAudit(record(position, outcome));
		});
	add(0, maxAuditDenials, "denied");
	add(1e6, 1e6 + 20, "accepted");
	expect(prunableRows(state, nothingOld)).toBe(0);
	add(2e6, 2e6 + 3, "denied");
	expect(prunableRows(state, nothingOld)).toBe(3);
});

test("how many rows a table has is known through changes, what is undone, and another state", () => {
	const counted = () => state.row<{ rows: number }>("SELECT count(*) AS rows FROM audit")?.rows;
	expect(state.countOf("audit")).toBe(0);
	state.transaction(() => {
		for (let position = 0; position < 10; position++) state.insertAudit(record(position, "accepted"));
		// The same record once more is nothing.
		state.insertAudit(record(3, "accepted"));
	});
	expect(state.countOf("audit")).toBe(10);
	state.transaction(() => state.deleteRows("audit", "time < ?", at(4)));
	expect(state.countOf("audit")).toBe(6);
	expect(() =>
		state.transaction(() => {
			state.insertAudit(record(100, "accepted"));
			expect(state.countOf("audit")).toBe(7);
			throw new Error("undone");
		}),
	).toThrow("undone");
	expect(state.countOf("audit")).toBe(6);
	state.transaction(() => {
		state.insertAudit(record(101, "accepted"));
		try {
			state.savepoint(() => {
				state.insertAudit(record(102, "accepted"));
				throw new Error("a part");
			});
		} catch (error) {
			if ((error as Error).message !== "a part") throw error;
		}
	});
	expect(state.countOf("audit")).toBe(7);
	expect(counted()).toBe(7);
	const other = openMemoryState();
	state.replace(() => other.database);
	expect(state.countOf("audit")).toBe(0);
});
