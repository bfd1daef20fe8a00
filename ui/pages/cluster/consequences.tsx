/** What a cluster is like after a node has gone from it. */
import type { ClusterStatus } from "../../api/types.ts";
import { Notice } from "../../components/layout.tsx";
import { outlookWithout } from "../../lib/outlook.ts";
import { members as t } from "../../strings/members.ts";

export function AfterThis({ status, nodeId }: { status: ClusterStatus; nodeId: string }) {
	const { needed, voters, mayFail, reachable, quorum } = outlookWithout(status.members, nodeId);
	return (
		<section class="consequences" aria-label={t.after}>
			<h3>{t.after}</h3>
			{quorum ? (
				<p>
					{t.afterQuorum(needed, voters)} {t.afterMayFail(mayFail)}
				</p>
			) : (
				<Notice tone="error">{t.afterNone(needed, voters, reachable)}</Notice>
			)}
		</section>
	);
}
