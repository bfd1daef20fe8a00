/** Whether a node is heard of now, by the leader, by the node that is asked or by any other: then it is not off, whoever says so. */
import type { ClusterService } from "../../cluster/service.ts";

/** `by`: whom it answers, when that has to be said. Null when nobody hears it. */
export async function howItAnswers(
	cluster: Pick<ClusterService, "freshStatus" | "whoHears">,
	id: string,
): Promise<{ by: string | null } | null> {
	const { members } = await cluster.freshStatus();
	const member = members.find(({ nodeId }) => nodeId === id);
	if (member !== undefined && (member.reachable || member.latencyMs !== null)) return { by: null };
	const by = await cluster.whoHears(id);
	return by === null ? null : { by };
}
