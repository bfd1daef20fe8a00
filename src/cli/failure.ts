/**
 * How the command line ends when something went wrong: the exit code, and what standard error says. Exit codes are a
 * contract: 0 done, 1 failed, 2 used wrongly, 3 no quorum or the server not reachable; 130 (128 + SIGINT, as shells
 * have it) when a person pressed Ctrl-C. Whether a bad value is noticed here or by the API makes no difference: it is 2.
 */
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import { toJson, toYaml } from "./output.ts";
import { visible } from "./terminal-text.ts";

export const exitCode = { ok: 0, failed: 1, usage: 2, unreachable: 3, interrupted: 130 } as const;
export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/** What was typed is not a command, or not with these values. */
export const usageError = (message: string): AppError => new AppError("invalid", message, { context: { usage: true } });
export const isUsageError = (error: unknown): boolean => isAppError(error) && error.context.usage === true;

/** A person pressed Ctrl-C. */
export const interrupted = (message: string): AppError =>
	new AppError("canceled", message, { context: { interrupted: true } });

export function exitCodeOf(error: unknown): ExitCode {
	const { code, context } = toAppError(error);
	if (context.usage === true) return exitCode.usage;
	if (context.interrupted === true) return exitCode.interrupted;
	// Of the API, which alone has a status: a task that failed with this code was not asked for wrongly.
	if ((code === "invalid" || code === "malformed") && context.status !== undefined) return exitCode.usage;
	// A task that failed because something was away has failed; a server that is away has not answered.
	if (code === "unavailable" && context.taskId === undefined) return exitCode.unreachable;
	return exitCode.failed;
}

/** What standard error says: text for people, or a problem (RFC 9457) for programs. */
export function describeFailure(error: unknown, format: "table" | "json" | "yaml"): string {
	const known = toAppError(error);
	if (format === "table") return describeForPeople(known, error);
	const problem = problemFor(known, messageOf(known, error));
	return format === "json" ? toJson(problem) : toYaml(problem);
}

function describeForPeople(known: AppError, original: unknown): string {
	const headline = messageOf(known, original);
	const lines = [`Error: ${visible(headline)}`];
	const isSaid = known.fields.length === 1 && headline.includes(known.fields[0]?.message ?? "");
	if (!isSaid)
		for (const { path, message } of known.fields) lines.push(`  ${visible(path || "/")}: ${visible(message)}`);
	if (typeof known.context.instance === "string") lines.push(`  In the node's log: ${visible(known.context.instance)}`);
	if (typeof known.context.hint === "string") lines.push(known.context.hint);
	return `${lines.join("\n")}\n`;
}

/** On the user's own machine nothing is private: an unexpected error says what it is. */
const messageOf = (known: AppError, original: unknown): string =>
	known === original || !(original instanceof Error) ? known.message : `${original.name}: ${original.message}`;

function problemFor(error: AppError, detail: string) {
	const { instance, taskId, status, hint } = error.context;
	return {
		type: "about:blank",
		title: error.code,
		// Without an answer of the API there is no status; RFC 9457 lets it be left out.
		...(typeof status === "number" ? { status } : {}),
		detail,
		code: error.code,
		errors: error.fields,
		...(typeof instance === "string" ? { instance } : {}),
		...(typeof taskId === "string" ? { taskId } : {}),
		...(typeof hint === "string" ? { hint } : {}),
	};
}
