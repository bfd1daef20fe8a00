/**
 * The only place that talks HTTP to the API, over the generated client. Cookie session; writes carry `X-LQX-CSRF`;
 * what may safely be sent again is, when its answer was lost (patience.ts). Every call has a time limit.
 * Throws ApiError; what was aborted by the caller's `signal` rejects with the code "canceled".
 */
import { type OperationName, type OperationTypes, operations } from "../../src/gen/api.ts";
import { createApiClient, operationPath } from "../../src/lib/api-client.ts";
import { AppError, isAppError } from "../../src/lib/errors.ts";
import { common } from "../strings/common.ts";
import { errors as text } from "../strings/errors.ts";
import { ApiError } from "./errors.ts";
import { noticed, sendPatiently } from "./patience.ts";

export type { OperationName };

type Loose<Shape> = Shape extends undefined ? undefined : { [Key in keyof Shape]?: Shape[Key] | null | undefined };
export type CallOptions<Operation extends OperationName = OperationName> = {
	id?: string;
	query?: Loose<OperationTypes[Operation]["query"]>;
	headers?: OperationTypes[Operation]["headers"];
	body?: OperationTypes[Operation]["body"];
	/** If-Match: fail with 412 when the object's generation is another by now. */
	generation?: number;
	signal?: AbortSignal;
	timeoutMs?: number;
};

/** Pictures and texts are read whole; downloads are links (operationUrl). */
type Read = { vmScreenshotGet: Blob; vmSerialLogGet: string; vmDomainXmlGet: string };
export type Answer<Operation extends OperationName> = Operation extends keyof Read
	? Read[Operation]
	: OperationTypes[Operation]["response"];
export type CallResult<Operation extends OperationName> = {
	data: Answer<Operation>;
	/** The task that does the work, for writes that take time. */
	taskId: string | null;
};

const defaultTimeoutMs = 30_000;

let onUnauthenticated: () => void = () => {};
/** Called whenever an answer is 401 (except the sign-in's own). */
export function setUnauthenticatedListener(listener: () => void): void {
	onUnauthenticated = listener;
}

let onAnswer: (stale: boolean) => void = () => {};
/**
 * Called with each answer to a read (of the cluster's state itself excepted, which is how a listener finds out more):
 * was it from a state that no quorum vouches for? A write that is not available counts as one.
 */
export function setAnswerListener(listener: (stale: boolean) => void): void {
	onAnswer = listener;
}

/** For links and sockets. */
export const operationUrl = (operation: OperationName, id: string, query: Record<string, string> = {}): string =>
	operationPath(operations[operation].path, { id }, query);

const client = createApiClient<OperationTypes>(operations, {
	baseUrl: "",
	headers: () => ({ "x-lqx-csrf": "1" }),
	fetch: async (url, init) => {
		const send = () => fetch(url, { ...init, credentials: "same-origin", cache: "no-store" });
		const method = init.method ?? "GET";
		const keyed = new Headers(init.headers).has("idempotency-key");
		const response = await sendPatiently(send, { method, keyed, signal: init.signal });
		if (!response.ok && !isProblem(response)) throw unexplained(response);
		return response;
	},
});

const isProblem = (response: Response): boolean =>
	response.headers.get("content-type")?.startsWith("application/problem+json") ?? false;

/** A failure that the API did not put into words: the node is on its way up or down, or something in between answered. */
function unexplained({ status, headers }: Response): AppError {
	const seconds = Number(headers.get("retry-after") ?? "");
	const away = status === 502 || status === 503 || status === 504;
	return new AppError(away ? "unavailable" : "internal", away ? text.away : text.status(status), {
		...(seconds > 0 ? { retryAfterMs: seconds * 1000 } : {}),
		context: { status },
	});
}

type Untyped = (
	operation: string,
	options: object,
) => Promise<{ body: unknown; status: number; location: string | null; taskLocation: string | null; stale: boolean }>;

export async function call<Operation extends OperationName>(
	operation: Operation,
	options: CallOptions<Operation> = {},
): Promise<CallResult<Operation>> {
	const { id, query, headers, body, generation, signal, timeoutMs = defaultTimeoutMs } = options;
	const limit = AbortSignal.timeout(timeoutMs);
	try {
		// The options above are checked against the operation's types; the client's own are stricter about absence.
		const answered = (client.call as unknown as Untyped)(operation, {
			...(id === undefined ? {} : { path: { id } }),
			...(query ? { query } : {}),
			...(headers ? { headers } : {}),
			...(body === undefined ? {} : { body }),
			...(generation === undefined ? {} : { ifMatch: generation }),
			...(operations[operation].idempotent ? { idempotencyKey: randomKey() } : {}),
			signal: signal ? AbortSignal.any([signal, limit]) : limit,
		});
		const answer = await (isQuickWrite(operation) ? noticed(answered) : answered);
		if (operations[operation].method === "GET" && operation !== "clusterGet") onAnswer(answer.stale);
		const data = answer.body instanceof Response ? await readRaw(answer.body) : answer.body;
		const task = answer.taskLocation ?? (answer.status === 202 ? answer.location : null);
		return { data: data as Answer<Operation>, taskId: /\/v1\/tasks\/([^/?]+)/.exec(task ?? "")?.[1] ?? null };
	} catch (error) {
		throw apiError(operation, error);
	}
}

/** Those take their time on a cluster that is well, too. */
const slowByNature: readonly OperationName[] = [
	...(["nodeLeave", "vmCreateDemo", "foreignVmAdopt", "clusterLeaderTransfer"] as const),
	...(["poolCreate", "poolUpdate", "poolProbe", "poolDiscover", "poolOrphanAdopt"] as const),
];

const isQuickWrite = (operation: OperationName): boolean =>
	operations[operation].method !== "GET" && !slowByNature.includes(operation);

/** The data alone, for reads. */
export async function read<Operation extends OperationName>(
	operation: Operation,
	options: CallOptions<Operation> = {},
): Promise<Answer<Operation>> {
	return (await call(operation, options)).data;
}

const readRaw = (response: Response): Promise<Blob | string> =>
	response.headers.get("Content-Type")?.startsWith("image/") ? response.blob() : response.text();

function apiError(operation: OperationName, error: unknown): ApiError {
	if (!isAppError(error)) return new ApiError(String(error), { status: 0, code: "internal", operation, cause: error });
	const status = typeof error.context.status === "number" ? error.context.status : 0;
	if (status === 401 && operation !== "sessionCreate") onUnauthenticated();
	if (error.code === "unavailable" && status > 0) onAnswer(true);
	const unanswered = status === 0 && (error.code === "timeout" || error.code === "unavailable");
	return new ApiError(unanswered ? (error.code === "timeout" ? text.timeout : text.offline) : wordsOf(error), {
		status,
		code: unanswered && error.code === "unavailable" ? "offline" : error.code,
		operation,
		fields: error.fields,
		retryAfterMs: error.retryAfterMs ?? null,
		instance: typeof error.context.instance === "string" ? error.context.instance : null,
		cause: error,
	});
}

/** What the API's sentence leaves open in a form: that somebody else was faster, and what to do now. */
const wordsOf = ({ code, message }: AppError): string => (code === "stale-etag" ? common.staleEdit : message);

function randomKey(): string {
	const bytes = crypto.getRandomValues(new Uint8Array(16));
	return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
