/**
 * Consoles on this node (architecture decision 6): a ticket is asked for over the API, redeemed once as a WebSocket
 * subprotocol, and the socket then carries RFB or the serial console until the guest, the client or the session ends.
 *
 * A console belongs to one run of one VM: it is opened on the socket that the VM has at that moment and closed with
 * it, so that another VM can never appear in it.
 *
 * Where the VM is on another node, that node has the guest's end (remote.ts); the ticket is of the node that was asked.
 */
import type { Identity } from "../auth/identity.ts";
import type { ByteStream } from "../lib/byte-stream.ts";
import type { Clock } from "../lib/clock.ts";
import { toRfc3339 } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { roleAtLeast } from "../model/permissions.ts";
import type { NodeService } from "../node/service.ts";
import { type ClientFilter, ConsoleBridge, type ConsoleClient, closeCode, type OpenGuestStream } from "./bridge.ts";
import { clientOver, type RemoteConsoleRequest, type RemoteConsoles } from "./remote.ts";
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
	/** Without it all VMs are on this node. */
	remote?: RemoteConsoles;
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
	/** The other node that has the VM; null for this one. */
	nodeId: string | null;
	open: OpenGuestStream;
	bridge: ConsoleBridge | null;
	unwatch: () => void;
	openedAtMs: number;
};

export type Consoles = ConsoleService<ConsoleData> & {
	/** Ends all consoles of a VM, because it leaves this node or is deleted. */
	closeVm(vmId: string, reason: string): void;
	/** Ends those that were opened while the VM was elsewhere. To be called when a VM changes. */
	checkVm(vmId: string): void;
	/**
	 * The guest's end of a console that another node has the client of. Whether that person may is the caller's question.
	 * Rejects before `accept` as opening a console does; resolves when the console has ended.
	 */
	serve(request: RemoteConsoleRequest, accept: () => ByteStream): Promise<void>;
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

	/** At the guest on this node. */
	const guestOf = async ({ type, vmId }: Pick<TicketGrant, "type" | "vmId">): Promise<OpenGuestStream> =>
		type === "vnc" ? openUnixSocket(await deps.node.vncSocket(vmId)) : serial.watch(vmId);

	/** Makes room, finds the guest's end, and counts the console until it is begun. */
	const prepare = async (grant: TicketGrant, nodeId: string | null): Promise<ConsoleData> => {
		makeRoom(grant);
		const remote = nodeId === null ? undefined : deps.remote;
		const openStream = remote && nodeId !== null ? remote.open(nodeId, grant) : await guestOf(grant);
		const openedAtMs = deps.clock.monotonicMs();
		return { grant, nodeId, open: openStream, bridge: null, unwatch: () => {}, openedAtMs };
	};

	const begin = (data: ConsoleData, client: ConsoleClient): ConsoleBridge => {
		const { identity, vmId, type, viewOnly } = data.grant;
		const filter: ClientFilter = type === "vnc" ? new RfbClientFilter(viewOnly) : serialFilter(viewOnly);
		const bridge = new ConsoleBridge(client, filter);
		data.bridge = bridge;
		open.add(data);
		data.unwatch = deps.watchCredential(identity, () => bridge.close(closeCode.policy, "The session has ended."));
		bridge.open(data.open);
		deps.logger.info("console opened", { requester: identity.requester.name, vmId, type, viewOnly });
		return bridge;
	};

	const finish = (data: ConsoleData): void => {
		const { identity, vmId } = data.grant;
		open.delete(data);
		data.unwatch();
		data.bridge?.close(closeCode.normal, "");
		const durationMs = Math.round(deps.clock.monotonicMs() - data.openedAtMs);
		const { transferred } = data.bridge ?? {};
		deps.logger.info("console closed", { requester: identity.requester.name, vmId, durationMs, ...transferred });
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
			opening += 1;
			try {
				const data = await prepare(grant, deps.remote?.nodeOf(grant.vmId) ?? null);
				if (!server.upgrade(request, { data, headers: { "Sec-WebSocket-Protocol": "binary" } }))
					throw new AppError("malformed", "The WebSocket handshake failed.");
				return undefined;
			} finally {
				opening -= 1;
			}
		},

		async serve(request, accept) {
			opening += 1;
			let data: ConsoleData;
			try {
				data = await prepare({ ...request, kind: "native" }, null);
			} finally {
				opening -= 1;
			}
			const stream = accept();
			const client = clientOver(
				stream,
				{
					drained: () => data.bridge?.drained(),
					gone: () => data.bridge?.close(closeCode.goingAway, ""),
				},
				deps.clock,
			);
			const bridge = begin(data, client);
			try {
				for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) {
					bridge.fromClient(chunk);
					await bridge.room();
				}
			} catch {
				// The other node is gone, or has closed it.
			} finally {
				finish(data);
			}
		},

		websocket: {
			perMessageDeflate: false,
			maxPayloadLength: maxMessageBytes,
			backpressureLimit: browserBufferBytes,
			idleTimeout: 120,
			sendPings: true,
			open(socket) {
				begin(socket.data, socket);
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
				finish(socket.data);
			},
		},

		openCount: () => open.size,

		closeVm(vmId, reason) {
			for (const data of open) if (data.grant.vmId === vmId) data.bridge?.close(closeCode.goingAway, reason);
		},

		checkVm(vmId) {
			for (const data of open)
				if (data.grant.vmId === vmId && (deps.remote?.nodeOf(vmId) ?? null) !== data.nodeId)
					data.bridge?.close(closeCode.goingAway, "The VM is on another node now.");
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
