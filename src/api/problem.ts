/**
 * The only place where an error becomes an HTTP answer: problem details (RFC 9457), status by code. Private context
 * and causes stay here; of an unexpected error the client learns an id to look for in the log, no more.
 */
import type { AppError } from "../lib/errors.ts";
import type { Problem } from "../model/api.ts";
import { statusOf } from "./problem-codes.ts";

const titles: Record<number, string> = {
	400: "Bad Request",
	401: "Unauthorized",
	403: "Forbidden",
	404: "Not Found",
	405: "Method Not Allowed",
	409: "Conflict",
	412: "Precondition Failed",
	413: "Content Too Large",
	415: "Unsupported Media Type",
	422: "Unprocessable Content",
	429: "Too Many Requests",
	500: "Internal Server Error",
	502: "Bad Gateway",
	503: "Service Unavailable",
	504: "Gateway Timeout",
	507: "Insufficient Storage",
};
/** For 503, also where nothing better is known. */
const defaultRetryMs = 2000;

/** `instance`: an id that the log has too; given for status 500. `allow`: methods, for 405. */
export function problemResponse(error: AppError, options: { instance?: string; allow?: string } = {}): Response {
	const status = statusOf[error.code];
	const problem: Problem = {
		type: "about:blank",
		title: titles[status] ?? "Error",
		status,
		detail: error.message,
		code: error.code,
		errors: error.fields.map(({ path, message }) => ({ path, message })),
		...(options.instance ? { instance: options.instance } : {}),
	};
	const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
	const retryAfterMs = error.retryAfterMs ?? (status === 503 ? defaultRetryMs : undefined);
	if (retryAfterMs !== undefined) headers.set("retry-after", String(Math.max(1, Math.ceil(retryAfterMs / 1000))));
	if (status === 401) headers.set("www-authenticate", 'Bearer realm="LimiQuantix"');
	if (options.allow) headers.set("allow", options.allow);
	// The rest of a body that was refused is not waited for.
	if (status === 413) headers.set("connection", "close");
	return new Response(JSON.stringify(problem), { status, headers });
}
