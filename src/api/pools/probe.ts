/** Trying a pool on each of its nodes before it is made, or changed: what failed where is said, and nothing is left behind. */
import { AppError, isAppError, toErrorInfo } from "../../lib/errors.ts";
import type { PoolCredentials } from "../../model/pool-config.ts";
import { type Pool, type PoolProbeAnswer, PoolProbed, type PoolProbeResult } from "../../model/storage.ts";
import type { RequestContext } from "../context.ts";
import { askNode } from "../relay.ts";
import type { Route } from "../route.ts";
import { fieldErrors } from "../validation.ts";

export type PoolToProbe = Pick<Pool, "id" | "name" | "type" | "config"> & {
	credentials: PoolCredentials | null;
	/** Names of what may be there, and goes when the pool is made. */
	overwrite?: readonly string[];
};

/** On this node. */
export async function probeHere(context: RequestContext, pool: PoolToProbe): Promise<PoolProbeResult> {
	const { node } = context.services;
	try {
		const { totalBytes, availableBytes } = await node.probePool(pool);
		return { nodeId: node.nodeId, ok: true, totalBytes, availableBytes, error: null };
	} catch (error) {
		return failed(node.nodeId, error);
	}
}

const failed = (nodeId: string, error: unknown): PoolProbeResult => ({
	...{ nodeId, ok: false, totalBytes: null, availableBytes: null },
	error: toErrorInfo(error),
	...foundIn(error),
});

function foundIn(error: unknown): { found?: string[] } {
	const found = isAppError(error) ? error.context.found : undefined;
	if (!Array.isArray(found)) return {};
	return { found: found.filter((name) => typeof name === "string") };
}

/** `unreached`: ids of nodes that could not be asked; what is said of those is said by this node. */
export type Probed = PoolProbeAnswer & { unreached: ReadonlySet<string> };

/** On all of these, at the same time. `route`: that of poolProbe, which the others answer. */
export async function probeOn(
	context: RequestContext,
	route: Route,
	pool: PoolToProbe,
	nodeIds: readonly string[],
): Promise<Probed> {
	const unreached = new Set<string>();
	const { id, type, config, credentials, overwrite } = pool;
	const body = {
		...{ poolId: id, type, config },
		...(credentials === null ? {} : { credentials }),
		...(overwrite === undefined ? {} : { overwrite }),
	};
	const ask = async (nodeId: string): Promise<PoolProbeResult> => {
		if (nodeId === context.services.node.nodeId) return probeHere(context, pool);
		try {
			const answer = await askNode(context, route, nodeId, {}, { nodeId }, body);
			const results = answer as PoolProbeAnswer;
			const [result] = fieldErrors(PoolProbed, answer).length > 0 ? [] : results.nodes;
			if (result?.nodeId === nodeId) return result;
			throw new AppError("unavailable", "The node answered with something that is not understood here.");
		} catch (error) {
			if (isAppError(error, "unavailable") || isAppError(error, "timeout")) unreached.add(nodeId);
			return failed(nodeId, error);
		}
	};
	const nodes = await Promise.all(nodeIds.map(ask));
	context.credentialEnded.throwIfAborted();
	return { nodes, unreached };
}

/**
 * Fails with the nodes on which it does not work, each with its reason. One that is away keeps nobody from making a pool: it tries
 * it when it is back, and says then how it is there.
 */
export function requireWorks(context: RequestContext, nodeIds: readonly string[], { nodes, unreached }: Probed): void {
	const failures = nodes.filter(({ ok, nodeId }) => !ok && !unreached.has(nodeId));
	const [first] = failures;
	if (!first) return;
	const nameOf = (nodeId: string) => context.services.store.get("node", nodeId)?.name ?? nodeId;
	const fields = failures.map(({ nodeId, error }) => ({
		path: `/nodeIds/${nodeIds.indexOf(nodeId)}`,
		message: `${nameOf(nodeId)}: ${error?.message ?? "It does not work there."}`,
	}));
	const found = failures.find((one) => one.found !== undefined)?.found;
	if (found) fields.push({ path: "/overwrite", message: `What is there has to be named: ${found.join(", ")}.` });
	const what = `The storage pool does not work on ${failures.map(({ nodeId }) => nameOf(nodeId)).join(", ")}`;
	throw new AppError("invalid", `${what}: ${first.error?.message}`, { fields });
}

/** What was on the LUN minutes or days ago is confirmed for nobody: the node that overwrites it has looked just now. */
export function requireAnswered(
	{ services: { store } }: RequestContext,
	nodeId: string | null,
	heard: readonly string[],
	{ unreached }: Probed,
): void {
	if (nodeId !== null && heard.includes(nodeId) && !unreached.has(nodeId)) return;
	const name = nodeId === null ? "that makes the volume group" : (store.get("node", nodeId)?.name ?? nodeId);
	throw new AppError(
		"unavailable",
		`The node ${name} is not reached, and what is on the LUN is overwritten by it only.`,
	);
}
