/**
 * How much a prune would delete (apply/prune.ts), of the table where it is most. The leader looks every half a minute, so nothing is
 * counted that cannot be too much: a table has no more rows than its row ids span.
 */
import type { CommandBody } from "../command.ts";
import { maxAuditDenials, maxAuditRecords, maxFinishedTasks, maxPrunedRows } from "../limits.ts";
import type { StateDatabase } from "./state-database.ts";

export type PrunePlan = Extract<CommandBody, { kind: "prune" }>;

export function prunableRows(state: StateDatabase, plan: PrunePlan): number {
	const old = (table: string, column: string, before: string) =>
		count(
			state,
			`SELECT count(*) AS rows FROM (SELECT 1 FROM ${table} WHERE ${column} < ? LIMIT ${maxPrunedRows})`,
			before,
		);
	const excess = (table: string, which: string, kept: number) =>
		span(state, table) <= kept ? 0 : count(state, `SELECT count(*) AS rows FROM ${table} WHERE ${which}`) - kept;
	const most = Math.max(
		old("task", "finished_at", plan.tasksBefore),
		old("session", "expires_at", plan.sessionsExpiredBefore),
		old("audit", "time", plan.auditBefore),
		excess("task", "finished_at IS NOT NULL", maxFinishedTasks),
		excess("audit", "outcome = 'denied'", maxAuditDenials),
		excess("audit", "outcome <> 'denied'", maxAuditRecords),
	);
	return Math.min(most, maxPrunedRows);
}

const span = (state: StateDatabase, table: string): number =>
	count(state, `SELECT (SELECT max(rowid) FROM ${table}) - (SELECT min(rowid) FROM ${table}) + 1 AS rows`);

const count = (state: StateDatabase, sql: string, ...values: string[]): number =>
	state.row<{ rows: number | null }>(sql, ...values)?.rows ?? 0;
