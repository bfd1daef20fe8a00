/** What a pool has and no record names, and the other way round: as the API tells it. No document of the state. */
import { type Static, Type } from "@sinclair/typebox";
import { Bytes, Id, Name, Nullable, Strict, StringEnum } from "./schema.ts";
import { ImageFormat } from "./storage.ts";

export const PoolOrphan = Strict(
	{
		/** Whose part of the pool, or who has looked. */
		nodeId: Id,
		kind: StringEnum(["volume", "image"] as const),
		id: Id,
		found: StringEnum(["no-record", "no-content"] as const, {
			description: "Content that no record names, or a record whose content is missing or damaged",
		}),
		/** Of the record. */
		name: Nullable(Type.String()),
		format: Nullable(ImageFormat),
		sizeBytes: Nullable(Bytes()),
		allocatedBytes: Nullable(Bytes()),
		/** What is wrong with the content of a record. */
		reason: Nullable(Type.String()),
		snapshots: Type.Optional(
			Type.Integer({ minimum: 1, description: "Of a volume: how many snapshots it has that are in no record" }),
		),
	},
	{ $id: "PoolOrphan" },
);
export type PoolOrphan = Static<typeof PoolOrphan>;
const OrphanIds = Type.Array(Id, { maxItems: 1000, uniqueItems: true });
export const PoolOrphanDelete = Strict({ volumeIds: OrphanIds, imageIds: OrphanIds }, { $id: "PoolOrphanDelete" });
export type PoolOrphanDelete = Static<typeof PoolOrphanDelete>;
export const PoolOrphanAdopt = Strict(
	{
		volumeId: Id,
		name: Name,
		snapshots: Type.Optional(
			StringEnum(["delete", "keep"] as const, {
				description:
					"What becomes of snapshots of it that are in no record; has to be said when there are some. Kept, nobody can go back to them or delete them, and the volume does not move",
			}),
		),
	},
	{ $id: "PoolOrphanAdopt" },
);

/** Of a volume that is adopted. */
export const SnapshotsToGo = Type.Array(Id, { minItems: 1, maxItems: 1000, uniqueItems: true });
