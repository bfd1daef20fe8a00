/** What really lies in a storage pool, thing by thing, as a person who looks into it sees it. */
import { type Static, Type } from "@sinclair/typebox";
import { AppError } from "../lib/errors.ts";
import { Bytes, Id, Nullable, NullableTimestamp, Strict, StringEnum } from "./schema.ts";

/** `other`: links, sockets, devices. They are shown and never followed. */
export const contentKinds = ["folder", "file", "image", "snapshot", "logical-volume", "other"] as const;
/** `pool`: marks and unfinished work of the pool itself. */
export const contentOwnerKinds = ["volume", "image", "snapshot", "upload", "pool"] as const;

export const PoolContentEntry = Strict(
	{
		name: Type.String({ description: "Bytes that are no UTF-8 are shown as U+FFFD" }),
		nameIsExact: Type.Boolean({ description: "False when something of the name cannot be shown: it cannot be opened" }),
		kind: StringEnum(contentKinds, { description: "image and snapshot: of RBD; other: links, sockets, devices" }),
		sizeBytes: Nullable(
			Bytes({ description: "Of a disk of ours what its guest sees, of anything else what its reader sees" }),
		),
		allocatedBytes: Nullable(Bytes({ description: "What it takes up; null when the pool cannot tell" })),
		modifiedAt: NullableTimestamp,
		belongsTo: Nullable(
			Strict({
				kind: StringEnum(contentOwnerKinds, {
					description: "upload: of an image; pool: its marks, and work in progress",
				}),
				id: Id,
				volumeId: Nullable({ ...Id, description: "Of a snapshot: whose" }),
				name: Nullable(Type.String({ description: "In the record; null when there is none" })),
				recorded: Type.Boolean({ description: "A record says that it is in this part of this pool" }),
			}),
		),
	},
	{ $id: "PoolContentEntry" },
);
export type PoolContentEntry = Static<typeof PoolContentEntry>;

export const PoolContent = Strict(
	{
		/** Whose part of the pool, or who has looked. */
		nodeId: Id,
		folder: Type.String(),
		items: Type.Array(Type.Ref(PoolContentEntry)),
		truncated: Type.Boolean({ description: "There is more: only the first that were found are here" }),
	},
	{ $id: "PoolContent" },
);
export type PoolContent = Static<typeof PoolContent>;

/** As the kernel limits a path and each of its names. */
const [maxFolderBytes, maxNameBytes] = [4096, 255];
const byteLength = (text: string): number => new TextEncoder().encode(text).length;

/** The names on the way to a folder of a pool; none for its top. `invalid` for all that could lead out of the pool. */
export function folderParts(folder: string): string[] {
	if (folder === "") return [];
	const parts = folder.split("/");
	const unfit = (part: string) =>
		["", ".", ".."].includes(part) || part.includes("\0") || byteLength(part) > maxNameBytes;
	if (folder.isWellFormed() && byteLength(folder) < maxFolderBytes && !parts.some(unfit)) return parts;
	throw new AppError("invalid", "This is no folder of a pool: names below its top, with '/' between them, are one.", {
		fields: [{ path: "?folder", message: "is no folder of a pool" }],
	});
}
