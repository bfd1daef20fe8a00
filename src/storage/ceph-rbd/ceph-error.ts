/**
 * What the programs of Ceph say when they fail, as AppError in words for people. They end with the error's number of the
 * kernel (rbd), or write it in brackets (rados, ceph). `errnoOfCeph` gives it to those who expect one.
 */
import { AppError, isAppError } from "../../lib/errors.ts";

export const errno = {
	noEntry: 2,
	accessDenied: 13,
	busy: 16,
	exists: 17,
	invalid: 22,
	noSpace: 28,
	readOnly: 30,
	notEmpty: 39,
	shutdown: 108,
	timedOut: 110,
	quota: 122,
} as const;

/** The number in the error of a program of Ceph; null for other errors. */
export function errnoOfCeph(error: unknown): number | null {
	const found = isAppError(error) ? error.context.errno : null;
	return typeof found === "number" ? found : null;
}

/** The program itself was ended by the kernel for what it did. */
export const isCrash = (error: unknown): boolean =>
	isAppError(error) && ["SIGABRT", "SIGSEGV", "SIGBUS", "SIGILL"].includes(String(error.context.signal));

/** `error`: what `run` threw. */
export function cephError(error: unknown): AppError {
	if (!isAppError(error)) return new AppError("internal", "A program of Ceph could not be run.", { cause: error });
	const stderr = typeof error.context.stderr === "string" ? error.context.stderr : "";
	// A client whose key is not taken tries again until its time is over.
	if (error.code === "timeout" && !isRefused(stderr))
		return new AppError("timeout", "The Ceph cluster did not answer in time.", {
			...{ context: { ...error.context, errno: errno.timedOut }, cause: error },
		});
	if (error.code !== "internal" && error.code !== "timeout") return error;
	if (isCrash(error))
		return new AppError("storage", `The program ${error.context.program} of Ceph crashed (${error.context.signal}).`, {
			...{ context: error.context, cause: error },
		});
	const number = numberOf(error.context.program, error.context.exitCode, stderr);
	const options = { context: { ...error.context, errno: number }, cause: error };
	switch (number) {
		case 1:
		case errno.accessDenied:
			return new AppError("storage", deniedText(stderr), options);
		case errno.noEntry:
			return new AppError("storage", `Ceph finds something missing: ${said(stderr)}.`, options);
		case errno.busy:
		case errno.notEmpty:
			return new AppError("in-use", `Something still uses this in the Ceph cluster: ${said(stderr)}.`, options);
		case errno.exists:
			return new AppError("already-exists", `It exists in the Ceph cluster already: ${said(stderr)}.`, options);
		case errno.noSpace:
		case errno.quota:
			return new AppError("no-space", "There is no space left in the Ceph pool, or its quota is reached.", options);
		case errno.shutdown:
			return new AppError("storage", "The Ceph cluster has shut this node out (blocklisted).", options);
		case errno.timedOut:
			return new AppError("timeout", "The Ceph cluster did not answer in time.", options);
		default:
			return new AppError("storage", `Ceph refused an operation: ${said(stderr)}.`, options);
	}
}

function numberOf(program: unknown, exitCode: unknown, stderr: string): number | null {
	// The rados program ends with 1 whatever happened, and says of a lost connection only what it wanted then.
	if (isRefused(stderr) || /permission denied|access denied/i.test(stderr)) return errno.accessDenied;
	if (/failed to fetch mon config|timed out/i.test(stderr)) return errno.timedOut;
	// `rbd rm` in a full pool says at last, and by its exit code, that something is missing.
	const full = /\((28|122)\) (No space left|Disk quota exceeded)/.exec(stderr)?.[1];
	if (full !== undefined) return Number(full);
	const written = [...stderr.matchAll(/\((\d{1,3})\) /g)].at(-1)?.[1] ?? /errno (\d{1,3})/.exec(stderr)?.[1];
	if (written !== undefined) return Number(written);
	return program === "rbd" && typeof exitCode === "number" ? exitCode : null;
}

const isRefused = (stderr: string): boolean => stderr.includes("handle_auth_bad_method");

const deniedText = (stderr: string): string =>
	/handle_auth_bad_method|couldn't connect|error connecting/i.test(stderr)
		? "The Ceph cluster refuses the user or the key."
		: "The Ceph user may not do this: it needs the profile rbd for the pool (and its namespace).";

/** The last line that a person can use, without the time and the thread that the libraries write before theirs. */
function said(stderr: string): string {
	const lines = stderr
		.split(/[\r\n]/)
		.map((line) => line.replace(/^\d{4}-\d{2}-\d{2}T\S+ [0-9a-f]+ +-?\d+ /, "").trim())
		.filter((line) => line !== "" && !/complete\.\.\./.test(line));
	return (lines.at(-1) ?? "no message").replace(/[.\s]+$/, "").slice(0, 300);
}
