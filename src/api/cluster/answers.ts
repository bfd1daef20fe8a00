/** Whether a node is heard of now, by the leader or by the node that is asked: then it is not off, whoever says so. */
import type { ClusterService } from "../../cluster/service.ts";

export function nodeAnswers(cluster: Pick<ClusterService, "status" | "hearsRemoved">, id: string): boolean {
	if (cluster.hearsRemoved(id)) return true;
	const member = cluster.status().members.find(({ nodeId }) => nodeId === id);
	return member !== undefined && (member.reachable || member.latencyMs !== null);
}
