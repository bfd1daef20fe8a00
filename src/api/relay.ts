/**
 * A request that only another node can answer is passed on to that node's API, and its answer comes back as it is
 * (docs/decisions/0043-cluster.md). What was checked here is checked again there. A request is passed on once: the node that gets
 * it answers, or says before it reads anything that it is not the one. Then this node looks again, and tries once more.
 */
import type { PresentedCredential } from "../auth/service.ts";
import { problemOf } from "../lib/api-client.ts";
import { assert } from "../lib/assert.ts";
import type { ByteStream } from "../lib/byte-stream.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { permissions } from "../model/permissions.ts";
import type { ApiServices, RequestContext } from "./context.ts";
import { presentedCredential } from "./credentials.ts";
import { parseJson } from "./json.ts";
import { statusOf } from "./problem-codes.ts";
import { encodeRequestHead, passedRequestHeaders, pick, readAnswerHead } from "./relay-wire.ts";
import { responseOf } from "./response.ts";
import { type AnyReply, isBinary, type Route } from "./route.ts";
import { boundedDownload } from "./stall.ts";

export interface NodeRelay {
	/**
	 * Resolves when that node takes the request. Rejects with its refusal (`wrong-state`: it is not the one who answers this;
	 * `unsupported`: its version does not know the operation), else with `unavailable`.
	 */
	open(nodeId: string, head: Uint8Array, signal: AbortSignal): Promise<ByteStream>;
}

export const noOtherNodes: NodeRelay = {
	open: async () => {
		throw new AppError("unavailable", "This node knows no others.");
	},
};

/** What another node is asked. */
export type Question = {
	route: Route;
	params: Record<string, string>;
	query: URLSearchParams;
	headers: Headers;
	body: ReadableStream<Uint8Array> | null;
	/** The caller's; null for root on this node. */
	credential: PresentedCredential | null;
	remoteAddress: string | null;
	secure: boolean;
	/** Aborted when nobody waits for the answer any more. */
	signal: AbortSignal;
	/** Calls back when the caller's credential ends. */
	watch(onEnded: () => void): () => void;
};

type Services = Pick<ApiServices, "store" | "node" | "clock" | "relay">;

/** The id of the node that has to answer; null when it is this one. Looked up in the state as it is, then as it is agreed on. */
async function whereTo(services: Services, at: () => string | null): Promise<string | null> {
	const look = () => {
		const nodeId = at();
		return nodeId === services.node.nodeId ? null : nodeId;
	};
	try {
		return look();
	} catch (error) {
		if (!isAppError(error, "not-found")) throw error;
		await services.store.readIndex().catch(() => {});
		return look();
	}
}

/** Of a route, for one request. */
export type Place = { at(): string | null; whenLost(): AnyReply | null };

/** The answer of the node that has to give it; null when that is this node. Nothing of the body is read then. */
export async function answerOfOther(
	services: Services,
	{ at, whenLost }: Place,
	question: Question,
): Promise<Response | null> {
	const first = await whereTo(services, at);
	if (first === null) return null;
	try {
		return await passOn(services, first, question);
	} catch (error) {
		if (error instanceof AnswerLost) {
			await services.store.readIndex().catch(() => {});
			const reply = whenLost();
			if (reply !== null) return responseOf(question.route, reply, { ...services, ...question, stale: false });
		}
		if (!(error instanceof NotThere)) throw error;
		await services.store.readIndex();
		const second = await whereTo(services, at);
		return second === null ? null : await passOn(services, second, question);
	}
}

class NotThere extends AppError {
	constructor(nodeName: string) {
		super("unavailable", `The node ${nodeName} does not have it, or not yet. Try again.`, { retryAfterMs: 2000 });
	}
}

class AnswerLost extends AppError {}

const nameOf = ({ store }: Services, nodeId: string): string => store.get("node", nodeId)?.name ?? nodeId;

async function passOn(services: Services, nodeId: string, question: Question): Promise<Response> {
	const { route, params, query, headers, body, credential, remoteAddress, secure, signal } = question;
	const name = nameOf(services, nodeId);
	const head = encodeRequestHead({
		operationId: route.operationId,
		params,
		query: Object.fromEntries([...new Set(query.keys())].map((key) => [key, query.getAll(key)])),
		headers: pick(headers, passedRequestHeaders(route)),
		credential,
		local: credential === null,
		remoteAddress,
		secure,
		hasBody: body !== null,
	});
	const stream = await services.relay.open(nodeId, head, signal).catch((error: unknown) => {
		throwIfOver(signal);
		throw refusalOf(error, name);
	});
	const onAbort = () => stream.abort(new AppError("canceled", "Nobody waits for the answer any more."));
	signal.addEventListener("abort", onAbort);
	if (signal.aborted) onAbort();
	const upload = body === null ? null : new Upload(body, stream);
	try {
		const answer = await readAnswerHead(stream);
		upload?.stop();
		return responseFrom(services, question, name, stream, answer);
	} catch (error) {
		upload?.stop();
		stream.abort(new AppError("canceled", "The answer is of no use."));
		throwIfOver(signal);
		if (error instanceof Refused) throw error;
		if (upload?.broken) throw new AppError("malformed", "The body ended before it was complete.");
		throw new AnswerLost("unavailable", `The connection to the node ${name} broke before it answered.`, {
			cause: error,
		});
	} finally {
		signal.removeEventListener("abort", onAbort);
	}
}

