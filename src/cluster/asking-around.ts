/**
 * Where a node is that this one does not reach: the others may know, when it has moved and has reached them. They are asked while it is
 * missing. Nothing is believed for it: who answers there has to show the certificate of the node that is meant.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { type Address, formatAddress, parseAddress } from "../peer/address.ts";
import type { PeerNode } from "../peer/peer.ts";
import { askLinked } from "./ask-linked.ts";
import { decodeJson, encodeJson, methods } from "./methods.ts";

type Peers = Pick<PeerNode, "status" | "call" | "foundAt" | "heardAt">;
type Question = { nodeIds: readonly string[] };
/** By node; one that is not known is not in it. */
type Answer = { found: Record<string, readonly string[]> };

const askMs = 5_000;
const maxAsked = 128;
/** Of one node: each where nobody is costs seconds. */
const maxFound = 4;
const pauseMs = 3_000;

/** Until the function that it returns is called. */
export function keepAskingAround(peers: Peers, clock: Clock): () => void {
	let timer: Timer;
	let ended = false;
	const later = () => {
		if (!ended) timer = clock.schedule(pauseMs, () => void askAround(peers).finally(later));
	};
	later();
	return () => {
		ended = true;
		timer.cancel();
	};
}

/** Resolves when all that are there have answered, or cannot. */
export async function askAround(peers: Peers): Promise<void> {
	const missing = peers.status().filter(({ link }) => link.state !== "connected" && link.failures > 0);
	const nodeIds = missing.slice(0, maxAsked).map(({ nodeId }) => nodeId);
	if (nodeIds.length === 0) return;
	const question: Question = { nodeIds };
	const ask = { method: methods.whereIs, question, timeoutMs: askMs };
	const answers = await askLinked(peers, ask, (answer) => nodeIds.map((id) => readFound(answer as Answer, id)));
	for (const [at, id] of nodeIds.entries())
		peers.heardAt(
			id,
			answers.flatMap(({ answer }) => answer[at] ?? []),
		);
}

/** Of another node. */
export function answerWhereIs(payload: Uint8Array, peers: Pick<PeerNode, "foundAt">): Uint8Array {
	const { nodeIds } = decodeJson<Question>(payload);
	if (!Array.isArray(nodeIds) || nodeIds.length > maxAsked || !nodeIds.every((id) => typeof id === "string"))
		throw new AppError("malformed", "These are no nodes.");
	const found = nodeIds.map((id: string) => [id, peers.foundAt(id).slice(0, maxFound).map(formatAddress)] as const);
	return encodeJson({
		found: Object.fromEntries(found.filter(([, addresses]) => addresses.length > 0)),
	} satisfies Answer);
}

function readFound({ found }: Answer, nodeId: string): Address[] {
	const texts = typeof found === "object" && found !== null && Object.hasOwn(found, nodeId) ? found[nodeId] : [];
	if (!Array.isArray(texts)) return [];
	const addresses = texts.slice(0, maxFound).map((text) => (typeof text === "string" ? parseAddress(text) : null));
	return addresses.filter((address): address is Address => address !== null);
}
