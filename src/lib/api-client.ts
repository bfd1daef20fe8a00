/**
 * A small client of the API for command line and UI. Knows nothing of the operations: it is given their table
 * (`operations` of src/gen/api.ts) and, as a type, what each takes and answers. `fetch` is given too, so that the
 * caller decides about sockets, TLS pinning and time limits (`signal`).
 *
 *     const client = createApiClient<OperationTypes>(operations, { baseUrl: "https://host:8443", fetch });
 *     const { body: vm, taskLocation } = await client.call("vmCreate", { body: { name: "a" } });
 */
import { AppError, type ErrorCode, errorCodes, type FieldError } from "./errors.ts";

export type OperationEntry = {
	readonly method: string;
	/** With parameters in braces. */
	readonly path: string;
	/** Media type of the request's body; null without one. */
	readonly body: string | null;
	/** "raw": the Response itself is the answer (streams, pictures, text). */
	readonly answer: "json" | "none" | "raw";
	readonly idempotent: boolean;
	readonly ifMatch: boolean;
};
type OperationShape = { path: unknown; query: unknown; headers: unknown; body: unknown; response: unknown };

type Given<Name extends string, T> = [T] extends [undefined]
	? { [N in Name]?: undefined }
	: undefined extends T
		? { [N in Name]?: T }
		: { [N in Name]: T };
type GivenIfSome<Name extends string, T> = [T] extends [undefined]
	? { [N in Name]?: undefined }
	: Record<string, never> extends T
		? { [N in Name]?: T }
		: { [N in Name]: T };

export type CallOptions<Shape extends OperationShape> = Given<"path", Shape["path"]> &
	GivenIfSome<"query", Shape["query"]> &
	GivenIfSome<"headers", Shape["headers"]> &
	Given<"body", Shape["body"]> & {
		/** Generation that the object must still have. */
		ifMatch?: number;
		/** For POST: makes it safe to send the same request again. */
		idempotencyKey?: string;
		signal?: AbortSignal;
	};

export type CallResult<Response> = {
	body: Response;
	status: number;
	headers: Headers;
	/** From Location and Task-Location. */
	location: string | null;
	taskLocation: string | null;
	/** From ETag. */
	generation: number | null;
	/** The node has no quorum and answered with what it knew last. */
	stale: boolean;
};

export type FetchLike = (url: string, init: RequestInit) => Promise<Response>;
export type ClientOptions = {
	/** Without a slash at the end; "" in the browser. */
	baseUrl: string;
	fetch: FetchLike;
	/** Added to each request; asked each time (Authorization, X-LQX-CSRF). */
	headers?: () => Record<string, string>;
};

/** The operations that can be called without any option. */
type OptionalArgument<Options> = Record<string, never> extends Options ? [options?: Options] : [options: Options];

export type ApiClient<Types extends { [K in keyof Types]: OperationShape }> = {
	/**
	 * Fails with AppError: the problem that the API answered; `unavailable` when there was no answer; `canceled` or
	 * `timeout` when `signal` ended it; `internal` when the answer was none of ours.
	 */
	call<Id extends keyof Types & string>(
		operationId: Id,
		...options: OptionalArgument<CallOptions<Types[Id]>>
	): Promise<CallResult<Types[Id]["response"]>>;
};

type LooseOptions = {
	path?: Record<string, unknown>;
	query?: Record<string, unknown>;
	headers?: Record<string, unknown>;
	body?: unknown;
	ifMatch?: number;
	idempotencyKey?: string;
	signal?: AbortSignal;
};

export function createApiClient<Types extends { [K in keyof Types]: OperationShape }>(
	operations: Readonly<Record<keyof Types & string, OperationEntry>>,
	options: ClientOptions,
): ApiClient<Types> {
	return {
		async call(operationId, ...[given]) {
			const entry = operations[operationId];
			const loose = (given ?? {}) as LooseOptions;
			const url = options.baseUrl + operationPath(entry.path, loose.path ?? {}, loose.query ?? {});
			const response = await send(options.fetch, url, {
				method: entry.method,
				headers: { ...requestHeaders(entry, loose), ...options.headers?.() },
				...(loose.body === undefined ? {} : { body: requestBody(entry, loose.body) }),
				...(loose.signal ? { signal: loose.signal } : {}),
			});
			if (!response.ok) throw await problemOf(response);
			return { body: (await answerOf(entry, response)) as never, ...factsOf(response) };
		},
	};
}

