/** Why something cannot be done with a member now, as a sentence, whoever asks; null when it can. Pure. */
import type { ClusterMember, ClusterStatus, Node } from "../../api/types.ts";
import { isVoter } from "../../lib/outlook.ts";
import { members as t } from "../../strings/members.ts";

const o = t.obstacles;

/** Why it cannot become the leader now. */
export function leaderObstacle(
	member: ClusterMember,
	{ leaderNodeId }: Pick<ClusterStatus, "leaderNodeId">,
): string | null {
	if (member.nodeId === leaderNodeId) return o.leads;
	if (leaderNodeId === null) return o.leader;
	if (member.witness) return o.witness;
	if (!isVoter(member)) return o.learner;
	if (!member.reachable) return o.away;
	return member.recovering ? o.recovering : null;
}

/** Why it cannot leave by itself. */
export function leaveObstacle(
	{ reachable }: Pick<ClusterMember, "reachable">,
	{ members }: Pick<ClusterStatus, "members">,
): string | null {
	if (members.length < 2) return o.last;
	return reachable ? null : o.leaveAway;
}

/**
 * Why it cannot be removed as one that is gone. `phase`: of its record; undefined while that is not known. Where the record has not got
 * to the end of joining nothing runs for the cluster, so it goes whether somebody answers there or not.
 */
export function removeObstacle(
	{ nodeId, reachable }: Pick<ClusterMember, "nodeId" | "reachable">,
	status: Pick<ClusterStatus, "nodeId" | "members">,
	phase: Node["status"]["phase"] | undefined,
): string | null {
	if (status.members.length < 2) return o.last;
	if (nodeId === status.nodeId) return o.removeHere;
	return reachable && phase !== "joining" ? o.removeReached : null;
}
