/** Storage pools, volumes and images. */
import { type Static, Type } from "@sinclair/typebox";
import { MiB, TiB } from "../lib/units.ts";
import { CephRbdPoolConfig, IscsiLvmPoolConfig, NfsPoolConfig, PoolConfig, PoolCredentials } from "./pool-config.ts";
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
	Tags,
	Timestamp,
} from "./schema.ts";

/** What every driver can make: qcow2 ends there. */
export const maxDiskBytes = 64 * TiB;

export const PoolType = StringEnum(["local", "nfs", "ceph-rbd", "iscsi-lvm"] as const, { $id: "PoolType" });
export type PoolType = Static<typeof PoolType>;
export const PoolHealth = StringEnum(["healthy", "degraded", "error", "unmounted"] as const);

/** thin: a volume takes space as it is written to. thick: it has all of its space from the beginning, and keeps it. */
export const Provisioning = StringEnum(["thin", "thick"] as const);
export type Provisioning = Static<typeof Provisioning>;

/** What a driver can do, for API and UI to follow. `reasons` says why something is off, by capability name. */
export const PoolCapabilities = Strict(
	{
		formats: Type.Array(StringEnum(["qcow2", "raw"] as const)),
		/** Written only when all members of the cluster have "thick-1"; absent: as the pool's type has it. */
		provisioning: Type.Optional(Type.Array(Provisioning, { description: "The usual way first" })),
		copyOnWriteClone: Type.Boolean(),
		fullClone: Type.Boolean(),
		resizeOnline: Type.Boolean(),
		shrink: Type.Boolean(),
		snapshots: Type.Boolean(),
		images: Type.Boolean(),
		shared: Type.Boolean({ description: "The same volumes are reachable from every node" }),
		reasons: Type.Record(Type.String(), Type.String()),
	},
	{ $id: "PoolCapabilities" },
);
export type PoolCapabilities = Static<typeof PoolCapabilities>;

export const PoolNodeStatus = Strict(
	{
		nodeId: Id,
		health: PoolHealth,
		reason: Nullable(Type.String()),
		totalBytes: Nullable(Bytes()),
		usedBytes: Nullable(Bytes()),
		availableBytes: Nullable(Bytes()),
		capabilities: Nullable(Type.Ref(PoolCapabilities)),
		updatedAt: Timestamp,
	},
	{ $id: "PoolNodeStatus" },
);
export type PoolNodeStatus = Static<typeof PoolNodeStatus>;

export const Pool = Strict(
	{
		...Metadata,
		name: Name,
		description: Description,
		type: PoolType,
		/** That of its type. Credentials are no part of it. */
		config: PoolConfig,
		nodeIds: Type.Array(Id),
		phase: StringEnum(["pending", "ready", "degraded", "error", "deleting"] as const),
		nodes: Type.Array(Type.Ref(PoolNodeStatus)),
	},
	{ $id: "Pool" },
);
export type Pool = Static<typeof Pool>;
export const PoolPage = PageOf(Type.Ref(Pool), "PoolPage");

/** What a LUN holds has a name ("ext4", "LVM2_member of group data"); who wants it gone says that name. */
const Overwrite = Type.Array(Type.String({ minLength: 1, maxLength: 200 }), {
	maxItems: 16,
	description:
		"Names of what may be on the LUN of a pool of type iscsi-lvm, and is destroyed: as poolProbe says them in found. Anything else there is an error",
});

export const PoolCreate = Strict(
	{
		name: Name,
		description: Type.Optional(Description),
		type: Type.Ref(PoolType),
		config: PoolConfig,
		credentials: Type.Optional(Type.Ref(PoolCredentials)),
		nodeIds: Type.Optional(
			Type.Array(Id, {
				maxItems: 64,
				description: "Default: the node that is asked for a local pool, else all that run VMs",
			}),
		),
		overwrite: Type.Optional(Overwrite),
	},
	{ $id: "PoolCreate" },
);
export type PoolCreate = Static<typeof PoolCreate>;
export const PoolUpdate = Strict(
	{
		name: Type.Optional(Name),
		description: Type.Optional(Description),
		config: Type.Optional(PoolConfig),
		credentials: Type.Optional(Type.Ref(PoolCredentials)),
		nodeIds: Type.Optional(Type.Array(Id, { maxItems: 64 })),
	},
	{ $id: "PoolUpdate", minProperties: 1 },
);
/**
 * `poolId`: of a pool that is there already and is to be changed; its own credentials are used unless there are others, at its own
 * monitors or portals.
 */
