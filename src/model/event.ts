/** Events: what changed, in the order in which it was applied. */
import { type Static, Type } from "@sinclair/typebox";
import { Nullable, ResourceRef, Strict, StringEnum, Timestamp } from "./schema.ts";

/**
 * `id` is "<applied index>.<position within it>" and orders all events. `object` is the object after the change (as
 * the API shows it), or null when it is gone; secrets are never in it.
 */
export const Event = Strict(
	{
		id: Type.String({ pattern: "^\\d+\\.\\d+$" }),
		time: Timestamp,
		type: StringEnum(["created", "updated", "deleted"] as const),
		target: ResourceRef,
		object: Nullable(Type.Unknown()),
	},
	{ $id: "Event" },
);
export type Event = Omit<Static<typeof Event>, "object"> & { object: unknown };
