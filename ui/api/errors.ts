/** What a failed call gives: RFC 9457 problem details from the API, or the network's own failure. */

export type ProblemField = { path: string; message: string };

export class ApiError extends Error {
	override name = "ApiError";
	/** HTTP status; 0 when no answer came. */
	readonly status: number;
	/** The API's error code; "offline" and "timeout" when no answer came. */
	readonly code: string;
	readonly fields: ProblemField[];
	readonly retryAfterMs: number | null;
	/** What to look for in the node's log. */
	readonly instance: string | null;
	/** What was asked, for the copied details. */
	readonly operation: string;

	constructor(
		message: string,
		details: {
			status: number;
			code: string;
			operation: string;
			fields?: ProblemField[];
			retryAfterMs?: number | null;
			instance?: string | null;
			cause?: unknown;
		},
	) {
		super(message, { cause: details.cause });
		this.status = details.status;
		this.code = details.code;
		this.operation = details.operation;
		this.fields = details.fields ?? [];
		this.retryAfterMs = details.retryAfterMs ?? null;
		this.instance = details.instance ?? null;
	}
}

/** Any thrown value as an ApiError. */
export function toApiError(error: unknown, operation = "page"): ApiError {
	if (error instanceof ApiError) return error;
	const message = error instanceof Error ? error.message : String(error);
	return new ApiError(message, { status: 0, code: "internal", operation, cause: error });
}

/** Plain text for the clipboard: everything that helps whoever looks into it. */
export function errorDetails(error: ApiError, at = new Date()): string {
	const lines = [error.message, `code: ${error.code}`, `operation: ${error.operation}`];
	if (error.status > 0) lines.push(`status: ${error.status}`);
	if (error.instance) lines.push(`instance: ${error.instance}`);
	for (const field of error.fields) lines.push(`field ${field.path}: ${field.message}`);
	lines.push(`time: ${at.toISOString()}`, `page: ${location.pathname}`);
	return lines.join("\n");
}
