/**
 * An API for tests of the command line: on a unix socket or on TCP, with or without TLS. It knows the operations by the
 * generated table, remembers every request, and answers what the test says.
 */
import { type OperationTypes, operations } from "../../gen/api.ts";

export type Operation = keyof OperationTypes & string;
export type SeenRequest = {
	/** Null for a request that is no operation (WebSocket). */
	operation: Operation | null;
	method: string;
	path: string;
	id: string | undefined;
	query: URLSearchParams;
	headers: Headers;
	body: Uint8Array;
	json: unknown;
};
export type Answer = Response | object | null;
export type Handlers = { [K in Operation]?: (request: SeenRequest) => Answer | Promise<Answer> };
export type FakeApi = {
	url: string;
	/** For --run-dir. */
	runDir: string | null;
	requests: SeenRequest[];
	/** The operations that were called, in their order. */
	readonly called: Operation[];
	handlers: Handlers;
	/** What WebSockets get; set by the test. */
	onSocket: (socket: Bun.ServerWebSocket<unknown>, message: Uint8Array | null) => void;
	stop(): Promise<void>;
};

export const page = <T>(...items: T[]) => ({ items, nextPageToken: null });

export function problem(status: number, code: string, detail: string, more: object = {}): Response {
	const body = { type: "about:blank", title: code, status, detail, code, errors: [], ...more };
	return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/problem+json" } });
}

/** A JSON answer with the headers that announce a task. */
export const withTask = (status: number, body: object, taskId: string): Response =>
	Response.json(body, { status, headers: { "task-location": `/v1/tasks/${taskId}`, location: `/v1/tasks/${taskId}` } });

type Where = { runDir: string } | { tls: { cert: string; key: string } } | "http";

export function fakeApi(where: Where, handlers: Handlers): FakeApi {
	const requests: SeenRequest[] = [];
	const api: FakeApi = {
		url: "",
		runDir: null,
		requests,
		get called() {
			return requests.flatMap((request) => request.operation ?? []);
		},
		handlers,
		onSocket: () => {},
		stop: async () => {
			await server.stop(true);
		},
	};
	const common = {
		async fetch(request: Request, bunServer: Bun.Server<unknown>): Promise<Response | undefined> {
			const seen = await look(request);
			requests.push(seen);
			if (seen.path === "/v1/console") {
				const headers = { "Sec-WebSocket-Protocol": "binary" };
				return bunServer.upgrade(request, { data: null, headers }) ? undefined : new Response(null, { status: 400 });
			}
			const handler = seen.operation === null ? undefined : api.handlers[seen.operation];
			if (!handler) return problem(404, "not-found", `nothing answers ${seen.method} ${seen.path}`);
			const answer = await handler(seen);
			if (answer instanceof Response) return answer;
			return answer === null ? new Response(null, { status: 204 }) : Response.json(answer);
		},
		websocket: {
			open: (socket: Bun.ServerWebSocket<unknown>) => api.onSocket(socket, null),
			message: (socket: Bun.ServerWebSocket<unknown>, message: string | Buffer) =>
				api.onSocket(socket, typeof message === "string" ? Buffer.from(message) : message),
		},
	};
	const server =
		where !== "http" && "runDir" in where
			? Bun.serve({ unix: `${where.runDir}/limiquantix.sock`, ...common })
			: Bun.serve({ hostname: "127.0.0.1", port: 0, ...(where === "http" ? {} : { tls: where.tls }), ...common });
	if (where !== "http" && "runDir" in where) api.runDir = where.runDir;
	else api.url = `${where === "http" ? "http" : "https"}://127.0.0.1:${server.port}`;
	return api;
}

async function look(request: Request): Promise<SeenRequest> {
	const url = new URL(request.url);
	const { operation, id } = operationOf(request.method, url.pathname);
	const body = new Uint8Array(await request.arrayBuffer());
	const isJson = request.headers.get("content-type") === "application/json";
	return {
		operation,
		method: request.method,
		path: url.pathname,
		id,
		query: url.searchParams,
		headers: request.headers,
		body,
		json: isJson && body.length > 0 ? JSON.parse(new TextDecoder().decode(body)) : undefined,
	};
}

function operationOf(method: string, path: string): { operation: Operation | null; id: string | undefined } {
	// Paths without parameters first: "current" and "actions" are no ids.
	const entries = Object.entries(operations).sort(
		([, a], [, b]) => Number(a.path.includes("{")) - Number(b.path.includes("{")),
	);
	for (const [name, entry] of entries) {
		if (entry.method !== method) continue;
		const pattern = entry.path.replaceAll(".", "\\.").replace(/\{\w+\}/g, "([^/]+)");
		const match = new RegExp(`^${pattern}$`).exec(path);
		if (match)
			return { operation: name as Operation, id: match[1] === undefined ? undefined : decodeURIComponent(match[1]) };
	}
	return { operation: null, id: undefined };
}
