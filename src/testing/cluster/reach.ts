/** Whether nodes reach each other, by what they say and by what they take; and the addresses of their hosts. */
import { waitUntil } from "../lab/wait-until.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { statusOf } from "./lab-cluster.ts";

const stepMs = 40_000;
const writeMs = 15_000;

/** A change through this node, as often as it takes. */
export const untilWritten = (node: ClusterNode, name: string): Promise<unknown> =>
	waitUntil(`${node.name} to take a write`, stepMs, () =>
		node.api.call("clusterUpdate", { body: { name }, signal: AbortSignal.timeout(writeMs) }).catch(() => undefined),
	);

/** Each of them has links to all others. */
export const untilLinked = (nodes: readonly ClusterNode[]): Promise<unknown> =>
	waitUntil("all to reach each other", stepMs, async () => {
		const seen = await Promise.all(nodes.map(statusOf));
		return seen.every((status) => status?.quorum && status.members.every(({ reachable }) => reachable));
	});

/** iproute2 on the node's host. */
export const ip = (node: ClusterNode, ...words: string[]): Promise<string> => node.run("ip", words);
