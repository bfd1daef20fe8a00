import type { PresentedCredential } from "../auth/service.ts";

/** What the server knows of a request beside the request: which listener it came through, and from where. */
export type Connection = {
	/** Null for the unix socket. */
	remoteAddress: string | null;
	/** Over TLS. */
	secure: boolean;
	/** Through the unix socket: the requester is root on this node. */
	local: boolean;
	/** Takes the idle limit off this connection, for answers that may be silent for long. */
	keepOpen(): void;
	/** Another node of the cluster was asked, and passed it on (relay-serve.ts). */
	relayed?: Relayed;
};

export type Relayed = {
	/** Null: root on the node that was asked. */
	readonly credential: PresentedCredential | null;
	/** This copy of the state may be behind: there is no quorum. */
	readonly stale: boolean;
	/** The request is answered here, whatever the answer is. */
	take(): void;
	/** It is not, and nothing was read of it: the error to throw. */
	refuse(): Error;
};
