/** The part in the cluster of a node that has no links to others: what it says of itself, and that it can do no more. */
import { AppError } from "../lib/errors.ts";
import type { Store } from "../store/store.ts";
import type { ClusterService } from "./service.ts";

export function clusterOfOne(nodeId: string, version: string, store: Store): ClusterService {
	const unsupported = (): AppError => new AppError("unsupported", "This node has no links to others.");
	const refuse = () => Promise.reject(unsupported());
	return {
		nodeId,
		status() {
			const { leader, quorum, term, commitIndex, appliedIndex } = store.status();
			const node = store.get("node", nodeId);
			return {
				...{ nodeId, leaderNodeId: leader, quorum, term, commitIndex, appliedIndex },
				...{ quorumSize: 1, voterCount: 1, failuresTolerated: 0, removed: false, problem: null },
				members: node
					? [
							{
								...{ nodeId, name: node.name, version, witness: node.witness, peerAddresses: node.peerAddresses },
								...{ role: "leader", reachable: true, lagEntries: 0, recovering: false, receivesSnapshot: false },
								...{ features: [], latencyMs: null, certificateExpiresAt: null },
							},
						]
					: [],
			};
		},
		figures: () => ({ leaderChanges: 0, messagesDropped: 0 }),
		transferLeadership: refuse,
		makeJoinToken() {
			throw unsupported();
		},
		join: refuse,
		leave: refuse,
		everybodyHas: () => true,
		lacking: () => [],
	};
}
