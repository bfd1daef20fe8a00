/** Snapshots of VMs: what all disks of a VM held at one moment, together with its UEFI variables and its TPM. */
import { type Static, Type } from "@sinclair/typebox";
import {
	Bytes,
	Description,
	ErrorInfoSchema,
	Id,
	Metadata,
	Name,
	Nullable,
	PageOf,
	Strict,
	StringEnum,
} from "./schema.ts";

/**
 * creating: its VM's node takes it. reverting: the VM is being set back to it, and some of its disks may be already. A snapshot in
 * phase error was not taken; what there is of it goes when it is deleted.
 */
export const snapshotPhases = ["creating", "ready", "reverting", "deleting", "error"] as const;

/**
 * crash: as after a power cut. filesystem: the guest had written out its file systems. application: its services had prepared for
 * it, too.
 */
export const SnapshotConsistency = StringEnum(["crash", "filesystem", "application"] as const);

export const SnapshotDisk = Strict(
	{
		/** In the VM's spec, as it was. */
		diskId: Type.String({ minLength: 1, maxLength: 64 }),
		volumeId: Id,
		sizeBytes: Bytes({ description: "What the guest saw" }),
	},
	{ $id: "SnapshotDisk" },
);
export type SnapshotDisk = Static<typeof SnapshotDisk>;

export const Snapshot = Strict(
	{
		...Metadata,
		/** Unique in its VM. */
		name: Name,
		description: Description,
		vmId: Id,
		/** The snapshot that the VM was at when this one was taken. */
		parentId: Nullable(Id),
		/** The disks of the VM descend from this one. One of a VM is, once there is one that is ready. */
		current: Type.Boolean(),
		phase: StringEnum(snapshotPhases),
		/** What the VM was when it was taken; null until it is. */
		powerState: Nullable(StringEnum(["running", "paused", "stopped"] as const)),
		/** As reached. */
		consistency: SnapshotConsistency,
		disks: Type.Array(Type.Ref(SnapshotDisk)),
		error: Nullable(ErrorInfoSchema),
	},
	{ $id: "Snapshot" },
);
export type Snapshot = Static<typeof Snapshot>;
export const SnapshotPage = PageOf(Type.Ref(Snapshot), "SnapshotPage");

export const SnapshotCreate = Strict(
	{ name: Name, description: Type.Optional(Description) },
	{ $id: "SnapshotCreate" },
);
export const SnapshotUpdate = Strict(
	{ name: Type.Optional(Name), description: Type.Optional(Description) },
	{ $id: "SnapshotUpdate", minProperties: 1 },
);
