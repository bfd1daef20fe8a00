/**
 * Whether a node is heard of by any member now. Who says that a host is off may be mistaken, and the network may be cut so that only one
 * member knows better: all that this node reaches are asked. No part of the state, so it is asked before a command is proposed.
 */
import { AppError } from "../lib/errors.ts";
import type { PeerNode } from "../peer/peer.ts";
import { askLinked } from "./ask-linked.ts";
import { decodeJson, encodeJson, methods } from "./methods.ts";

type Peers = Pick<PeerNode, "nodeId" | "status" | "call" | "sinceRemovedMs">;
type Question = { nodeId: string };
type Answer = { hears: boolean };

/** One that works answers in milliseconds; the node that is asked about is not waited for. */
const askMs = 2_000;
/** A node that was removed asks again every few seconds. */
const removedSilentMs = 30_000;

/** The id of a member that hears it, this node itself first; null when none says so. */
export async function whoHears(nodeId: string, peers: Peers): Promise<string | null> {
	if (hears(nodeId, peers)) return peers.nodeId;
	const question: Question = { nodeId };
	const ask = { method: methods.hears, question, timeoutMs: askMs };
	const answers = await askLinked(peers, ask, (answer) => (answer as Answer).hears === true);
	return answers.find(({ answer }) => answer)?.nodeId ?? null;
}

/** Of another node. */
export function answerHears(payload: Uint8Array, peers: Omit<Peers, "call">): Uint8Array {
	const { nodeId } = decodeJson<Question>(payload);
	if (typeof nodeId !== "string") throw new AppError("malformed", "This is no node.");
	return encodeJson({ hears: hears(nodeId, peers) } satisfies Answer);
}

function hears(nodeId: string, peers: Omit<Peers, "call">): boolean {
	const sinceMs = peers.sinceRemovedMs(nodeId);
	if (sinceMs !== null && sinceMs < removedSilentMs) return true;
	const seen = peers.status().find((other) => other.nodeId === nodeId);
	// Both end about a second after the last word.
	return seen !== undefined && (seen.link.state === "connected" || seen.incoming.raft > 0);
}
