/** One question to all members that this node reaches, at the same time. */
import type { PeerNode } from "../peer/peer.ts";
import { decodeJson, encodeJson } from "./methods.ts";

export type LinkedPeers = Pick<PeerNode, "status" | "call">;
export type Answered<T> = { nodeId: string; answer: T };

/**
 * In the order of the links; who does not know the call (an older one), is too slow or has just gone away is left out. `read`: throws
 * for what is no answer.
 */
export async function askLinked<T>(
	peers: LinkedPeers,
	{ method, question, timeoutMs }: { method: string; question: unknown; timeoutMs: number },
	read: (answer: unknown) => T,
): Promise<Answered<T>[]> {
	const payload = encodeJson(question);
	const ask = async ({ nodeId }: { nodeId: string }): Promise<Answered<T> | null> => {
		try {
			return { nodeId, answer: read(decodeJson(await peers.call(nodeId, method, payload, { timeoutMs }))) };
		} catch {
			return null;
		}
	};
	const linked = peers.status().filter(({ link }) => link.state === "connected");
	return (await Promise.all(linked.map(ask))).filter((answered) => answered !== null);
}
