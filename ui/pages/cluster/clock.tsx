/** How far a member's clock is off, and a mark when that is too much. */
import { formatClockDifference } from "../../../src/model/clock-rules.ts";
import type { ClusterMember } from "../../api/types.ts";
import { WarningMark } from "../../components/badge.tsx";
import { Notice } from "../../components/layout.tsx";
import { wrongClock } from "../../lib/wrong-clock.ts";
import { members as t } from "../../strings/members.ts";

type Props = { member: Pick<ClusterMember, "clockOffsetMs" | "clockOff"> };

export function ClockOffset({ member: { clockOffsetMs } }: Props) {
	if (clockOffsetMs === null)
		return (
			<span class="muted" title={t.clockUnknown}>
				–
			</span>
		);
	return <span title={t.clockTitle}>{offsetText(clockOffsetMs)}</span>;
}

const offsetText = (ms: number): string =>
	Math.abs(ms) < 1_000 ? t.clockRight : t.clockOffset(formatClockDifference(ms), ms < 0);

export function ClockMark({ member }: Props) {
	const wrong = wrongClock(member);
	return wrong === null ? null : <WarningMark text={wrong} />;
}

export function ClockNotice({ member }: Props) {
	const wrong = wrongClock(member);
	return wrong === null ? null : <Notice tone="warning">{`${wrong}. ${t.clockMend}`}</Notice>;
}
