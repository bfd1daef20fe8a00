/**
 * What the API asks of the console: tickets, and the WebSocket that they open (`GET /v1/console`, subprotocols
 * `binary` and `lqx.ticket.<ticket>`). The implementation keeps the tickets in memory (30 s, good once), checks the
 * Origin of `browser` tickets (auth/origin.ts) and refuses any Origin with `native` ones, drops input of view-only ones,
 * and closes sockets when the credential is revoked (AuthService.watchCredential) or the VM leaves.
 */
import type { Identity } from "../auth/identity.ts";

export type ConsoleTicketRequest = {
	vmId: string;
	/** "browser" needs our Origin at the upgrade; "native" (command line, desktop viewer) has none. */
	kind: "browser" | "native";
	type: "vnc" | "serial";
	/** Already true for viewers, whatever they asked for. */
	viewOnly: boolean;
	/** Who asked: the socket lives as long as this credential does. */
	identity: Identity;
};

export type IssuedConsoleTicket = {
	ticket: string;
	/** RFC 3339. */
	expiresAt: string;
	path: "/v1/console";
	/** The WebSocket subprotocols to ask for. */
	protocols: string[];
	viewOnly: boolean;
};

/** The part of Bun's server that the upgrade needs. */
export type UpgradeServer<Data> = {
	upgrade(request: Request, options: { data: Data; headers?: Record<string, string> }): boolean;
	requestIP(request: Request): { address: string } | null;
};

export interface ConsoleService<Data = unknown> {
	/** Fails with `wrong-state` when the VM's screen cannot be shown, `too-many-requests` at the limit of open consoles. */
	createTicket(request: ConsoleTicketRequest): Promise<IssuedConsoleTicket>;
	/**
	 * Called for each `GET /v1/console`. Undefined: upgraded, the socket is `websocket`'s. Else the refusal, as a
	 * thrown AppError (the API makes problem details of it) or a finished Response.
	 */
	handleUpgrade(request: Request, server: UpgradeServer<Data>): Response | undefined | Promise<Response | undefined>;
	/** Given to Bun.serve as it is. */
	readonly websocket: Bun.WebSocketHandler<Data>;
	/** Open console sockets on this node, for /metrics. */
	openCount(): number;
}