export const PoolProbe = Strict(
	{
		poolId: Type.Optional(Id),
		type: Type.Ref(PoolType),
		config: PoolConfig,
		credentials: Type.Optional(Type.Ref(PoolCredentials)),
		nodeIds: Type.Optional(Type.Array(Id, { maxItems: 64 })),
		overwrite: Type.Optional(Overwrite),
	},
	{ $id: "PoolProbe" },
);
export const PoolProbed = Strict(
	{
		nodes: Type.Array(
			Strict({
				nodeId: Id,
				ok: Type.Boolean(),
				totalBytes: Nullable(Bytes()),
				availableBytes: Nullable(Bytes()),
				error: Nullable(ErrorInfoSchema),
				found: Type.Optional(
					Type.Array(Type.String(), {
						description: "Names of what is there and in the way; see overwrite of PoolCreate",
					}),
				),
			}),
		),
	},
	{ $id: "PoolProbed" },
);
/**
 * What a server offers, for a pool that is to be made, or for one that is there (`poolId`: its own credentials are used unless there are
 * others, at its own monitors or portals). `target` null: the targets, else what is behind that one.
 */
export const PoolDiscover = Type.Union(
	[
		Strict({ type: Type.Literal("nfs"), server: NfsPoolConfig.properties.server }),
		Strict({
			type: Type.Literal("ceph-rbd"),
			poolId: Type.Optional(Id),
			monitors: CephRbdPoolConfig.properties.monitors,
			user: CephRbdPoolConfig.properties.user,
			credentials: Type.Optional(Type.Ref(PoolCredentials)),
		}),
		Strict({
			type: Type.Literal("iscsi-lvm"),
			poolId: Type.Optional(Id),
			portals: IscsiLvmPoolConfig.properties.portals,
			target: Nullable(IscsiLvmPoolConfig.properties.target),
			chapUser: IscsiLvmPoolConfig.properties.chapUser,
			mutualChapUser: IscsiLvmPoolConfig.properties.mutualChapUser,
			credentials: Type.Optional(Type.Ref(PoolCredentials)),
		}),
	],
	{ $id: "PoolDiscover" },
);
export type PoolDiscover = Static<typeof PoolDiscover>;
/** Lists of what was not asked for are empty. */
export const PoolDiscovered = Strict(
	{
		exports: Type.Array(
			Strict({ path: Type.String(), clients: Type.Array(Type.String(), { description: "Who may mount it" }) }),
		),
		cephPools: Type.Array(
			Strict({
				name: Type.String(),
				namespaces: Type.Array(Type.String()),
				erasureCoded: Type.Boolean({ description: "It takes the data of disks only: for `dataPool`" }),
			}),
		),
		targets: Type.Array(Strict({ name: Type.String(), portals: Type.Array(Type.String()) })),
		luns: Type.Array(
			Strict({
				wwid: Type.String(),
				lun: Type.Integer({ minimum: 0 }),
				sizeBytes: Bytes(),
				vendor: Type.String(),
				model: Type.String(),
				/** Null: it is empty. Else a name of what is there, as a person would call it. */
				content: Nullable(Type.String()),
			}),
		),
	},
	{ $id: "PoolDiscovered" },
);
export type PoolDiscovered = Static<typeof PoolDiscovered>;
export type PoolProbeAnswer = Static<typeof PoolProbed>;
export type PoolProbeResult = PoolProbeAnswer["nodes"][number];
export type PoolUpdate = Static<typeof PoolUpdate>;

export const VolumeFormat = StringEnum(["qcow2", "raw"] as const);
export type VolumeFormat = Static<typeof VolumeFormat>;

export const VolumeSource = Type.Union(
	[
		Strict({ kind: Type.Literal("empty") }),
		Strict({ kind: Type.Literal("image"), imageId: Id, fullCopy: Type.Boolean() }),
		Strict({ kind: Type.Literal("clone"), volumeId: Id, fullCopy: Type.Boolean() }),
		/** Of a VM; `volumeId`: which of its disks, where it has several. Both optional members are in each volume that is made of one. */
		Strict({
			kind: Type.Literal("snapshot"),
			snapshotId: Id,
			volumeId: Type.Optional({ ...Id, description: "Which disk; can be left out when the snapshot has one" }),
			fullCopy: Type.Optional(Type.Boolean({ description: "Default: only where the pool cannot share data" })),
		}),
	],
	{ $id: "VolumeSource" },
);
export type VolumeSource = Static<typeof VolumeSource>;

export const Volume = Strict(
	{
		...Metadata,
		name: Name,
		poolId: Id,
		/** The node that holds it, for pools that are not shared; else null. */
		nodeId: Nullable(Id),
		format: VolumeFormat,
		sizeBytes: Bytes({ minimum: MiB, maximum: 1024 * TiB, description: "What the guest sees" }),
		allocatedBytes: Nullable(Bytes({ description: "What it takes in the pool; null while unknown" })),
		/** As it was asked for. Absent: as the pool makes its volumes. Written only when all members have "thick-1". */
		provisioning: Type.Optional(Provisioning),
		source: VolumeSource,
		phase: StringEnum(["pending", "creating", "ready", "resizing", "deleting", "error"] as const),
		/** The VM that it is attached to. */
		vmId: Nullable(Id),
		error: Nullable(ErrorInfoSchema),
	},
	{ $id: "Volume" },
);
export type Volume = Static<typeof Volume>;
export const VolumePage = PageOf(Type.Ref(Volume), "VolumePage");

