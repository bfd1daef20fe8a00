/** Drivers know volumes by their ids, people by their names. */
import { AppError, isAppError } from "../lib/errors.ts";

const ids = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** With the name of each volume that has a record in the place of its id; what is no `in-use` is as it came. */
export function withVolumeNames(error: unknown, nameOf: (id: string) => string | undefined): unknown {
	if (!isAppError(error, "in-use")) return error;
	const message = error.message.replace(ids, (id) => nameOf(id) ?? id);
	return new AppError("in-use", message, { context: error.context, cause: error });
}
