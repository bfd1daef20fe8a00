/** A console service for tests of the API: remembers what tickets were asked for, and echoes on its WebSocket. */
import type { ConsoleService, ConsoleTicketRequest } from "../../console/service.ts";
import { AppError } from "../../lib/errors.ts";

export type FakeConsole = ConsoleService & { requests: ConsoleTicketRequest[] };

export function fakeConsole(): FakeConsole {
	const requests: ConsoleTicketRequest[] = [];
	return {
		requests,
		async createTicket(request) {
			requests.push(request);
			const ticket = "t".repeat(43);
			return {
				ticket,
				expiresAt: "2030-01-01T00:00:30.000Z",
				path: "/v1/console",
				protocols: ["binary", `lqx.ticket.${ticket}`],
				viewOnly: request.viewOnly,
			};
		},
		handleUpgrade(request, server) {
			if (!request.headers.get("sec-websocket-protocol")?.includes("lqx.ticket."))
				throw new AppError("unauthenticated", "The ticket is missing.");
			if (server.upgrade(request, { data: null, headers: { "Sec-WebSocket-Protocol": "binary" } })) return undefined;
			throw new AppError("malformed", "The handshake failed.");
		},
		websocket: {
			message(socket, message) {
				socket.send(message);
			},
		},
		openCount: () => 0,
	};
}
