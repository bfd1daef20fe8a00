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
};
