/** A second node in the simulated world, joined by the commands that a real one joins with. */
import { toRfc3339 } from "../../lib/clock.ts";
import type { IdSource } from "../../lib/ids.ts";
import type { Node } from "../../model/node.ts";
import type { CommandBody } from "../../store/command.ts";
import { clusterIds, fixtureId, fixtureJoinToken, fixtureNode, fixturePool } from "../fixtures.ts";
import type { NodeWorld } from "./node-world.ts";

export const secondNodeId = fixtureId(0x22);

/** What it was as a cluster of its own. */
const formerId = fixtureId(0x21);

type Cluster = {
	propose(body: CommandBody): Promise<unknown>;
	ids: IdSource;
	nowMs: number;
};

/** The state knows it, and that it has a part of the pool. */
export async function admitSecond({ propose, ids, nowMs }: Cluster, changes: Partial<Node> = {}): Promise<Node> {
	const node = fixtureNode({ id: secondNodeId, name: "node-2", peerAddresses: ["192.0.2.2:7443"], ...changes });
	const token = fixtureJoinToken({ id: ids.newId(), expiresAt: toRfc3339(nowMs + 3_600_000) });
	const [secretHash, keyFingerprint] = ["a".repeat(64), "b".repeat(64)];
	await propose({ kind: "joinTokenCreate", token, secretHash });
	await propose({ kind: "nodeAdmit", tokenId: token.id, secretHash, keyFingerprint, node });
	await propose({
		...{ kind: "nodeImport", nodeId: node.id, formerNodeId: formerId, networks: [], images: [], volumes: [], vms: [] },
		pools: [fixturePool({ id: fixtureId(0x23), nodeIds: [formerId], phase: "ready" })],
		renameSuffix: null,
	});
	await propose({ kind: "nodeStatus", id: node.id, status: node.status });
	return node;
}

/** It does not run yet. */
export async function joinSecond(first: NodeWorld, changes: Partial<Node> = {}): Promise<NodeWorld> {
	const cluster = { propose: first.propose.bind(first), ids: first.ids, nowMs: first.clock.nowMs() };
	const node = await admitSecond(cluster, changes);
	if (!first.store.get("pool", clusterIds.pool)?.nodeIds.includes(node.id))
		throw new Error("the second node has no part of the pool");
	return first.beside(node.id);
}
