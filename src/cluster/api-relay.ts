/**
 * Requests that only one node can answer, over streams of the peer link: the way out for this node's API (`ApiDeps.relay`), and
 * the way in (stream kind "api"). What is in them, and who may ask it, is src/api/relay*.ts; nothing is decided here.
 */
import { AppError } from "../lib/errors.ts";
import type { PeerNode } from "../peer/peer.ts";
import { isPeerError } from "../peer/peer-error.ts";
import type { PeerStream } from "../peer/stream.ts";
import type { StreamHandler } from "../peer/stream-open.ts";

export const apiStreamKind = "api";

export type ApiRelay = { open(nodeId: string, head: Uint8Array, signal: AbortSignal): Promise<PeerStream> };

/** Rejects with that node's refusal, or with `unavailable` when it cannot be reached. */
export function createApiRelay(peers: Pick<PeerNode, "openStream">): ApiRelay {
	return {
		async open(nodeId, head, signal) {
			try {
				return await peers.openStream(nodeId, { kind: apiStreamKind, metadata: head }, signal);
			} catch (error) {
				if (!isPeerError(error)) throw error;
				throw new AppError("unavailable", error.message, { cause: error });
			}
		},
	};
}

type IncomingRequest = { from: string; head: Uint8Array; accept(): PeerStream };

/** The handler of such streams; `handle` is the API's `handleRelayed`. */
export const serveRelayedRequests =
	(handle: (incoming: IncomingRequest) => Promise<void>): StreamHandler =>
	({ peer, metadata, accept }) =>
		handle({ from: peer.nodeId, head: metadata, accept: () => accept() });
