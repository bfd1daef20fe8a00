/**
 * Whether a node is at an address that an administrator says, before the others rely on it. Looked at from another node than the
 * one that it is about: to itself it may well be what nobody else reaches.
 */
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { maxPeerAddresses } from "../model/cluster.ts";
import { type Address, parseAddress } from "../peer/address.ts";
import type { PeerNode } from "../peer/peer.ts";
import { probe } from "../peer/probe.ts";
import { decodeJson, encodeJson, methods } from "./methods.ts";

type Peers = Pick<PeerNode, "nodeId" | "status" | "call">;
type Question = { nodeId: string; addresses: readonly string[] };
type Answer = { problem: string | null };

const askMs = 5_000;

/** Why the node is at none of these addresses; null when it is, or when nobody can look. */
export async function whyUnreached(question: Question, peers: Peers, clock: Clock): Promise<string | null> {
	if (question.nodeId !== peers.nodeId) return look(question, clock);
	for (const { nodeId, link } of peers.status()) {
		if (link.state !== "connected") continue;
		try {
			const answer = await peers.call(nodeId, methods.probe, encodeJson(question), { timeoutMs: askMs });
			return decodeJson<Answer>(answer).problem;
		} catch {
			// An older one, or one that has just gone away: the next one may know.
		}
	}
	return null;
}

/** Of another node. */
export async function answerProbe(payload: Uint8Array, clock: Clock): Promise<Uint8Array> {
	const { nodeId, addresses } = decodeJson<Question>(payload);
	if (typeof nodeId !== "string" || !Array.isArray(addresses) || addresses.length > maxPeerAddresses)
		throw new AppError("malformed", "These are no addresses of a node.");
	return encodeJson({ problem: await look({ nodeId, addresses }, clock) } satisfies Answer);
}

const look = ({ nodeId, addresses }: Question, clock: Clock): Promise<string | null> =>
	probe(
		addresses.map((text) => parseAddress(String(text))).filter((address): address is Address => address !== null),
		nodeId,
		clock,
	);
