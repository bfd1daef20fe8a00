/** How far a member's clock is off, and a mark when that is too much. */
import { clusterStatus } from "../../api/cluster-status.ts";
import type { ClusterMember } from "../../api/types.ts";
import { WarningMark } from "../../components/badge.tsx";
import { Notice } from "../../components/layout.tsx";
import { type Clocks, clockDifference, wrongClock } from "../../lib/wrong-clock.ts";
import { members as t } from "../../strings/members.ts";

type Props = { member: ClusterMember };

const noClocks: Clocks = { clockBasis: "none", members: [] };

export function ClockOffset({ member }: Props) {
	const difference = clockDifference(member, clusterStatus.value ?? noClocks);
	if (difference !== null) return <span>{difference}</span>;
	return (
		<span class="muted" title={t.clockUnknown}>
			–
		</span>
	);
}

export function ClockMark({ member }: Props) {
	const wrong = wrongClock(member, clusterStatus.value ?? noClocks);
	return wrong === null ? null : <WarningMark text={wrong} />;
}

export function ClockNotice({ member }: Props) {
	const clocks = clusterStatus.value ?? noClocks;
	const wrong = wrongClock(member, clocks);
	if (wrong === null) return null;
	const mend = clocks.clockBasis === "none" ? t.clocksMend : t.clockMend;
	return <Notice tone="warning">{`${wrong}. ${mend}`}</Notice>;
}
