/**
 * Consoles of this node (architecture decision 6): a ticket is asked for over the API, redeemed once as a WebSocket
 * subprotocol, and the socket then carries RFB or the serial console until the guest, the client or the session ends.
 *
 * A console belongs to one run of one VM: it is opened on the socket that the VM has at that moment and closed with
 * it, so that another VM can never appear in it.
 */
import type { Identity } from "../auth/identity.ts";
import type { Clock } from "../lib/clock.ts";
import { toRfc3339 } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { roleAtLeast } from "../model/permissions.ts";
import type { NodeService } from "../node/service.ts";
import { type ClientFilter, ConsoleBridge, closeCode, type OpenGuestStream } from "./bridge.ts";
import { RfbClientFilter } from "./rfb-filter.ts";
import { SerialHub } from "./serial-hub.ts";
import type { ConsoleService } from "./service.ts";
import { openUnixSocket } from "./streams.ts";
import { type TicketGrant, TicketTable, ticketLifetimeMs } from "./tickets.ts";

const maxConsoles = 256;
const maxConsolesPerVm = 16;
/** So that one person cannot take them all. */
const maxConsolesPerUser = 32;
const maxConsolesPerUserAndVm = 8;
/** The largest message that a client may send: a paste through the clipboard. */
const maxMessageBytes = 1024 * 1024;
/** Bytes towards the browser that Bun may hold before reading from the guest stops. */
const browserBufferBytes = 4 * 1024 * 1024;

const ticketProtocol = /^lqx\.ticket\.([A-Za-z0-9_-]{43})$/;

export type ConsoleDependencies = {
	node: Pick<NodeService, "vncSocket" | "openSerial">;
	clock: Clock;
	random: Random;
	logger: Logger;
	/** True when the request's Origin is this server's own. */
	isOwnOrigin(request: Request): boolean;
	/** Calls back once when the identity's credential is revoked or ends; returns how to stop watching. */
	watchCredential(identity: Identity, onRevoked: () => void): () => void;
	/** Records that a good ticket was refused for where it came from: whoever it was given to has a right to know. */
	recordDenial(identity: Identity, vmId: string, remoteAddress: string | null): Promise<void>;
};

export type ConsoleData = {
	grant: TicketGrant;
	open: OpenGuestStream;
	bridge: ConsoleBridge | null;
	unwatch: () => void;
	openedAtMs: number;
};

export type Consoles = ConsoleService<ConsoleData> & {
	/** Ends all consoles of a VM, because it leaves this node or is deleted. */
	closeVm(vmId: string, reason: string): void;
	stop(): void;
};

