/** What of the state is old enough to go: pure. */
import { toRfc3339 } from "../lib/clock.ts";
import type { CommandBody, UpkeepDoubt } from "../store/command.ts";

const dayMs = 86_400_000;
/** Finished tasks: long enough to look up last week's failure. */
export const taskRetentionMs = 14 * dayMs;
/** The audit is what people are held to: a year. */
export const auditRetentionMs = 365 * dayMs;

/** `nowMs` is not just any clock's: see believed-time.ts. */
export function planUpkeep(nowMs: number, doubts: readonly UpkeepDoubt[]): Extract<CommandBody, { kind: "prune" }> {
	return {
		kind: "prune",
		tasksBefore: toRfc3339(nowMs - taskRetentionMs),
		sessionsExpiredBefore: toRfc3339(nowMs),
		auditBefore: toRfc3339(nowMs - auditRetentionMs),
		doubts: [...doubts],
	};
}
