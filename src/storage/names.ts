/** Ids that name files, and sizes that reach a command line: checked again here, whoever called. */
import { AppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import { formatBytes } from "../lib/units.ts";
import { maxDiskBytes } from "../model/storage.ts";

/** Disks are counted in sectors of this size by every guest; sizes are rounded up to it. */
export const sectorBytes = 512;

/** Fails with `invalid` unless `id` is a UUID in lower case: nothing else becomes part of a path. */
export function requireId(id: string, what: "pool" | "volume" | "image" | "snapshot"): void {
	if (typeof id !== "string" || !isUuid(id)) throw new AppError("invalid", `This is not the id of a ${what}.`);
}

/** The size rounded up to whole sectors; `invalid` when it is not a positive whole number or more than `maxBytes`. */
export function diskSize(sizeBytes: number, maxBytes = maxDiskBytes): number {
	if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0)
		throw new AppError("invalid", "The size of a disk is a whole number of bytes, more than 0.");
	if (sizeBytes > maxBytes)
		throw new AppError("invalid", `A disk of ${formatBytes(sizeBytes)} is over the limit of ${formatBytes(maxBytes)}.`);
	return Math.ceil(sizeBytes / sectorBytes) * sectorBytes;
}
