/** What a driver says of the things in its pool (StorageDriver.listContent), and what all drivers do alike. */
import { AppError } from "../lib/errors.ts";
import { folderParts, type PoolContentEntry } from "../model/pool-content.ts";

/** `volumeId` of a snapshot only. */
export type ContentOwner =
	| { kind: "volume" | "image" | "upload" | "pool"; id: string; volumeId: null }
	| { kind: "snapshot"; id: string; volumeId: string };

/** `belongsTo` null: nobody's, as far as the pool's own records and names say. */
export type ContentEntry = Omit<PoolContentEntry, "belongsTo"> & { belongsTo: ContentOwner | null };
/** Folders first, each by name. `truncated`: there is more. Which of them are here is up to the pool then. */
export type ContentListing = { entries: ContentEntry[]; truncated: boolean };
export type ContentOptions = {
	/** Default and most: `maxContentEntries`. */
	maxEntries?: number;
	signal?: AbortSignal;
};

/** About 3 MiB of an answer. */
export const maxContentEntries = 10_000;

export const entryLimit = ({ maxEntries = maxContentEntries }: ContentOptions): number =>
	Math.min(maxEntries, maxContentEntries);

export const ownedBy = (kind: "volume" | "image" | "upload" | "pool", id: string): ContentOwner => ({
	...{ kind, id, volumeId: null },
});
export const snapshotOwner = (id: string, volumeId: string): ContentOwner => ({ kind: "snapshot", id, volumeId });

/** Of a name that a program gave as text. */
export const entryNamed = (
	name: string,
	kind: ContentEntry["kind"],
	about: Partial<Omit<ContentEntry, "name" | "kind">> = {},
): ContentEntry => ({
	...{ name, nameIsExact: true, kind, sizeBytes: null, allocatedBytes: null, modifiedAt: null, belongsTo: null },
	...about,
});

/** `entries` may be more than the limit. */
export function listing(entries: ContentEntry[], options: ContentOptions, more = false): ContentListing {
	const limit = entryLimit(options);
	const sorted = entries.sort(
		(a, b) => Number(b.kind === "folder") - Number(a.kind === "folder") || (a.name < b.name ? -1 : 1),
	);
	return { entries: sorted.slice(0, limit), truncated: more || sorted.length > limit };
}

/** For pools whose things lie side by side. */
export function requireTop(folder: string): void {
	if (folderParts(folder).length > 0) throw noSuchFolder();
}

export const noSuchFolder = (cause?: unknown): AppError =>
	new AppError("not-found", "There is no such folder in the pool.", cause === undefined ? {} : { cause });