function throwIfOver({ aborted, reason }: AbortSignal): void {
	if (aborted) throw isAppError(reason) ? reason : new AppError("canceled", "Nobody waits for the answer any more.");
}

function refusalOf(error: unknown, name: string): AppError {
	if (isAppError(error, "wrong-state")) return new NotThere(name);
	if (isAppError(error, "unsupported"))
		return new AppError("unsupported", `The node ${name} has another version, which cannot answer this. Upgrade it.`);
	return new AppError("unavailable", `The node ${name} cannot be reached from here.`, {
		cause: error,
		retryAfterMs: 5000,
	});
}

/** What this node says in the place of an answer. */
class Refused extends AppError {}

/** The request's body on its way to the other node, which reads as fast as it can use it. */
class Upload {
	readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
	#stopped = false;
	/** The client did not send all of it. */
	broken = false;

	constructor(body: ReadableStream<Uint8Array>, stream: ByteStream) {
		this.#reader = body.getReader();
		void this.#run(stream);
	}

	/** The answer is there: what was not sent yet is not needed. */
	stop(): void {
		this.#stopped = true;
		this.#reader.cancel().catch(() => {});
	}

	async #run(stream: ByteStream): Promise<void> {
		try {
			for (;;) {
				const { done, value } = await this.#reader.read().catch((error: unknown) => {
					this.broken = !this.#stopped;
					throw error;
				});
				if (done || this.#stopped) break;
				await stream.write(value);
			}
			stream.end();
		} catch (error) {
			stream.abort(new AppError("canceled", "The body ended before it was complete.", { cause: error }));
			this.#reader.cancel().catch(() => {});
		}
	}
}

/** Only what the operation may answer, with the media type that it defines: nothing else of another node reaches a browser. */
function responseFrom(
	{ clock }: Services,
	{ route, watch }: Question,
	name: string,
	stream: ByteStream,
	{ head: { status, headers: given }, rest }: Awaited<ReturnType<typeof readAnswerHead>>,
): Response {
	// This node knows the caller; the client must not take it for the end of its session.
	if (status === 401)
		throw new Refused("unavailable", `The node ${name} does not know your session or token, or not yet.`, {
			retryAfterMs: 2000,
		});
	const problem = status >= 400 && Object.values(statusOf).includes(status);
	if (!problem && !(status in route.responses))
		throw new Refused("unavailable", `The node ${name} answered with the status ${status}, which is not known here.`);
	const headers = new Headers({ ...given, "cache-control": "no-store" });
	const spec = route.responses[status] ?? null;
	if (problem) headers.set("content-type", "application/problem+json");
	else if (isBinary(spec)) {
		headers.set("content-type", spec.contentType);
		if (route.longLived) headers.set("connection", "close");
	} else if (spec === null) {
		stream.end();
		return new Response(null, { status, headers });
	} else headers.set("content-type", "application/json");
	return new Response(boundedDownload(bodyOf(stream, rest), { clock, watch }), { status, headers });
}

function bodyOf(stream: ByteStream, first: Uint8Array): ReadableStream<Uint8Array> {
	let rest: Uint8Array | null = first.length > 0 ? first : null;
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				const chunk = rest ?? (await stream.read());
				rest = null;
				if (chunk !== null) return controller.enqueue(chunk);
				stream.end();
				controller.close();
			},
			cancel: () => stream.abort(new AppError("canceled", "Nobody reads the answer any more.")),
		},
		{ highWaterMark: 0 },
	);
}

const maxAskedBytes = 4 * MiB;
const askLimitMs = 30_000;

/** Asks another node an operation that asks nothing more of the caller's role: its JSON, or its error. */
export async function askNode(
	context: RequestContext,
	route: Route,
	nodeId: string,
	params: Record<string, string>,
	query: Record<string, string>,
	body?: unknown,
): Promise<unknown> {
	const same = context.operation === route.operationId;
	assert(
		same || permissions[context.operation] === permissions[route.operationId],
		"nobody asks another node for what they may not ask here",
	);
	assert(!context.passedOn, "a request is passed on once");
	const { services, request, identity, remoteAddress, secure, credentialEnded } = context;
	const late = new AbortController();
	const timer = services.clock.schedule(askLimitMs, () =>
		late.abort(new AppError("timeout", `The node ${nameOf(services, nodeId)} did not answer in time.`)),
	);
	const signal = AbortSignal.any([request.signal, credentialEnded, late.signal]);
	try {
		const response = await passOn(services, nodeId, {
			route,
			params,
			query: new URLSearchParams(query),
			headers: new Headers(body === undefined ? {} : { "content-type": "application/json" }),
			body: body === undefined ? null : new Response(JSON.stringify(body)).body,
			credential: identity?.via === "local" ? null : presentedCredential(request.headers),
			...{ remoteAddress, secure },
			signal,
			watch(onEnded) {
				signal.addEventListener("abort", onEnded);
				return () => signal.removeEventListener("abort", onEnded);
			},
		});
		if (!response.ok) throw await problemOf(response);
		return parseJson(await readAll(response));
	} catch (error) {
		throwIfOver(signal);
		throw error;
	} finally {
		timer.cancel();
	}
}

async function readAll(response: Response): Promise<Uint8Array> {
	const chunks: Uint8Array[] = [];
	let bytes = 0;
	for await (const chunk of response.body ?? []) {
		bytes += chunk.length;
		if (bytes > maxAskedBytes) throw new AppError("too-large", "The other node's answer is too long.");
		chunks.push(chunk);
	}
	return Buffer.concat(chunks);
}
