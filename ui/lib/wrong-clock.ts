/** What is wrong with a member's clock, in a sentence without its end. Null when nothing is. */
import { formatClockDifference } from "../../src/model/clock-rules.ts";
import type { ClusterMember } from "../api/types.ts";
import { members as t } from "../strings/members.ts";

export function wrongClock({ clockOff, clockOffsetMs: ms }: Pick<ClusterMember, "clockOff" | "clockOffsetMs">) {
	if (!clockOff) return null;
	// Without a majority that agrees the node that answers is one of those that differ, and by nothing from itself.
	return ms === null || ms === 0 ? t.clockDiffers : t.clockOff(formatClockDifference(ms), ms < 0);
}
