/** A second node in the simulated world, joined by the commands that a real one joins with. */
import type { Node } from "../../model/node.ts";
import { clusterIds, fixtureId, fixtureNode, fixturePool } from "../fixtures.ts";
import type { NodeWorld } from "./node-world.ts";

export const secondNodeId = fixtureId(0x22);

/** What it was as a cluster of its own. */
const formerId = fixtureId(0x21);

/** The state knows it, with its part of the pool; it does not run yet. */
export async function joinSecond(first: NodeWorld, changes: Partial<Node> = {}): Promise<NodeWorld> {
	const node = fixtureNode({ id: secondNodeId, name: "node-2", peerAddresses: ["192.0.2.2:7443"], ...changes });
	const createdAt = new Date(first.clock.nowMs()).toISOString();
	const token = {
		...{ id: first.ids.newId(), generation: 1, createdAt, updatedAt: createdAt, createdBy: "admin" },
		...{ expiresAt: new Date(first.clock.nowMs() + 3_600_000).toISOString(), usesLeft: 1, admitted: [] },
	};
	const [secretHash, keyFingerprint] = ["a".repeat(64), "b".repeat(64)];
	await first.propose({ kind: "joinTokenCreate", token, secretHash });
	await first.propose({ kind: "nodeAdmit", tokenId: token.id, secretHash, keyFingerprint, node });
	await first.propose({
		...{ kind: "nodeImport", nodeId: node.id, formerNodeId: formerId, networks: [], images: [], volumes: [], vms: [] },
		pools: [fixturePool({ id: fixtureId(0x23), nodeIds: [formerId], phase: "ready" })],
		renameSuffix: null,
	});
	await first.propose({ kind: "nodeStatus", id: node.id, status: node.status });
	if (!first.store.get("pool", clusterIds.pool)?.nodeIds.includes(node.id))
		throw new Error("the second node has no part of the pool");
	return first.beside(node.id);
}
