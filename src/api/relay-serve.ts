/**
 * The other end of relay.ts: a request that a node of the cluster passes on is answered by the pipeline that answers everybody.
 * That a node asks does not mean that its user may: the credential is looked up in this copy of the state, role, parameters
 * and body are checked as ever. Only operations that name a node (`at`) are taken, never those of root, and none is passed
 * on again.
 */
import { operationPath } from "../lib/api-client.ts";
import type { ByteStream } from "../lib/byte-stream.ts";
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import { permissions } from "../model/permissions.ts";
import type { Connection, Relayed } from "./connection.ts";
import type { ApiServices } from "./context.ts";
import { answer } from "./pipeline.ts";
import { decodeRequestHead, encodeAnswerHead, passedRequestHeaders, type RequestHead } from "./relay-wire.ts";
import type { Route } from "./route.ts";

export type IncomingRequest = {
	/** Who passes it on, by its certificate. */
	from: string;
	head: Uint8Array;
	accept(): ByteStream;
};

export async function serveRelayed(
	services: ApiServices,
	routes: readonly Route[],
	{ from, head: bytes, accept }: IncomingRequest,
): Promise<void> {
	const head = decodeRequestHead(bytes);
	if (head === null) throw new AppError("malformed", "The request of the other node cannot be read.");
	const route = routeOf(routes, head);
	// A session may have been made on that node a moment ago.
	const stale = await services.store.readIndex().then(
		() => false,
		(error) => {
			if (isAppError(error, "unavailable")) return true;
			throw error;
		},
	);
	let exchange: Exchange | null = null;
	const refusal = new AppError("wrong-state", "Another node answers this.");
	let refused = false;
	const taken = () => {
		exchange ??= new Exchange(accept(), head.hasBody);
		return exchange;
	};
	const left = new AbortController();
	const relayed: Relayed = {
		credential: head.credential,
		stale,
		take: () => taken().watch(left),
		refuse() {
			refused = true;
			return refusal;
		},
	};
	const connection: Connection = {
		remoteAddress: `${head.remoteAddress ?? "local"} via ${services.store.get("node", from)?.name ?? from}`,
		secure: head.secure,
		local: head.local,
		keepOpen() {},
		relayed,
	};
	const response = await answer(services, route, requestOf(route, head, taken, left.signal), head.params, connection);
	if (refused) throw refusal;
	await taken().reply(response);
}

/** The pipeline's question to a request that was passed on: is this the node? Throws for `answer` when it is not. */
export function takeIfHere({ node }: ApiServices, at: () => string | null, relayed: Relayed): void {
	let here = false;
	try {
		const nodeId = at();
		here = nodeId === null || nodeId === node.nodeId;
	} catch (error) {
		// This copy may not have it yet.
		if (!relayed.stale || !isAppError(error, "not-found")) throw error;
	}
	if (here) relayed.take();
	else throw relayed.refuse();
}

/** `unsupported` for what this version does not know; `forbidden` for what is not passed on. */
function routeOf(routes: readonly Route[], { operationId, headers, hasBody }: RequestHead): Route {
	const route = routes.find((one) => one.operationId === operationId);
	if (!route) throw new AppError("unsupported", "This version does not know the operation.");
	const access = permissions[route.operationId];
	if (!route.at || access === "root" || access === "public")
		throw new AppError("forbidden", "Every node answers this itself.");
	const passed = passedRequestHeaders(route);
	if (!Object.keys(headers).every((name) => passed.includes(name)) || (hasBody && !route.body))
		throw new AppError("malformed", "The request of the other node is not one of this operation.");
	return route;
}

/** As if it had come to this node: path and query are written by the operation's own template. */
function requestOf(
	{ path, method }: Route,
	{ params, query, headers, hasBody }: RequestHead,
	taken: () => Exchange,
	signal: AbortSignal,
): Request {
	const body = () =>
		new ReadableStream<Uint8Array>(
			{
				async pull(controller) {
					const chunk = await taken().read();
					if (chunk === null) controller.close();
					else controller.enqueue(chunk);
				},
			},
			{ highWaterMark: 0 },
		);
	const init = { method, headers, signal, ...(hasBody ? { body: body(), duplex: "half" } : {}) };
	return new Request(`http://localhost${operationPath(path, params, query)}`, init as RequestInit);
}

/** The stream of a request that this node has taken. */
class Exchange {
	readonly #stream: ByteStream;
	readonly #hasBody: boolean;
	#reading: Promise<unknown> | null = null;
	#answer: ReadableStreamDefaultReader<Uint8Array> | undefined;
	#bodyEnded = false;

	constructor(stream: ByteStream, hasBody: boolean) {
		this.#stream = stream;
		this.#hasBody = hasBody;
	}

	/** The next bytes of the body. */
	async read(): Promise<Uint8Array | null> {
		const reading = this.#stream.read();
		this.#reading = reading;
		const chunk = await reading;
		if (chunk === null) this.#bodyEnded = true;
		return chunk;
	}

	/** Without a body the other side's end only comes after the answer: what comes before is that nobody waits for it. */
	watch(left: AbortController): void {
		if (this.#hasBody || this.#reading !== null) return;
		this.read().then(
			(chunk) => {
				if (chunk !== null) this.#stream.abort(new AppError("malformed", "This request takes no body."));
			},
			(error) => {
				left.abort(toAppError(error));
				this.#answer?.cancel(error).catch(() => {});
			},
		);
	}

	async reply(response: Response): Promise<void> {
		const reader = response.body?.getReader();
		this.#answer = reader;
		try {
			await this.#stream.write(encodeAnswerHead(response));
			for (;;) {
				const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
				if (done) break;
				await this.#stream.write(value);
			}
			this.#stream.end();
		} catch (error) {
			// Also when nobody reads: then the one who makes it can stop.
			await reader?.cancel(error).catch(() => {});
			this.#stream.abort(new AppError("unavailable", "The answer ended before it was complete.", { cause: error }));
		}
		await this.#drain();
	}

	/** What still comes of the body, to no use, to its end. */
	async #drain(): Promise<void> {
		try {
			await this.#reading;
			while (!this.#bodyEnded) await this.read();
		} catch {
			// Then nothing comes.
		}
	}
}
