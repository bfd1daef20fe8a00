/**
 * The listeners: HTTPS (or plain HTTP, on loopback alone and only when asked for) for everybody, and the unix socket
 * for root on this node, which needs no password. Both serve the same API, UI and console.
 *
 * `R/limiquantix.sock` has mode 0600: the right to open it is the credential.
 */
import { chmodSync, mkdirSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import type { ConsoleService } from "../console/service.ts";
import { AppError } from "../lib/errors.ts";
import { consolePath } from "../model/permissions.ts";
import type { Api } from "./app.ts";
import type { Connection } from "./connection.ts";
import { makeRoomForSocket, removeOwnSocket, socketFile } from "./local-socket.ts";
import { failed } from "./pipeline.ts";
import { problemResponse } from "./problem.ts";
import { addSecurityHeaders } from "./security-headers.ts";
import { type UiAssets, uiResponse } from "./ui-assets.ts";

/** From the request to the end of its answer; longer ones take themselves off (stall.ts). */
const defaultIdleTimeoutSeconds = 60;
/** The API has limits of its own, which answer with problem details; Bun's would not. */
const noBodyLimit = Number.MAX_SAFE_INTEGER;
const maxSocketPathBytes = 107 - ".new".length;

export type ListenOptions = {
	host: string;
	/** 0 takes any free one. */
	port: number;
	/** Null: plain HTTP, only on loopback. */
	tls: { cert: string; key: string } | null;
	/** Another listener may be on the same port: how a new certificate takes over. */
	reusePort?: boolean;
	/** Seconds for a request and its answer (default 60); tests want fewer. */
	idleTimeoutSeconds?: number;
};
export type ServerDeps = { api: Api; console: ConsoleService; ui: UiAssets };

export type Listener = {
	/** "https://127.0.0.1:8443"; for the socket "unix:PATH". */
	url: string;
	port: number | null;
	/** Stops taking requests; with `closeNow` open connections are cut, else they may finish. */
	stop(closeNow: boolean): Promise<void>;
};

type BunServer = Bun.Server<unknown>;

/** Opens the listener for everybody. `invalid` for plain HTTP elsewhere than on loopback; `unavailable` when the port is taken. */
export function listen(deps: ServerDeps, { host, port, tls, reusePort, idleTimeoutSeconds }: ListenOptions): Listener {
	if (!tls && !isLoopbackHost(host))
		throw new AppError("invalid", `Plain HTTP is only served on loopback, not on ${host}.`);
	const secure = tls !== null;
	const server = start(`${host}:${port}`, () =>
		Bun.serve<unknown>({
			hostname: host,
			port,
			...(tls ? { tls } : {}),
			reusePort: reusePort ?? false,
			idleTimeout: idleTimeoutSeconds ?? defaultIdleTimeoutSeconds,
			...common(deps, (request, bunServer) => ({
				remoteAddress: bunServer.requestIP(request)?.address ?? null,
				secure,
				local: false,
				keepOpen: () => bunServer.timeout(request, 0),
			})),
		}),
	);
	const name = host.includes(":") ? `[${host}]` : host;
	const url = `${secure ? "https" : "http"}://${name}:${server.port}`;
	return { url, port: server.port ?? null, stop: (closeNow) => server.stop(closeNow) };
}

/**
 * Opens the unix socket; a socket file left over there is replaced. `in-use` when somebody listens on it: two nodes
 * with data folders of their own may have been given the same run folder.
 */
export async function listenLocally(deps: ServerDeps, path: string): Promise<Listener> {
	if (Buffer.byteLength(path) > maxSocketPathBytes)
		throw new AppError("invalid", `The socket path ${path} is longer than ${maxSocketPathBytes} bytes.`);
	mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
	// Bun takes a socket's file away by its name when it stops, whoever's it is by then: it gets a name of its own.
	const born = `${path}.new`;
	await makeRoomForSocket(born);
	await makeRoomForSocket(path);
	// The file must not be open to others even for a moment.
	const before = process.umask(0o177);
	try {
		const server = start(path, () =>
			Bun.serve<unknown>({
				unix: born,
				// No limit by default for who is root anyway: in Bun 1.4 it could not be taken off again here, and a
				// console or an upload would end with it. (It works; the types do not know it.)
				...({ idleTimeout: 0 } as object),
				...common(deps, (request, bunServer) => ({
					remoteAddress: null,
					secure: false,
					local: true,
					keepOpen: () => bunServer.timeout(request, 0),
				})),
			}),
		);
		chmodSync(born, 0o600);
		renameSync(born, path);
		const own = socketFile(path);
		const stop = async (closeNow: boolean) => {
			await server.stop(closeNow);
			removeOwnSocket(own);
		};
		return { url: `unix:${path}`, port: null, stop };
	} finally {
		process.umask(before);
	}
}

function start(where: string, open: () => BunServer): BunServer {
	try {
		return open();
	} catch (cause) {
		throw new AppError("unavailable", `Cannot listen on ${where}: it is in use, or not ours.`, { cause });
	}
}

export const isLoopbackHost = (host: string): boolean =>
	host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);

function common(deps: ServerDeps, describe: (request: Request, server: BunServer) => Connection) {
	const { services } = deps.api;
	return {
		maxRequestBodySize: noBodyLimit,
		development: false as const,
		websocket: deps.console.websocket,
		async fetch(request: Request, server: BunServer): Promise<Response | undefined> {
			const connection = describe(request, server);
			const response = await dispatch(deps, request, server, connection).catch((error: unknown) =>
				failed(services, "none", error),
			);
			if (!response) return undefined;
			// A body that nobody read is not waited for, whatever its length.
			if (response.status >= 400 && request.body !== null) response.headers.set("connection", "close");
			return addSecurityHeaders(response, connection.secure);
		},
		error: (error: Error) => addSecurityHeaders(failed(services, "none", error), false),
	};
}

async function dispatch(
	{ api, console, ui }: ServerDeps,
	request: Request,
	server: BunServer,
	connection: Connection,
): Promise<Response | undefined> {
	checkHost(request, connection);
	const { pathname } = new URL(request.url);
	if (pathname === consolePath) {
		if (request.method !== "GET" || request.headers.get("upgrade")?.toLowerCase() !== "websocket")
			return problemResponse(new AppError("malformed", "The console is a WebSocket."));
		return console.handleUpgrade(request, server);
	}
	if (!api.knows(pathname)) {
		const response = uiResponse(ui, request, pathname);
		if (response) return response;
	}
	return api.handle(request, connection);
}

/** One Host header that looks like a host (RFC 9110, 7.2): what Origin is compared with. */
function checkHost(request: Request, { local }: Connection): void {
	const host = request.headers.get("host");
	if (local) return;
	if (host === null || !/^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:\d{1,5})?$/.test(host))
		throw new AppError("malformed", "The header Host is missing or no host name.");
}