export function createConsoles(deps: ConsoleDependencies): Consoles {
	const tickets = new TicketTable(deps.clock, deps.random);
	const serial = new SerialHub((vmId) => deps.node.openSerial(vmId));
	/** In the order in which they were opened. */
	const open = new Set<ConsoleData>();
	/** Upgrades between ticket and open socket: they count against the limits too. */
	let opening = 0;

	/** Refuses above the limits; whoever may type takes the place of the longest watcher when there is no other. */
	const makeRoom = (wanted: Pick<TicketGrant, "vmId" | "viewOnly" | "identity">) => {
		const all = [...open];
		const mine = all.filter(({ grant }) => personOf(grant) === personOf(wanted));
		const ofVm = all.filter(({ grant }) => grant.vmId === wanted.vmId);
		const mineOfVm = mine.filter(({ grant }) => grant.vmId === wanted.vmId);
		if (mine.length >= maxConsolesPerUser || mineOfVm.length >= maxConsolesPerUserAndVm)
			throw new AppError("too-many-requests", "You have too many consoles open.", { retryAfterMs: 10_000 });
		const full = ofVm.length >= maxConsolesPerVm ? ofVm : all.length + opening >= maxConsoles ? all : null;
		if (!full) return;
		const watcher = wanted.viewOnly ? undefined : full.find(({ grant }) => grant.viewOnly);
		if (!watcher) throw new AppError("too-many-requests", "Too many consoles are open.", { retryAfterMs: 10_000 });
		watcher.bridge?.close(closeCode.goingAway, "Somebody who works with the VM needed the place.");
		open.delete(watcher);
	};

	const redeem = async (request: Request, remoteAddress: string | null): Promise<TicketGrant> => {
		const asked = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((text) => text.trim());
		const ticket = asked.map((text) => ticketProtocol.exec(text)?.[1]).find((text) => text !== undefined);
		// The ticket is used up even when the rest of the request is refused.
		const grant = ticket === undefined ? null : tickets.redeem(ticket);
		if (!grant) throw new AppError("unauthenticated", "The console ticket is missing, used or too old.");
		if (!asked.includes("binary")) throw new AppError("malformed", "The WebSocket must offer the subprotocol binary.");
		// Browsers always send an Origin: a native ticket that fell into a page's hands opens nothing there.
		const mayOpen = grant.kind === "browser" ? deps.isOwnOrigin(request) : !request.headers.has("origin");
		if (mayOpen) return grant;
		await deps.recordDenial(grant.identity, grant.vmId, remoteAddress);
		throw new AppError(
			"forbidden",
			grant.kind === "browser"
				? "A browser console can only be opened by a page of this server."
				: "A native console cannot be opened by a browser.",
		);
	};

	return {
		async createTicket(request) {
			// What the guest says on its serial line is as private as its log.
			if (request.type === "serial" && !roleAtLeast(request.identity.role, "operator"))
				throw new AppError("forbidden", "The serial console needs the role operator.");
			makeRoom(request);
			const identity = request.identity;
			const issued = tickets.issue({
				vmId: request.vmId,
				type: request.type,
				kind: request.kind,
				viewOnly: request.viewOnly,
				identity,
			});
			const unwatch = deps.watchCredential(identity, () => tickets.revoke(identity));
			deps.clock.schedule(ticketLifetimeMs, unwatch);
			return {
				ticket: issued.ticket,
				expiresAt: toRfc3339(issued.expiresAtMs),
				path: "/v1/console",
				protocols: ["binary", `lqx.ticket.${issued.ticket}`],
				viewOnly: request.viewOnly,
			};
		},

		async handleUpgrade(request, server) {
			if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
				throw new AppError("malformed", "This address speaks WebSocket only.");
			const grant = await redeem(request, server.requestIP(request)?.address ?? null);
			makeRoom(grant);
			opening += 1;
			try {
				const openStream: OpenGuestStream =
					grant.type === "vnc" ? openUnixSocket(await deps.node.vncSocket(grant.vmId)) : serial.watch(grant.vmId);
				const data: ConsoleData = {
					grant,
					open: openStream,
					bridge: null,
					unwatch: () => {},
					openedAtMs: deps.clock.monotonicMs(),
				};
				if (!server.upgrade(request, { data, headers: { "Sec-WebSocket-Protocol": "binary" } }))
					throw new AppError("malformed", "The WebSocket handshake failed.");
				return undefined;
			} finally {
				opening -= 1;
			}
		},

		websocket: {
			perMessageDeflate: false,
			maxPayloadLength: maxMessageBytes,
			backpressureLimit: browserBufferBytes,
			idleTimeout: 120,
			sendPings: true,
			open(socket) {
				const data = socket.data;
				const filter: ClientFilter =
					data.grant.type === "vnc" ? new RfbClientFilter(data.grant.viewOnly) : serialFilter(data.grant.viewOnly);
				const bridge = new ConsoleBridge(socket, filter);
				data.bridge = bridge;
				open.add(data);
				data.unwatch = deps.watchCredential(data.grant.identity, () =>
					bridge.close(closeCode.policy, "The session has ended."),
				);
				bridge.open(data.open);
				deps.logger.info("console opened", {
					requester: data.grant.identity.requester.name,
					vmId: data.grant.vmId,
					type: data.grant.type,
					viewOnly: data.grant.viewOnly,
				});
			},
			message(socket, message) {
				const bridge = socket.data.bridge;
				if (typeof message === "string") bridge?.close(closeCode.policy, "Only binary messages are understood.");
				else bridge?.fromClient(message);
			},
			drain(socket) {
				socket.data.bridge?.drained();
			},
			close(socket) {
				const data = socket.data;
				open.delete(data);
				data.unwatch();
				data.bridge?.close(closeCode.normal, "");
				const durationMs = Math.round(deps.clock.monotonicMs() - data.openedAtMs);
				deps.logger.info("console closed", {
					requester: data.grant.identity.requester.name,
					vmId: data.grant.vmId,
					durationMs,
					...data.bridge?.transferred,
				});
			},
		},

		openCount: () => open.size,

		closeVm(vmId, reason) {
			for (const data of open) if (data.grant.vmId === vmId) data.bridge?.close(closeCode.goingAway, reason);
		},

		stop() {
			for (const data of open) data.bridge?.close(closeCode.goingAway, "The node is restarting.");
		},
	};
}

/** Sessions and tokens of one user count together. */
const personOf = ({ identity }: Pick<TicketGrant, "identity">): string => identity.user?.id ?? identity.requester.kind;

const serialFilter = (viewOnly: boolean): ClientFilter => ({
	feed: (chunk) => ({ forward: viewOnly ? new Uint8Array(0) : chunk, error: null }),
});
