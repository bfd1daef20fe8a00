/**
 * Keeps what grows within bounds. `prune` deletes by age, a limited number of rows at a time, so that it never holds
 * the others up for long; `trim` enforces the bounds that do not depend on age and runs every few commands.
 */
import { AppError } from "../../lib/errors.ts";
import { isTimestamp } from "../../model/validate.ts";
import type { UpkeepDoubt } from "../command.ts";
import {
	idempotencyKeptMs,
	maxCommandResults,
	maxEventBytes,
	maxEvents,
	maxIdempotencyKeys,
	maxPrunedRows,
	maxUpkeepDoubts,
	trimInterval,
} from "../limits.ts";
import { countOld, excessAudit, excessTasks } from "../sqlite/prunable.ts";
import type { StateDatabase } from "../sqlite/state-database.ts";
import { canonicalTime } from "./checks.ts";
import { removeJoinToken } from "./cluster.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { removeSession } from "./sessions.ts";

export const pruneHandlers: Handlers<"prune"> = {
	prune(context, body) {
		for (const member of ["tasksBefore", "sessionsExpiredBefore", "auditBefore"] as const)
			if (!isTimestamp(body[member])) throw new AppError("invalid", `${member} is not a time.`);
		// The time by which this was planned, which is not always the wall clock's (control/believed-time.ts).
		const doubts = checkedDoubts(body.doubts ?? []);
		const now = canonicalTime(body.sessionsExpiredBefore);
		pruneTasks(context, canonicalTime(body.tasksBefore));
		pruneSessions(context, now);
		pruneJoinTokens(context, now);
		pruneAudit(context, canonicalTime(body.auditBefore));
		context.state.deleteRows("idempotency", "time_ms < ?", Date.parse(now) - idempotencyKeptMs);
		context.state.setMeta("upkeepTime", now);
		if (doubts.length === 0) context.state.deleteRows("meta", "key = ?", "upkeepDoubts");
		else context.state.setMeta("upkeepDoubts", JSON.stringify(doubts));
		return null;
	},
};

function checkedDoubts(doubts: readonly UpkeepDoubt[]): UpkeepDoubt[] {
	const isDuration = (value: unknown) => Number.isFinite(value) && Number(value) >= 0;
	if (doubts.length > maxUpkeepDoubts) throw new AppError("invalid", "There are too many doubts.");
	for (const { aheadMs, ranMs, since } of doubts)
		if (!isDuration(aheadMs) || !isDuration(ranMs) || !isTimestamp(since))
			throw new AppError("invalid", "A doubt is not one of the clock.");
	return doubts.map(({ aheadMs, ranMs, since }) => ({ aheadMs, ranMs, since }));
}

type Ids = { id: string }[];

/** The oldest: those that finished before then, or as many as there are too many, whichever is more. */
function pruneTasks(context: ApplyContext, before: string): void {
	const { state } = context;
	const count = Math.max(countOld(state, "task", "finished_at", before), excessTasks(state));
	const oldest: Ids = state.rows(
		"SELECT id FROM task WHERE finished_at IS NOT NULL ORDER BY finished_at, id LIMIT ?",
		Math.min(count, maxPrunedRows),
	);
	for (const { id } of oldest) context.removeSilently("task", id);
}

function pruneSessions(context: ApplyContext, before: string): void {
	const expired: Ids = context.state.rows(
		"SELECT id FROM session WHERE expires_at < ? ORDER BY expires_at, id LIMIT ?",
		before,
		maxPrunedRows,
	);
	for (const { id } of expired) removeSession(context, context.need("session", id));
}

/** Those that admit nobody any more. Who came with a used one may ask again until it expires. */
function pruneJoinTokens(context: ApplyContext, before: string): void {
	for (const token of context.state.all("joinToken")) if (token.expiresAt < before) removeJoinToken(context, token);
}

function pruneAudit(context: ApplyContext, before: string): void {
	const old: Ids = context.state.rows(
		"SELECT id FROM audit WHERE time < ? ORDER BY time, id LIMIT ?",
		before,
		maxPrunedRows,
	);
	for (const { id } of old) context.removeSilently("audit", id);
	const { denials, others } = excessAudit(context.state);
	pruneOutcomes(context, "outcome = 'denied'", denials);
	pruneOutcomes(context, "outcome <> 'denied'", others);
}

/** Whoever is denied decides how often: denials and the rest are counted apart. */
function pruneOutcomes(context: ApplyContext, which: string, excess: number): void {
	if (excess <= 0) return;
	const oldest: Ids = context.state.rows(
		`SELECT id FROM audit WHERE ${which} ORDER BY time, id LIMIT ?`,
		Math.min(excess, maxPrunedRows),
	);
	for (const { id } of oldest) context.removeSilently("audit", id);
}

/** Deletes the oldest events, results of commands and idempotency keys beyond their bounds. `index`: applied just now. */
export function trim(state: StateDatabase, index: number): void {
	trimEvents(state);
	state.deleteRows("command_result", "log_index <= ?", index - maxCommandResults);
	if (index % keyTrimInterval === 0) trimIdempotencyKeys(state);
}

const keyTrimInterval = 64 * trimInterval;

function trimEvents(state: StateDatabase): void {
	const last = state.row<{ seq: number; total: number }>(
		"SELECT seq, total_bytes AS total FROM event ORDER BY seq DESC LIMIT 1",
	);
	if (last === null) return;
	const excessBytes = last.total - maxEventBytes;
	const lastTooMuch =
		excessBytes <= 0
			? null
			: state.row<{ seq: number }>("SELECT seq FROM event WHERE total_bytes >= ? ORDER BY seq LIMIT 1", excessBytes);
	const firstKept = Math.min(last.seq, Math.max(last.seq - maxEvents, lastTooMuch?.seq ?? 0) + 1);
	const dropped = state.row<{ logIndex: number; position: number }>(
		"SELECT log_index AS logIndex, position FROM event WHERE seq < ? ORDER BY seq DESC LIMIT 1",
		firstKept,
	);
	if (dropped === null) return;
	state.deleteRows("event", "seq < ?", firstKept);
	state.setMeta("eventsDroppedTo", `${dropped.logIndex}.${dropped.position}`);
}

function trimIdempotencyKeys(state: StateDatabase): void {
	const newestDropped = state.row<{ logIndex: number }>(
		"SELECT log_index AS logIndex FROM idempotency ORDER BY log_index DESC LIMIT 1 OFFSET ?",
		maxIdempotencyKeys,
	);
	if (newestDropped !== null) state.deleteRows("idempotency", "log_index <= ?", newestDropped.logIndex);
}