/** The path with its parameters filled in and the query behind it; a list is one parameter for each value. */
export function operationPath(
	template: string,
	path: Record<string, unknown>,
	query: Record<string, unknown> = {},
): string {
	const filled = template.replace(/\{(\w+)\}/g, (_, name: string) => {
		const value = path[name];
		if (value === undefined || value === null || value === "")
			throw new AppError("invalid", `The parameter ${name} is missing.`);
		return encodeURIComponent(String(value));
	});
	const search = new URLSearchParams();
	for (const [name, value] of Object.entries(query))
		for (const one of Array.isArray(value) ? value : [value])
			if (one !== undefined && one !== null) search.append(name, String(one));
	return search.size > 0 ? `${filled}?${search}` : filled;
}

function requestHeaders(entry: OperationEntry, given: LooseOptions): Record<string, string> {
	const headers: Record<string, string> = { accept: "application/json, application/problem+json, */*;q=0.5" };
	if (given.body !== undefined) headers["content-type"] = entry.body ?? "application/json";
	if (given.ifMatch !== undefined) headers["if-match"] = `"${given.ifMatch}"`;
	if (given.idempotencyKey !== undefined) headers["idempotency-key"] = given.idempotencyKey;
	for (const [name, value] of Object.entries(given.headers ?? {}))
		if (value !== undefined) headers[name.toLowerCase()] = String(value);
	return headers;
}

const requestBody = (entry: OperationEntry, body: unknown): BodyInit =>
	entry.body === null || entry.body.includes("json") ? JSON.stringify(body) : (body as BodyInit);

async function send(fetch: FetchLike, url: string, init: RequestInit): Promise<Response> {
	try {
		return await fetch(url, init);
	} catch (error) {
		if (error instanceof AppError) throw error;
		if (init.signal?.aborted) {
			const timedOut = (init.signal.reason as Error | undefined)?.name === "TimeoutError";
			throw new AppError(timedOut ? "timeout" : "canceled", timedOut ? "There was no answer in time." : "Canceled.", {
				cause: error,
			});
		}
		throw new AppError("unavailable", "The server cannot be reached.", { cause: error });
	}
}

async function answerOf(entry: OperationEntry, response: Response): Promise<unknown> {
	if (entry.answer === "raw") return response;
	if (entry.answer === "none") return undefined;
	try {
		return await response.json();
	} catch (error) {
		throw new AppError("internal", "The server's answer cannot be understood.", { cause: error });
	}
}

function factsOf(response: Response): Omit<CallResult<unknown>, "body"> {
	const { status, headers } = response;
	const generation = /^"(\d+)"$/.exec(headers.get("etag") ?? "")?.[1];
	return {
		status,
		headers,
		location: headers.get("location"),
		taskLocation: headers.get("task-location"),
		generation: generation === undefined ? null : Number(generation),
		stale: headers.get("x-lqx-stale") === "true",
	};
}

const isErrorCode = (code: unknown): code is ErrorCode => (errorCodes as readonly unknown[]).includes(code);

/** An answer that is no success, as the error that it tells of. */
export async function problemOf(response: Response): Promise<AppError> {
	const seconds = Number(response.headers.get("retry-after") ?? "");
	const retry = seconds > 0 ? { retryAfterMs: seconds * 1000 } : {};
	const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json");
	const problem: unknown = isProblem ? await response.json().catch(() => null) : null;
	if (typeof problem !== "object" || problem === null || !("code" in problem) || !isErrorCode(problem.code))
		return new AppError("internal", `The server answered with status ${response.status} and no explanation.`, {
			...retry,
			context: { status: response.status },
		});
	const detail = "detail" in problem && typeof problem.detail === "string" ? problem.detail : problem.code;
	const fields = "errors" in problem && Array.isArray(problem.errors) ? (problem.errors as FieldError[]) : [];
	const instance = "instance" in problem ? { instance: problem.instance } : {};
	return new AppError(problem.code, detail, { fields, ...retry, context: { status: response.status, ...instance } });
}
