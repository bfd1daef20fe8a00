/**
 * The one error type of the project. Errors are matched by `code`; `message` is for people and may be shown to a
 * client; `context` and `cause` are private (they go to the log only). `api/problem.ts` is the only place that turns
 * a code into an HTTP status.
 */

export const errorCodes = [
	"malformed", // the request cannot be parsed (400)
	"unauthenticated", // no or bad credentials (401)
	"forbidden", // signed in, but the role does not allow it (403)
	"not-found", // (404)
	"method-not-allowed", // (405)
	"wrong-state", // the object's state does not allow this now (409)
	"already-exists", // name or address taken (409)
	"in-use", // something depends on it (409)
	"stale-etag", // If-Match or expected generation does not match (412)
	"too-large", // body over the limit (413)
	"unsupported-media-type", // (415)
	"invalid", // understood, but a value is not acceptable; see `fields` (422)
	"too-many-requests", // rate limit or lock-out; see `retryAfterMs` (429)
	"unsupported", // this build, driver or host cannot do it (422)
	"unavailable", // a dependency (leader, libvirt, pool) is away for now (503)
	"no-space", // (507)
	"timeout", // an operation on a host took longer than its limit (504)
	"canceled", // canceled by a person or by shutdown (409)
	"corrupt", // stored data fails its checks
	"hypervisor", // libvirt or QEMU refused or failed (502)
	"storage", // a storage backend refused or failed (502)
	"network", // a host network operation failed (502)
	"internal", // a bug (500)
] as const;
export type ErrorCode = (typeof errorCodes)[number];

/** One bad field: `path` is a JSON pointer into the body ("/disks/0/sizeBytes"), or "?name" for a query parameter. */
export type FieldError = { path: string; message: string };

export type AppErrorOptions = {
	fields?: FieldError[];
	retryAfterMs?: number;
	context?: Record<string, unknown>;
	cause?: unknown;
};

export class AppError extends Error {
	// Only declared: a field that is defined first and set afterwards makes an error several times as dear, and a node without
	// a leader makes thousands.
	declare readonly code: ErrorCode;
	declare readonly fields: FieldError[];
	declare readonly retryAfterMs: number | undefined;
	declare readonly context: Record<string, unknown>;

	static {
		AppError.prototype.name = "AppError";
	}

	constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
		super(message, options.cause === undefined ? undefined : { cause: options.cause });
		this.code = code;
		this.fields = options.fields ?? [];
		this.retryAfterMs = options.retryAfterMs;
		this.context = options.context ?? {};
	}
}

export const isAppError = (error: unknown, code?: ErrorCode): error is AppError =>
	error instanceof AppError && (code === undefined || error.code === code);

/** Any thrown value as an AppError; what is not one already becomes `internal` with the original as its cause. */
export function toAppError(error: unknown): AppError {
	if (error instanceof AppError) return error;
	return new AppError("internal", "Something went wrong inside LimiQuantix; the log has the details.", {
		cause: error,
	});
}

/** What a task or an apply result keeps of an error: no private context. */
export type ErrorInfo = { code: ErrorCode; message: string; fields?: FieldError[] };

export function toErrorInfo(error: unknown): ErrorInfo {
	const known = toAppError(error);
	return {
		code: known.code,
		message: known.message,
		...(known.fields.length > 0 ? { fields: known.fields } : {}),
	};
}

export function fromErrorInfo(info: ErrorInfo): AppError {
	return new AppError(info.code, info.message, info.fields ? { fields: info.fields } : {});
}
