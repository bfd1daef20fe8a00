/**
 * A server that answers as the API does, from memory: for developing the UI and for its component-level browser
 * tests. It serves dist/ui (or the folder given) with the same policy headers as the daemon.
 */
import { join, resolve } from "node:path";
import type { Server, ServerWebSocket } from "bun";
import { type OperationName, operations } from "../../../src/gen/api.ts";
import { isAllowed } from "../../../src/model/permissions.ts";
import type { UiManifest } from "../../../src/scripts/build-ui.ts";
import type { Volume } from "../../api/types.ts";
import { refuseRunning } from "./around-volume.ts";
import { handlers } from "./handlers.ts";
import { screenPicture } from "./picture.ts";
import { find, MockProblem, type MockRequest, type MockSettings } from "./request.ts";
import { type SeedOptions, seed } from "./seed.ts";
import { MockVnc } from "./vnc.ts";

export type MockOptions = SeedOptions & { port?: number; uiFolder?: string };
type Socket = ServerWebSocket<{ vnc: MockVnc | null; name: string; viewOnly: boolean }>;

const policy =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const withoutQuorum = new Set<OperationName>(["vmConsoleTicketCreate", "sessionCreate", "sessionDeleteCurrent"]);

const patterns = (Object.keys(operations) as OperationName[])
	.map((operation) => {
		const { method, path } = operations[operation];
		return {
			operation,
			method,
			pattern: new RegExp(`^${path.replace("{id}", "([^/]+)")}$`),
			fixed: !path.includes("{"),
		};
	})
	.sort((a, b) => Number(b.fixed) - Number(a.fixed));

export class MockServer {
	readonly state;
	readonly settings: MockSettings;
	/** For tests: what is sent to whom. */
	readonly streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
	readonly sockets = new Set<Socket>();
	/** Every stream that was ever opened. */
	streamsOpened = 0;
	/** Answers 503 to everything while true, and ends the streams. */
	private down = false;
	private readonly tickets = new Map<string, { name: string; viewOnly: boolean }>();
	private readonly server: Server<Socket["data"]>;
	private readonly uiFolder: string;
	private manifest: UiManifest | null = null;
	private readonly table;
	private heartbeat: ReturnType<typeof setInterval>;

	constructor(options: MockOptions = {}) {
		this.state = seed(options);
		this.settings = {
			clusterName: "homelab",
			quorum: true,
			demoAvailable: true,
			passwords: new Map([
				["admin", "correct horse battery"],
				["operator", "correct horse battery"],
				["viewer", "correct horse battery"],
			]),
		};
		this.table = handlers(this.state, this.settings);
		this.uiFolder = options.uiFolder ?? resolve(import.meta.dir, "../../../dist/ui");
		this.server = Bun.serve<Socket["data"]>({
			port: options.port ?? 0,
			hostname: "127.0.0.1",
			idleTimeout: 0,
			maxRequestBodySize: 64 * 1024 * 1024,
			fetch: (request, server) => this.answer(request, server),
			websocket: {
				open: (socket) => {
					this.sockets.add(socket);
					socket.data.vnc = new MockVnc((bytes) => void socket.sendBinary(bytes), socket.data.name);
				},
				message: (socket, message) => {
					if (typeof message !== "string") socket.data.vnc?.receive(new Uint8Array(message));
				},
				close: (socket) => void this.sockets.delete(socket),
			},
		});
		this.state.listeners.add((event) =>
			this.broadcast(`id: ${event.id}\nevent: change\ndata: ${JSON.stringify(event)}\n\n`),
		);
		this.heartbeat = setInterval(() => this.broadcast(": still here\n\n"), 15_000);
	}

	get url(): string {
		return `http://127.0.0.1:${this.server.port}`;
	}

	async stop(): Promise<void> {
		clearInterval(this.heartbeat);
		this.state.stop();
		await this.server.stop(true);
	}

	/** As if the daemon was away. */
	setDown(down: boolean): void {
		this.down = down;
		if (!down) return;
		for (const stream of this.streams) {
			try {
				stream.close();
			} catch {
				// Its client has gone already.
			}
		}
		this.streams.clear();
	}

