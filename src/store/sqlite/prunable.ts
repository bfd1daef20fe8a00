/** How much a prune would delete, of each table. Asked for often: nothing large is counted each time. */
import type { CommandBody } from "../command.ts";
import { maxAuditDenials, maxAuditRecords, maxFinishedTasks, maxPrunedRows } from "../limits.ts";
import type { StateDatabase } from "./state-database.ts";

export type PrunePlan = Extract<CommandBody, { kind: "prune" }>;

/** Of the table where it is most, and no more than one prune deletes. */
export function prunableRows(state: StateDatabase, plan: PrunePlan): number {
	const { denials, others } = excessAudit(state);
	const most = Math.max(
		countOld(state, "task", "finished_at", plan.tasksBefore),
		countOld(state, "session", "expires_at", plan.sessionsExpiredBefore),
		countOld(state, "audit", "time", plan.auditBefore),
		excessTasks(state),
		denials,
		others,
	);
	return Math.min(Math.max(most, 0), maxPrunedRows);
}

/** Rows with a time before this one, counted up to what one prune deletes. */
export const countOld = (state: StateDatabase, table: string, column: string, before: string): number =>
	count(
		state,
		`SELECT count(*) AS rows FROM (SELECT 1 FROM ${table} WHERE ${column} < ? LIMIT ${maxPrunedRows})`,
		before,
	);

/** Finished tasks beyond their bound; nothing or less: there are none. */
export const excessTasks = (state: StateDatabase): number =>
	state.countOf("task") <= maxFinishedTasks
		? 0
		: count(state, "SELECT count(finished_at) AS rows FROM task") - maxFinishedTasks;

/** Of the audit, beyond its two bounds; nothing or less: there are none. The denials are few: what else there is follows from all. */
export function excessAudit(state: StateDatabase): { denials: number; others: number } {
	const denials = count(state, "SELECT count(*) AS rows FROM audit WHERE outcome = 'denied'");
	const others = mayExceed(state) ? state.countOf("audit") - denials - maxAuditRecords : 0;
	return { denials: denials - maxAuditDenials, others };
}

/** Half a million rows are counted once, when it stands still anyway: at a start, and when the state was replaced. */
export function countAhead(state: StateDatabase): void {
	if (mayExceed(state)) state.countOf("audit");
}

/** A table has no more rows than its row ids span. */
const mayExceed = (state: StateDatabase): boolean =>
	count(state, "SELECT (SELECT max(rowid) FROM audit) - (SELECT min(rowid) FROM audit) + 1 AS rows") > maxAuditRecords;

const count = (state: StateDatabase, sql: string, ...values: string[]): number =>
	state.row<{ rows: number | null }>(sql, ...values)?.rows ?? 0;
