/** How members' clocks are, in words: with by how much, and without blame where nobody knows which is right. Pure. */
import { apartMs, type ClockBasis, formatClockDifference } from "../../src/model/clock-rules.ts";
import type { ClusterMember, ClusterStatus } from "../api/types.ts";
import { members as t } from "../strings/members.ts";

type Member = Pick<ClusterMember, "nodeId" | "name" | "clockOff" | "clockOffsetMs">;
/** As the node that answers hears them. */
export type Clocks = Pick<ClusterStatus, "clockBasis"> & { members: readonly Member[] };

/** Without a majority that agrees: those that differ, when there are at least two. */
function differing({ clockBasis, members }: Clocks): { those: readonly Member[]; size: string } | null {
	const those = members.filter(({ clockOff }) => clockOff);
	if (clockBasis !== "none" || those.length < 2) return null;
	return { those, size: formatClockDifference(apartMs(those.map(({ clockOffsetMs }) => clockOffsetMs ?? 0))) };
}

const off = (ms: number, basis: Exclude<ClockBasis, "none">): string =>
	t.clockOffset(formatClockDifference(ms), ms < 0, basis === "kept");

/** What is wrong with a member's clock, in a sentence without its end. Null when nothing is. */
export function wrongClock(member: Member, clocks: Clocks): string | null {
	if (!member.clockOff) return null;
	const { clockBasis } = clocks;
	if (clockBasis !== "none") return t.clockOff(off(member.clockOffsetMs ?? 0, clockBasis));
	const differ = differing(clocks);
	const others = differ?.those.filter(({ nodeId }) => nodeId !== member.nodeId);
	if (differ === null || others === undefined) return null;
	const [other, ...more] = others;
	return other !== undefined && more.length === 0
		? t.clockDiffersFrom(other.name, differ.size)
		: t.clockDiffers(differ.size);
}

/** The same for a cell: "right", "2 h behind most others". Null when that is not known. */
export function clockDifference(member: Member, clocks: Clocks): string | null {
	if (member.clockOffsetMs === null) return null;
	const { clockBasis } = clocks;
	if (clockBasis !== "none") return member.clockOff ? off(member.clockOffsetMs, clockBasis) : t.clockRight;
	const differ = member.clockOff ? differing(clocks) : null;
	return differ === null ? t.clockAgrees : t.clockApart(differ.size, differ.those.length > 2);
}

/** One sentence for all whose clocks differ while nobody knows which is right; null when that is known, or none differ. */
export function wrongTogether(clocks: Clocks): string | null {
	const differ = differing(clocks);
	return differ && t.clocksDiffer(differ.those.map(({ name }) => name).join(", "), differ.size);
}