	/** Ends all consoles, as when the daemon restarts. */
	dropConsoles(): void {
		for (const socket of this.sockets) socket.close(1001, "restart");
	}

	private broadcast(text: string): void {
		const bytes = new TextEncoder().encode(text);
		for (const stream of this.streams) {
			try {
				stream.enqueue(bytes);
			} catch {
				this.streams.delete(stream);
			}
		}
	}

	private async answer(request: Request, server: Server<Socket["data"]>): Promise<Response | undefined> {
		const url = new URL(request.url);
		if (this.down) return new Response(null, { status: 503, headers: { "retry-after": "1" } });
		if (url.pathname === "/v1/console") return this.openConsole(request, server);
		if (!url.pathname.startsWith("/v1/") && url.pathname !== "/healthz") return this.file(url.pathname);
		try {
			return await this.operation(request, url);
		} catch (error) {
			const problem = error instanceof MockProblem ? error : new MockProblem(500, "internal", String(error));
			return Response.json(
				{
					type: "about:blank",
					title: problem.code,
					status: problem.status,
					detail: problem.message,
					code: problem.code,
					errors: problem.fields,
				},
				{ status: problem.status, headers: { "content-type": "application/problem+json" } },
			);
		}
	}

	private async operation(request: Request, url: URL): Promise<Response> {
		const found = patterns.find(({ method, pattern }) => method === request.method && pattern.test(url.pathname));
		if (!found) throw new MockProblem(404, "not-found", "There is no such resource.");
		const { operation, pattern } = found;
		const id = decodeURIComponent(pattern.exec(url.pathname)?.[1] ?? "");
		const sessionId = /lqx_session=([^;]+)/.exec(request.headers.get("cookie") ?? "")?.[1] ?? null;
		const session = sessionId ? this.state.tables.session.get(sessionId) : undefined;
		const user = session ? (this.state.tables.user.get(session.userId) ?? null) : null;
		if (!user && !isAllowed(operation, null)) throw new MockProblem(401, "unauthenticated", "Sign in first.");
		if (user && !isAllowed(operation, user.role)) {
			throw new MockProblem(403, "forbidden", `The role ${user.role} does not allow this.`);
		}
		if (request.method !== "GET" && request.headers.get("x-lqx-csrf") !== "1") {
			throw new MockProblem(403, "forbidden", "The request does not come from our page.");
		}
		if (!this.settings.quorum && request.method !== "GET" && !withoutQuorum.has(operation)) {
			throw new MockProblem(503, "unavailable", "The cluster has no quorum: nothing can be changed now.");
		}
		this.state.requester.name = user?.name ?? "admin";
		this.state.requester.id = user?.id ?? null;
		const isJson = request.headers.get("content-type")?.includes("json") ?? false;
		const mockRequest: MockRequest = {
			id,
			query: url.searchParams,
			headers: request.headers,
			body: isJson ? ((await request.json()) as Record<string, unknown>) : {},
			bytes: () => request.bytes(),
			user,
			sessionId,
		};
		const special = this.special(operation, mockRequest);
		if (special) return special;
		const handler = this.table[operation];
		if (!handler) throw new MockProblem(501, "unsupported", `The mock has no ${operation}.`);
		const { status = 200, body, task, headers } = await handler(mockRequest);
		const response = body === undefined ? new Response(null, { status }) : Response.json(body, { status });
		for (const [name, value] of Object.entries(headers ?? {})) response.headers.set(name, value);
		if (!this.settings.quorum && request.method === "GET") response.headers.set("x-lqx-stale", "true");
		if (task) response.headers.set(status === 202 ? "location" : "task-location", `/v1/tasks/${task.id}`);
		return response;
	}

