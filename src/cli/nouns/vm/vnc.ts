/**
 * `limiquantix vm vnc`: a VM's screen for any VNC viewer. A port on 127.0.0.1 takes the viewer's connections; each gets
 * a ticket and a WebSocket of its own. The port is open to all users of this machine while the command runs: VNC has
 * no password here.
 */
import { createServer, type Server, type Socket } from "node:net";
import { AppError } from "../../../lib/errors.ts";
import { MiB } from "../../../lib/units.ts";
import type { Cli } from "../../cli.ts";
import { type ConsoleSocket, openConsoleSocket } from "../../connection/web-socket.ts";
import { resolveId } from "../../names.ts";
import { flag, integer } from "../../options.ts";
import { type Verb, verb } from "../../verb.ts";
import { vmArgument } from "./show.ts";

const host = "127.0.0.1";
const maxViewers = 8;
/** VNC asks for each picture, so more than this waits only behind a viewer that has stopped. */
const maxWaitingBytes = 32 * MiB;

export const vncVerb: Verb = verb({
	name: "vnc",
	summary: "Show a VM's screen in a VNC viewer on this machine",
	description:
		"Opens a port on 127.0.0.1 until Ctrl-C, and carries what connects to it. Every user of this machine can connect to it meanwhile. With --ticket it prints a ticket for another program instead.",
	examples: [
		"limiquantix vm vnc web",
		"limiquantix vm vnc web --port 5901 --once",
		"limiquantix vm vnc web --ticket --output json",
	],
	arguments: vmArgument,
	options: {
		port: integer("--port <port>", "port on 127.0.0.1 (default: a free one)", { min: 0, max: 65_535 }),
		once: flag("--once", "end when the first viewer has gone"),
		viewOnly: flag("--view-only", "show only; no keyboard, no mouse"),
		ticket: flag("--ticket", "print a console ticket; open no port"),
	},
	async run(cli, { vm }, { port = 0, once, viewOnly, ticket }) {
		const id = await resolveId(cli, "vm", vm);
		// The first ticket is asked for at once: a VM that is off is an error now, not when a viewer comes.
		const first = await newTicket(cli, id, viewOnly);
		if (ticket) {
			return cli.output.object(
				first,
				[
					["ticket", first.ticket],
					["path", first.path],
					["subprotocols", first.protocols.join(", ")],
					["view only", first.viewOnly],
					["expires", first.expiresAt],
				],
				first.ticket,
			);
		}
		const server = createServer({ pauseOnConnect: true });
		await serve(cli, server, { port, once }, () => newTicket(cli, id, viewOnly), vm);
	},
});

type Ticket = Awaited<ReturnType<typeof newTicket>>;

async function newTicket(cli: Cli, id: string, viewOnly: boolean) {
	const body = { kind: "native", type: "vnc", ...(viewOnly ? { viewOnly } : {}) } as const;
	return (await cli.call("vmConsoleTicketCreate", { path: { id }, body })).body;
}

async function serve(
	cli: Cli,
	server: Server,
	{ port, once }: { port: number; once: boolean },
	ticketFor: () => Promise<Ticket>,
	vm: string,
): Promise<void> {
	const viewers = new Set<Promise<void>>();
	const ended = new Promise<void>((resolve, reject) => {
		server.on("error", (error) =>
			reject(new AppError("unavailable", `The port ${port} cannot be opened: ${error.message}`, { cause: error })),
		);
		server.on("connection", (viewer) => {
			if (viewers.size >= maxViewers) return viewer.destroy();
			const carried = carry(cli, viewer, ticketFor)
				.catch((error: unknown) =>
					cli.note(`A viewer was turned away: ${error instanceof Error ? error.message : error}`),
				)
				.finally(() => {
					viewers.delete(carried);
					if (once) resolve();
				});
			viewers.add(carried);
			if (once) server.close();
		});
		cli.interrupt.addEventListener("abort", () => resolve(), { once: true });
	});
	server.listen(port, host, () => {
		const address = server.address();
		const listening = typeof address === "object" && address !== null ? address.port : port;
		void announce(cli, listening, vm);
	});
	try {
		await ended;
	} finally {
		server.close();
		await Promise.all(viewers);
	}
}

async function announce(cli: Cli, port: number, vm: string): Promise<void> {
	await cli.output.streamed({ host, port }, () => `${host}:${port}`, `${host}:${port}`);
	await cli.note(`Connect a VNC viewer to it, for example: vncviewer ${host}::${port}. Ctrl-C closes ${vm}'s screen.`);
}

/** One viewer, until either side closes. Fails when the console cannot be opened. */
async function carry(cli: Cli, viewer: Socket, ticketFor: () => Promise<Ticket>): Promise<void> {
	let socket: ConsoleSocket | undefined;
	const stop = () => {
		viewer.destroy();
		socket?.close();
	};
	viewer.on("error", stop);
	cli.interrupt.addEventListener("abort", stop, { once: true });
	try {
		const ticket = await ticketFor();
		const opened = await openConsoleSocket(cli.connection(), ticket.path, ticket.protocols, (data) => {
			viewer.write(data);
			if (viewer.writableLength > maxWaitingBytes) stop();
		});
		socket = opened;
		viewer.on("close", () => opened.close());
		viewer.on("data", (data: Buffer) => {
			opened.send(data);
			if (opened.bufferedBytes > maxWaitingBytes) stop();
		});
		if (viewer.destroyed) opened.close();
		viewer.resume();
		await opened.closed;
	} finally {
		cli.interrupt.removeEventListener("abort", stop);
		viewer.end();
		viewer.destroySoon();
	}
}