export const WantedProvisioning = Type.Optional({
	...Provisioning,
	description:
		"thick: all of its space is set aside when it is made. Default: as the pool makes its volumes, which its capabilities say",
});
export const VolumeCreate = Strict(
	{
		name: Name,
		poolId: Type.Optional(Id),
		nodeId: Type.Optional(Id),
		format: Type.Optional(VolumeFormat),
		sizeBytes: Type.Optional(
			Bytes({ minimum: MiB, maximum: maxDiskBytes, description: "Default: the size of the source" }),
		),
		provisioning: WantedProvisioning,
		source: Type.Optional(VolumeSource),
	},
	{ $id: "VolumeCreate" },
);
export type VolumeCreate = Static<typeof VolumeCreate>;
export const VolumeUpdate = Strict({ name: Name }, { $id: "VolumeUpdate" });
export const VolumeResize = Strict(
	{ sizeBytes: Bytes({ minimum: MiB, maximum: maxDiskBytes }) },
	{ $id: "VolumeResize" },
);
export const VolumeClone = Strict(
	{
		name: Name,
		fullCopy: Type.Optional(Type.Boolean()),
		poolId: Type.Optional(Id),
		provisioning: WantedProvisioning,
	},
	{ $id: "VolumeClone" },
);
/** `nodeId`: where it is copied, for a volume that is on no node; the default is one that has both pools. */
export const VolumeMove = Strict(
	{ poolId: Id, nodeId: Type.Optional(Id), format: Type.Optional(VolumeFormat) },
	{ $id: "VolumeMove" },
);
export const VolumeCheck = Strict({ repair: Type.Optional(Type.Boolean()) }, { $id: "VolumeCheck" });

export const ImageFormat = StringEnum(["raw", "qcow2", "vmdk", "vhd", "iso", "ova"] as const);
export type ImageFormat = Static<typeof ImageFormat>;

export const ImageSource = Type.Union(
	[
		Strict({ kind: Type.Literal("upload") }),
		Strict({ kind: Type.Literal("path"), path: Type.String({ maxLength: 4096, pattern: "^/[^\\u0000]*$" }) }),
		Strict({ kind: Type.Literal("url"), url: Type.String({ maxLength: 4096, pattern: "^https?://[^\\s\\u0000]+$" }) }),
		Strict({ kind: Type.Literal("volume"), volumeId: Id }),
		/** Only with "image-copy-1". */
		Strict({ kind: Type.Literal("image"), imageId: Id }),
	],
	{ $id: "ImageSource" },
);
export type ImageSource = Static<typeof ImageSource>;

export const sha256Pattern = "^[0-9a-f]{64}$";
export const Image = Strict(
	{
		...Metadata,
		name: Name,
		description: Description,
		tags: Tags,
		/** qcow2, raw or iso: what we store. */
		format: ImageFormat,
		poolId: Id,
		nodeId: Nullable(Id),
		source: ImageSource,
		/** Bytes of the file; null until known. */
		fileSizeBytes: Nullable(Bytes()),
		/** Bytes of the disk that it holds (for iso: of the file); null until inspected. */
		virtualSizeBytes: Nullable(Bytes()),
		/** Given by whoever makes the image; import fails when it does not match. */
		expectedSha256: Nullable(Type.String({ pattern: sha256Pattern })),
		/** Of the file as it came; null until known. */
		sha256: Nullable(Type.String({ pattern: sha256Pattern })),
		phase: StringEnum(["uploading", "importing", "ready", "error", "deleting"] as const),
		/** Bytes received so far while phase is uploading or importing. */
		receivedBytes: Bytes(),
		error: Nullable(ErrorInfoSchema),
	},
	{ $id: "Image" },
);
export type Image = Static<typeof Image>;
export const ImagePage = PageOf(Type.Ref(Image), "ImagePage");

export const ImageCreate = Strict(
	{
		name: Name,
		description: Type.Optional(Description),
		tags: Type.Optional(Tags),
		format: Type.Optional(
			StringEnum(["qcow2", "raw", "iso"] as const, {
				description: "What the file is; only a copy of an image has that image's format by default",
			}),
		),
		poolId: Type.Optional(Id),
		nodeId: Type.Optional({
			...Id,
			description:
				"Where it lies, or is fetched from: default the node that is asked; a volume's own node; for a copy of an image one that reaches both",
		}),
		source: ImageSource,
		/** Required for uploads: the length of the file. */
		fileSizeBytes: Type.Optional(Bytes({ minimum: 1 })),
		sha256: Type.Optional(Type.String({ pattern: sha256Pattern })),
	},
	{ $id: "ImageCreate" },
);
export type ImageCreate = Static<typeof ImageCreate>;
export const ImageUpdate = Strict(
	{ name: Type.Optional(Name), description: Type.Optional(Description), tags: Type.Optional(Tags) },
	{ $id: "ImageUpdate", minProperties: 1 },
);
export type ImageUpdate = Static<typeof ImageUpdate>;