	/** What does not answer with JSON. */
	private special(operation: OperationName, { id, headers, body, user }: MockRequest): Response | null {
		const vm = () => {
			const found = this.state.tables.vm.get(id);
			if (!found) throw new MockProblem(404, "not-found", "There is no such VM.");
			return found;
		};
		switch (operation) {
			case "eventsStream":
				return this.openStream(headers.get("last-event-id"));
			case "vmScreenshotGet":
				if (vm().status.powerState !== "running") throw new MockProblem(409, "wrong-state", "The VM does not run.");
				return new Response(screenPicture(), { headers: { "content-type": "image/png" } });
			case "vmSerialLogGet":
				return new Response(serialLog(vm().name), { headers: { "content-type": "text/plain; charset=utf-8" } });
			case "vmDomainXmlGet":
				return new Response(
					`<domain type="qemu">\n  <name>${vm().name}</name>\n  <uuid>${id}</uuid>\n  <memory unit="b">${vm().spec.memory.sizeBytes}</memory>\n  <vcpu>${vm().spec.cpu.vcpus}</vcpu>\n</domain>\n`,
					{ headers: { "content-type": "application/xml" } },
				);
			case "vmConsoleTicketCreate": {
				const ticket = crypto.randomUUID();
				const viewOnly = user?.role === "viewer" || body.viewOnly === true;
				this.tickets.set(ticket, { name: vm().name, viewOnly });
				return Response.json(
					{
						ticket,
						expiresAt: new Date(Date.now() + 30_000).toISOString(),
						path: "/v1/console",
						protocols: ["binary", `lqx.ticket.${ticket}`],
						viewOnly,
					},
					{ status: 201 },
				);
			}
			case "volumeContentGet":
				refuseRunning(this.state, find(this.state, "volume", id) as Volume);
				return download();
			case "imageContentGet":
				return download();
			default:
				return null;
		}
	}

	private openStream(after: string | null): Response {
		let own: ReadableStreamDefaultController<Uint8Array> | null = null;
		const text = (value: string) => new TextEncoder().encode(value);
		this.streamsOpened += 1;
		return new Response(
			new ReadableStream<Uint8Array>({
				start: (controller) => {
					own = controller;
					const at = after === null ? -1 : this.state.events.findIndex(({ id }) => id === after);
					const last = this.state.lastEventId;
					if (after !== null && at < 0 && after !== last)
						controller.enqueue(text(`id: ${last}\nevent: reset\ndata: {}\n\n`));
					controller.enqueue(text(`id: ${at >= 0 && after ? after : last}\nevent: ready\ndata: {}\n\n`));
					if (at >= 0) {
						for (const event of this.state.events.slice(at + 1)) {
							controller.enqueue(text(`id: ${event.id}\nevent: change\ndata: ${JSON.stringify(event)}\n\n`));
						}
					}
					this.streams.add(controller);
				},
				cancel: () => {
					if (own) this.streams.delete(own);
				},
			}),
			{ headers: { "content-type": "text/event-stream", "cache-control": "no-store" } },
		);
	}

	private openConsole(request: Request, server: Server<Socket["data"]>): Response | undefined {
		const protocols = request.headers.get("sec-websocket-protocol") ?? "";
		const ticket = /lqx\.ticket\.([\w-]+)/.exec(protocols)?.[1] ?? "";
		const known = this.tickets.get(ticket);
		this.tickets.delete(ticket);
		if (!known) return new Response(null, { status: 401 });
		const upgraded = server.upgrade(request, {
			headers: { "sec-websocket-protocol": "binary" },
			data: { vnc: null, ...known },
		});
		return upgraded ? undefined : new Response(null, { status: 400 });
	}

	private async file(path: string): Promise<Response> {
		this.manifest ??= (await Bun.file(join(this.uiFolder, "manifest.json")).json()) as UiManifest;
		const entry = this.manifest[path] ?? (path.startsWith("/assets/") ? undefined : this.manifest["/index.html"]);
		if (!entry) return new Response(null, { status: 404 });
		const headers: Record<string, string> = {
			"content-type": entry.contentType,
			"content-security-policy": policy,
			"cache-control": entry.immutable ? "public, max-age=31536000, immutable" : "no-cache",
		};
		if (entry.gzip) headers["content-encoding"] = "gzip";
		return new Response(Bun.file(join(this.uiFolder, entry.gzip ?? entry.file)), { headers });
	}
}

const download = (): Response =>
	new Response("content", { headers: { "content-disposition": 'attachment; filename="content"' } });

function serialLog(name: string): string {
	const lines = Array.from(
		{ length: 80 },
		(_, i) => `[    ${(i * 0.137).toFixed(6)}] virtio_blk virtio${i}: probe\r\n`,
	);
	return `${lines.join("")}\r\n${name} login: `;
}
