/**
 * The state of a cluster becomes that of a new cluster with one of its nodes: after a recovery (recover.ts), and when a
 * backup is restored (restore.ts). The others may go on from a later state, or come back: so the cluster has another id, and
 * another authority from its next start on, which makes their certificates worthless, and none of them is a member.
 *
 * Sessions and join tokens end: what ended them may be among the changes that are lost.
 */
import { assert } from "../lib/assert.ts";
import { toRfc3339 } from "../lib/clock.ts";
import { fromErrorInfo } from "../lib/errors.ts";
import type { Node } from "../model/node.ts";
import { emptyConfiguration } from "../raft/configuration.ts";
import { applyEntry } from "../store/apply/apply.ts";
import { encodeCommand } from "../store/codec.ts";
import type { StateDatabase } from "../store/sqlite/state-database.ts";

export type SoleMember = {
	/** The node that is left. */
	node: Node;
	/** The new one. */
	clusterId: string;
	operation: "clusterRecover" | "clusterRestore";
	/** The name that was typed. */
	confirmation?: string;
	newId: () => string;
	nowMs: number;
};

/** Not for a state that anybody is served from. Answers with the names of the nodes that are no members any more. */
export function makeSoleMember(state: StateDatabase, sole: SoleMember): string[] {
	const { node } = sole;
	const others = otherMembers(state, node.id);
	state.transaction(() => {
		for (const other of others) removeNode(state, other, sole);
		replaceCluster(state, sole, others);
		state.deleteAuthority();
		state.deleteAllSessions();
		state.deleteAllJoinTokens();
		const removed = [...(state.configuration?.configuration.removed ?? []), ...others.map(({ id }) => id)];
		const witnesses = node.witness ? [node.id] : [];
		const configuration = { ...emptyConfiguration, voters: [node.id], witnesses, removed: [...new Set(removed)] };
		state.setConfiguration({ index: state.appliedIndex, configuration });
	});
	return others.map(({ name }) => name);
}

/** By name. */
export const otherMembers = (state: StateDatabase, nodeId: string): Node[] =>
	state
		.all("node")
		.filter(({ id, status }) => id !== nodeId && status.phase !== "left")
		.sort((a, b) => (a.name < b.name ? -1 : 1));

/** By the same rules as `cluster remove`, as the next change of the state. */
function removeNode(state: StateDatabase, { id, name }: Node, { newId, nowMs }: SoleMember): void {
	const [index, term] = [state.appliedIndex + 1, state.appliedTerm];
	const data = encodeCommand({
		id: newId(),
		timeMs: Math.floor(nowMs),
		requester: { kind: "system", id: null, name: "system" },
		remoteAddress: null,
		operation: "system",
		idempotencyKey: null,
		credential: null,
		body: { kind: "nodeRemove", id, leaving: false, confirmName: name },
	});
	const outcome = applyEntry(state, { index, term, data });
	assert(outcome !== null, "the command can be read");
	if ("error" in outcome.result) throw fromErrorInfo(outcome.result.error);
	state.setApplied(index, term);
}

function replaceCluster(state: StateDatabase, sole: SoleMember, others: readonly Node[]): void {
	const { clusterId, operation, confirmation, newId, nowMs } = sole;
	const time = toRfc3339(nowMs);
	for (const cluster of state.all("cluster")) {
		state.delete("cluster", cluster.id);
		state.insert("cluster", { ...cluster, id: clusterId, generation: cluster.generation + 1, updatedAt: time });
	}
	state.insertAudit({
		id: newId(),
		time,
		requester: { kind: "local", id: null, name: "local" },
		remoteAddress: null,
		operation,
		outcome: "accepted",
		targets: [
			{ kind: "cluster", id: clusterId, name: state.get("cluster", clusterId)?.name ?? null },
			...others.map(({ id, name }) => ({ kind: "node" as const, id, name })),
		],
		errorCode: null,
		...(confirmation === undefined ? {} : { confirmation: confirmed(confirmation, others) }),
	});
}

/** Whoever typed it was told that the others must be off: as with `cluster remove`, that is what was confirmed. */
const confirmed = (typed: string, others: readonly Node[]): string =>
	[typed, ...others.map(({ name }) => `${name} is off`)].join("; ");
