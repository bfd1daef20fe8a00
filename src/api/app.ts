/**
 * The API as one function from Request to Response: all routes on Elysia's router, everything else as problem
 * details. Elysia finds the route; reading, checking and answering is the pipeline's, by the same definitions that
 * make the OpenAPI document.
 *
 * Whoever builds it calls `close` at the end: event streams and watches end with it.
 */
import { Elysia } from "elysia";
import { AppError } from "../lib/errors.ts";
import type { Connection } from "./connection.ts";
import type { ApiDeps, ApiServices } from "./context.ts";
import { EventHub } from "./events/hub.ts";
import { ApiMetrics } from "./metrics/api-metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { answer, failed, type PathParams } from "./pipeline.ts";
import { problemResponse } from "./problem.ts";
import { noOtherNodes } from "./relay.ts";
import { type IncomingRequest, serveRelayed } from "./relay-serve.ts";
import type { Route } from "./route.ts";
import { routes } from "./routes.ts";
import { TaskWaits } from "./tasks/task-waits.ts";

export type Api = {
	/** Never rejects. Unknown paths and methods are answered too. */
	handle(request: Request, connection: Connection): Promise<Response>;
	/** Is there a route at this path, with whatever method? */
	knows(pathname: string): boolean;
	/** Answers what another node passes on. Rejects before `accept` when it is not for this node to answer. */
	handleRelayed(incoming: IncomingRequest): Promise<void>;
	services: ApiServices;
	close(): void;
};

type ElysiaContext = { request: Request; params?: PathParams };

export function createApi(deps: ApiDeps): Api {
	const events = new EventHub(deps);
	const metrics = new ApiMetrics({ ...deps, eventStreams: () => events.size });
	const taskWaits = new TaskWaits(deps.store, deps.clock);
	let document: ApiServices["openApi"] | null = null;
	const services: ApiServices = {
		...{ relay: noOtherNodes, ...deps, events, metrics, taskWaits },
		// Made when somebody asks for it, as validators are compiled when they are first used (validation.ts): the start
		// of the node would wait for all of it, and most of it is not used in a day.
		get openApi() {
			document ??= openApiDocument(routes, deps.version);
			return document;
		},
	};
	const connections = new WeakMap<Request, Connection>();
	const paths = new PathTable(routes);
	const app = new Elysia({ strictPath: true });
	for (const route of routes) {
		const handler = ({ request, params }: ElysiaContext) => {
			const connection = connections.get(request);
			if (!connection) throw new AppError("internal", "The request came without its connection.");
			return answer(services, route, request, params ?? {}, connection);
		};
		// "none": the body is read by the pipeline, within its limits.
		app.route(route.method, route.path.replace(/\{(\w+)\}/g, ":$1"), handler, { parse: "none" });
	}
	app.onError(({ request, error, code }) => {
		if (code !== "NOT_FOUND") return failed(services, "none", error);
		const response = unknownRoute(paths, request);
		metrics.observe("none", response.status, 0);
		return response;
	});
	async function handle(request: Request, connection: Connection): Promise<Response> {
		// HEAD is GET without the body (RFC 9110, 9.3.2); Elysia does not know that of our routes.
		const head = request.method === "HEAD";
		const asked = head
			? new Request(request.url, { headers: request.headers, signal: request.signal })
			: routable(request);
		connections.set(asked, connection);
		const response = await app.handle(asked);
		if (!head) return response;
		response.body?.cancel().catch(() => {});
		return new Response(null, { status: response.status, headers: response.headers });
	}
	return {
		handle,
		handleRelayed: (incoming) => serveRelayed(services, routes, incoming),
		knows: (pathname) => paths.has(pathname),
		services,
		close() {
			events.close();
			taskWaits.close();
			metrics.close();
		},
	};
}

/** Elysia looks for the path from the eleventh character on; a URL with a shorter host gets a longer one for it. */
function routable(request: Request): Request {
	const { url } = request;
	const start = url.indexOf("/", url.indexOf("//") + 2);
	return start >= 11 ? request : new Request(`http://localhost${url.slice(start)}`, request);
}

function unknownRoute(paths: PathTable, request: Request): Response {
	const methods = paths.methodsOf(new URL(request.url).pathname);
	if (methods.length === 0) return problemResponse(new AppError("not-found", "There is nothing at this path."));
	const allow = methods.includes("GET") ? [...methods, "HEAD"].join(", ") : methods.join(", ");
	return problemResponse(new AppError("method-not-allowed", `This path takes ${allow}.`), { allow });
}

type PathEntry = { pattern: RegExp; method: string };

/** Which paths there are, asked for each request, and which methods one takes, for 405. */
class PathTable {
	/** By the number of slashes: a parameter has none. */
	readonly #entries = new Map<number, PathEntry[]>();

	constructor(all: readonly Route[]) {
		for (const { path, method } of all) {
			const pattern = new RegExp(`^${path.replace(/[.]/g, "\\.").replace(/\{\w+\}/g, "[^/]+")}$`);
			this.#entries.set(slashes(path), [...this.#near(path), { pattern, method }]);
		}
	}

	#near(pathname: string): readonly PathEntry[] {
		return this.#entries.get(slashes(pathname)) ?? [];
	}

	has(pathname: string): boolean {
		return this.#near(pathname).some(({ pattern }) => pattern.test(pathname));
	}

	methodsOf(pathname: string): string[] {
		const methods = this.#near(pathname).filter(({ pattern }) => pattern.test(pathname));
		return [...new Set(methods.map(({ method }) => method))].sort();
	}
}

const slashes = (pathname: string): number => pathname.split("/").length;
