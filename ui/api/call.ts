/**
 * The only place that talks HTTP to the API. Cookie session; writes carry `X-LQX-CSRF`; every POST carries an
 * Idempotency-Key, so that a call whose answer was lost is safely sent once more. Every call has a time limit.
 * Throws ApiError.
 */
import type { OperationId } from "../../src/model/permissions.ts";
import { errors as text } from "../strings/errors.ts";
import { ApiError, type ProblemField } from "./errors.ts";
import { type Answer, operations } from "./operations.ts";

type QueryValue = string | number | boolean | null | undefined;
export type CallOptions = {
	id?: string;
	/** Several values become several parameters. */
	query?: Record<string, QueryValue | readonly QueryValue[]>;
	body?: unknown;
	/** Bytes instead of a JSON body. */
	content?: Blob;
	headers?: Record<string, string>;
	/** If-Match: fail with 412 when the object's generation is another by now. */
	generation?: number;
	signal?: AbortSignal;
	timeoutMs?: number;
};
export type CallResult<Operation extends OperationId> = {
	data: Answer<Operation>;
	/** The task that does the work, for writes that take time. */
	taskId: string | null;
};

const defaultTimeoutMs = 30_000;
const resendDelayMs = 400;

type UnauthenticatedListener = () => void;
let onUnauthenticated: UnauthenticatedListener = () => {};
/** Called whenever an answer is 401 (except the sign-in's own). */
export function setUnauthenticatedListener(listener: UnauthenticatedListener): void {
	onUnauthenticated = listener;
}

export function operationUrl(operation: OperationId, options: Pick<CallOptions, "id" | "query"> = {}): string {
	const path = operations[operation][1].replace("{id}", () => encodeURIComponent(options.id ?? ""));
	const query = new URLSearchParams();
	for (const [name, value] of Object.entries(options.query ?? {})) {
		for (const one of Array.isArray(value) ? (value as readonly QueryValue[]) : [value as QueryValue]) {
			if (one !== undefined && one !== null && one !== "") query.append(name, String(one));
		}
	}
	const search = query.toString();
	return search === "" ? path : `${path}?${search}`;
}

export async function call<Operation extends OperationId>(
	operation: Operation,
	options: CallOptions = {},
): Promise<CallResult<Operation>> {
	const [method] = operations[operation];
	const headers = new Headers(options.headers);
	headers.set("Accept", "application/json, application/problem+json, */*;q=0.5");
	if (method !== "GET") headers.set("X-LQX-CSRF", "1");
	if (method === "POST") headers.set("Idempotency-Key", randomKey());
	if (options.generation !== undefined) headers.set("If-Match", `"${options.generation}"`);
	let body: BodyInit | null = null;
	if (options.content !== undefined) {
		headers.set("Content-Type", "application/octet-stream");
		body = options.content;
	} else if (options.body !== undefined) {
		headers.set("Content-Type", "application/json");
		body = JSON.stringify(options.body);
	}
	const url = operationUrl(operation, options);
	const send = () => {
		const limit = AbortSignal.timeout(options.timeoutMs ?? defaultTimeoutMs);
		const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
		return fetch(url, { method, headers, body, signal, credentials: "same-origin", cache: "no-store" });
	};
	let response: Response;
	try {
		response = await send().catch(async (error: unknown) => {
			const lost = error instanceof TypeError && (method === "GET" || method === "POST");
			if (!lost || options.signal?.aborted) throw error;
			await new Promise((resolve) => setTimeout(resolve, resendDelayMs));
			return send();
		});
	} catch (error) {
		if (options.signal?.aborted) throw error;
		const timedOut = error instanceof DOMException && error.name === "TimeoutError";
		throw new ApiError(timedOut ? text.timeout : text.offline, {
			status: 0,
			code: timedOut ? "timeout" : "offline",
			operation,
			cause: error,
		});
	}
	if (!response.ok) throw await problem(operation, response);
	const data = (await readBody(response)) as Answer<Operation>;
	return { data, taskId: taskIdOf(response) };
}

/** The data alone, for reads. */
export async function read<Operation extends OperationId>(
	operation: Operation,
	options: CallOptions = {},
): Promise<Answer<Operation>> {
	return (await call(operation, options)).data;
}

async function readBody(response: Response): Promise<unknown> {
	if (response.status === 204) return undefined;
	const type = response.headers.get("Content-Type") ?? "";
	if (type.includes("json")) return response.json();
	return type.startsWith("image/") ? response.blob() : response.text();
}

function taskIdOf(response: Response): string | null {
	const header = response.headers.get("Task-Location");
	const location = header ?? (response.status === 202 ? response.headers.get("Location") : null);
	return location === null ? null : (/\/v1\/tasks\/([^/?]+)/.exec(location)?.[1] ?? null);
}

async function problem(operation: OperationId, response: Response): Promise<ApiError> {
	if (response.status === 401 && operation !== "sessionCreate") onUnauthenticated();
	const body: unknown = await response.json().catch(() => null);
	const record = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
	const string = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);
	const retryAfter = Number(response.headers.get("Retry-After"));
	return new ApiError(string(record.detail) ?? string(record.title) ?? text.status(response.status), {
		status: response.status,
		code: string(record.code) ?? `http-${response.status}`,
		operation,
		fields: fieldsOf(record.errors),
		retryAfterMs: retryAfter > 0 ? retryAfter * 1000 : null,
	});
}

function fieldsOf(value: unknown): ProblemField[] {
	if (!Array.isArray(value)) return [];
	return value.flatMap((entry: unknown) => {
		if (typeof entry !== "object" || entry === null) return [];
		const { path, message } = entry as { path?: unknown; message?: unknown };
		return typeof path === "string" && typeof message === "string" ? [{ path, message }] : [];
	});
}

function randomKey(): string {
	const bytes = crypto.getRandomValues(new Uint8Array(16));
	return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
