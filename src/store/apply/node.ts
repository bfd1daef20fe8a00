/** Nodes that are members, or become one. How they go: node-leave.ts; what they bring: node-import.ts. */
import { AppError } from "../../lib/errors.ts";
import type { JoinToken } from "../../model/cluster.ts";
import { Node, NodeStatus, NodeUpdate } from "../../model/node.ts";
import { validated } from "../../model/validate.ts";
import type { BodyOf } from "../codec/values.ts";
import { maxNodes } from "../limits.ts";
import type { StateDatabase } from "../sqlite/state-database.ts";
import { asCreated, checkGeneration, checkNameFree, nodeHasLeft } from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";

export const nodeHandlers: Handlers<"nodeUpdate" | "nodeStatus" | "nodeAdmit" | "nodeAddresses" | "nodeLost"> = {
	nodeUpdate(context, { kind: _kind, id, expectedGeneration, ...changes }) {
		const node = memberOf(context, id);
		checkGeneration(node, expectedGeneration, "node");
		validated(NodeUpdate, changes, "The node");
		if (changes.name !== undefined) checkNameFree(context, "node", changes.name, node.id);
		context.updateSpec("node", node, changes);
		return null;
	},

	nodeStatus(context, body) {
		const node = memberOf(context, body.id);
		const status = validated(NodeStatus, body.status, "The status");
		if (status.phase === "left") throw new AppError("invalid", "A node leaves by being removed.");
		context.update("node", node, { ...node, status });
		return null;
	},

	nodeAddresses(context, { id, peerAddresses }) {
		const node = memberOf(context, id);
		validated(NodeUpdate, { peerAddresses }, "The node");
		if (node.peerAddresses.length === 0) context.updateSpec("node", node, { peerAddresses });
		return null;
	},

	nodeLost(context, { id, reason, lost }) {
		const node = context.need("node", id);
		if (node.status.phase === "left" || node.status.phase === "joining") return null;
		const phase = "not-ready" as const;
		const status = { ...node.status, phase, reason, ...(lost ? { lost } : {}), updatedAt: context.time };
		context.update("node", node, { ...node, status });
		return null;
	},

	nodeAdmit(context, body) {
		const token = goodToken(context, body);
		const known = admittedBefore(context.state, token, body.keyFingerprint);
		const given = validated(Node, body.node, "The node");
		if (known !== null) {
			// It asks again, perhaps because nobody reached it where it had said.
			const { peerAddresses, witness } = given;
			if (known.status.phase === "joining") context.updateSpec("node", known, { peerAddresses, witness });
			return null;
		}
		if (token.usesLeft === 0) throw refusal("used");
		const joining = context.state.all("node").find((other) => isJustJoining(other, context.command.timeMs));
		if (joining)
			throw new AppError("unavailable", `The node ${joining.name} is joining. Try again when it is done.`, {
				retryAfterMs: 2000,
			});
		const members = context.state.all("node").filter(({ status }) => status.phase !== "left");
		if (members.length >= maxNodes) throw new AppError("wrong-state", `A cluster has ${maxNodes} nodes at most.`);
		const name = freeNodeName(context, given.name);
		const status: NodeStatus = { ...given.status, phase: "joining" };
		context.insert("node", asCreated(context, { ...given, name, status }));
		const { keyFingerprint } = body;
		const others = token.admitted.filter((admitted) => admitted.keyFingerprint !== keyFingerprint);
		const admitted = [...others, { nodeId: given.id, keyFingerprint }];
		context.update("joinToken", token, { ...token, usesLeft: token.usesLeft - 1, admitted });
		return null;
	},
};

/** What it brings is not known yet, so nobody can say what another one's would clash with. One that does not come is not waited for. */
const isJustJoining = ({ status, createdAt }: Node, nowMs: number): boolean =>
	status.phase === "joining" && nowMs - Date.parse(createdAt) < joiningLimitMs;

/** The node, unless it is gone for good. */
export function memberOf(context: ApplyContext, id: string): Node {
	const node = context.need("node", id);
	if (node.status.phase === "left") throw nodeHasLeft(node);
	return node;
}

export const setPhase = (context: ApplyContext, node: Node, phase: NodeStatus["phase"], reason: string | null): Node =>
	context.update("node", node, { ...node, status: { ...node.status, phase, reason, updatedAt: context.time } });

const joiningLimitMs = 60_000;

type Reason = "unknown" | "expired" | "used";
const sentences: Record<Reason, string> = {
	unknown: "The cluster does not know this join token.",
	expired: "The join token has expired.",
	used: "The join token was used already.",
};
/** The reason is a field, since that is what reaches the proposer. */
const refusal = (reason: Reason): AppError =>
	new AppError("unauthenticated", sentences[reason], { fields: [{ path: "/token", message: reason }] });

function goodToken(context: ApplyContext, body: BodyOf<"nodeAdmit">): JoinToken {
	const token = context.get("joinToken", body.tokenId);
	if (token === null || context.state.secretHash("joinToken", token.id) !== body.secretHash) throw refusal("unknown");
	if (token.expiresAt <= context.time) throw refusal("expired");
	return token;
}

/** The member that came with the same token and the same key. */
export function admittedBefore(state: StateDatabase, token: JoinToken, keyFingerprint: string): Node | null {
	const admitted = token.admitted.find((known) => known.keyFingerprint === keyFingerprint);
	const node = admitted ? state.get("node", admitted.nodeId) : null;
	return node?.status.phase === "left" ? null : node;
}

/** NAME, else NAME-2, NAME-3 …: hosts often come with one name. */
function freeNodeName(context: ApplyContext, name: string): string {
	for (let number = 1; ; number++) {
		const suffix = number === 1 ? "" : `-${number}`;
		const candidate = name.slice(0, maxNameLength - suffix.length) + suffix;
		if (context.state.idByName("node", candidate) === null) return candidate;
	}
}

const maxNameLength = 63;
