/** System errors of file operations as AppError, in words for people. */
import { AppError, isAppError } from "../lib/errors.ts";

export function errnoOf(error: unknown): string | null {
	return error instanceof Error && "code" in error && typeof error.code === "string" && !isAppError(error)
		? error.code
		: null;
}

/** `what` names the operation: "writing the volume". AppErrors pass unchanged. */
export function fileError(error: unknown, what: string): AppError {
	if (error instanceof AppError) return error;
	const code = errnoOf(error);
	switch (code) {
		case "ENOSPC":
		case "EDQUOT":
			return new AppError("no-space", `There is no space left in the storage pool (${what}).`, { cause: error });
		case "EFBIG":
			return new AppError("no-space", `The pool's file system cannot hold a file of this size (${what}).`, {
				cause: error,
			});
		case null:
			return new AppError("internal", `Unexpected failure (${what}).`, { cause: error });
		default:
			return new AppError("storage", `The storage pool refused an operation (${what}): ${words(code)}.`, {
				cause: error,
				context: { errno: code },
			});
	}
}

function words(code: string): string {
	switch (code) {
		case "ENOENT":
			return "a file or folder is missing";
		case "EACCES":
		case "EPERM":
			return "permission denied";
		case "EROFS":
			return "the file system is read-only";
		case "EIO":
			return "input/output error of the device";
		case "ESTALE":
			return "the server does not know this folder any more (stale handle)";
		case "EEXIST":
		case "ENOTEMPTY":
			return "a file is in the way";
		default:
			return code;
	}
}

export const isFull = (error: unknown): boolean => ["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "");

/** Runs `work`; what it throws becomes an AppError. */
export async function withFileErrors<T>(what: string, work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		throw fileError(error, what);
	}
}
