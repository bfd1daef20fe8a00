/** What a VM is: spec (what a person wants), status (what its node sees). See product.md's words for the states. */
import { type Static, Type } from "@sinclair/typebox";
import { GiB, MiB, TiB } from "../lib/units.ts";
import {
	Bytes,
	Description,
	ErrorInfoSchema,
	Id,
	Metadata,
	Name,
	Nullable,
	NullableTimestamp,
	PageOf,
	Strict,
	StringEnum,
	Tags,
	Timestamp,
} from "./schema.ts";
import { maxDiskBytes, WantedProvisioning } from "./storage.ts";

export const powerStates = [
	"stopped",
	"starting",
	"running",
	"paused",
	"stopping",
	"migrating",
	"failed",
	"unknown",
] as const;
export const PowerState = StringEnum(powerStates, { $id: "PowerState" });
export type PowerState = (typeof powerStates)[number];

/** What a person wants the VM to be; the node converges on it. */
export const DesiredPower = StringEnum(["running", "paused", "stopped"] as const);
export type DesiredPower = Static<typeof DesiredPower>;

export const Firmware = StringEnum(["bios", "uefi", "uefi-secure-boot"] as const);
export type Firmware = Static<typeof Firmware>;

export const CpuSpec = Strict(
	{
		vcpus: Type.Integer({ minimum: 1, maximum: 512 }),
		maxVcpus: Type.Integer({ minimum: 1, maximum: 512, description: "Set at start; hot-plug goes up to it" }),
		model: StringEnum(["portable", "host"] as const, {
			description:
				"portable: a named baseline model, so that migration stays possible; host: all of this host's features",
		}),
	},
	{ $id: "CpuSpec" },
);

export const MemorySpec = Strict(
	{
		sizeBytes: Bytes({ minimum: 32 * MiB, maximum: 16 * TiB }),
		maxSizeBytes: Bytes({ minimum: 32 * MiB, maximum: 16 * TiB, description: "Hot-plug goes up to it" }),
	},
	{ $id: "MemorySpec" },
);

/** Device ids are chosen by the API, stay for the device's life, and are the libvirt alias `ua-<id>`. */
export const DeviceId = Type.String({ pattern: "^[a-z][a-z0-9-]{0,31}$" });

const LimitOf = (description: string) =>
	Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description }));
/** What is missing is not limited. Written only when all members of the cluster have "storage-1". */
export const DiskIoLimits = Strict(
	{
		readBytesPerSecond: LimitOf("At most so many bytes read in a second"),
		writeBytesPerSecond: LimitOf("At most so many bytes written in a second"),
		readIops: LimitOf("At most so many reads in a second"),
		writeIops: LimitOf("At most so many writes in a second"),
	},
	{ $id: "DiskIoLimits", minProperties: 1 },
);
export type DiskIoLimits = Static<typeof DiskIoLimits>;

export const DiskSpec = Strict(
	{
		id: DeviceId,
		volumeId: Id,
		bus: StringEnum(["virtio", "scsi", "sata"] as const),
		cache: StringEnum(["none", "writeback", "writethrough"] as const),
		discard: Type.Boolean(),
		readOnly: Type.Boolean(),
		/** Absent: as much as it can. */
		limits: Type.Optional(Type.Ref(DiskIoLimits)),
	},
	{ $id: "DiskSpec" },
);
export type DiskSpec = Static<typeof DiskSpec>;

export const CdromSpec = Strict(
	{ id: DeviceId, imageId: Nullable(Id) },
	{ $id: "CdromSpec", description: "A CD-ROM drive; imageId null is an empty drive" },
);
export type CdromSpec = Static<typeof CdromSpec>;

/** Of one machine: neither a group's (IEEE 802, bit I/G) nor the one of zeroes, which libvirt refuses. */
export const macPattern = "^(?!00(:00){5}$)[0-9a-f][02468ace](:[0-9a-f]{2}){5}$";
export const NicSpec = Strict(
	{
		id: DeviceId,
		networkId: Id,
		mac: Type.String({ pattern: macPattern, description: "Unicast MAC address, lower case" }),
		model: StringEnum(["virtio", "e1000e"] as const),
		linkUp: Type.Boolean(),
	},
	{ $id: "NicSpec" },
);
export type NicSpec = Static<typeof NicSpec>;

const CloudInitUser = Strict({
	name: Type.String({ pattern: "^[a-z_][a-z0-9_-]{0,31}$" }),
	sshKeys: Type.Array(Type.String({ maxLength: 16384, pattern: "^[^\\r\\n\\u0000]+$" }), { maxItems: 64 }),
	passwordHash: Nullable(
		Type.String({
			maxLength: 512,
			pattern: "^\\$[0-9a-z]+\\$[^\\s:]+$",
			description: "crypt(3) form, for example $6$…",
		}),
	),
	sudo: Type.Boolean(),
});
export const CloudInitSpec = Type.Union(
	[
		Strict({
			kind: Type.Literal("form"),
			hostname: Nullable(Type.String({ pattern: "^[A-Za-z0-9]([A-Za-z0-9-]{0,62})$", maxLength: 63 })),
			users: Type.Array(CloudInitUser, { maxItems: 32 }),
			packages: Type.Array(Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9.+:_-]{0,127}$" }), { maxItems: 256 }),
			network: Nullable(
				Strict({
					dhcp4: Type.Boolean(),
					addresses: Type.Array(Type.String({ pattern: "^[0-9a-fA-F.:]+/[0-9]{1,3}$" }), { maxItems: 16 }),
					gateway4: Nullable(Type.String({ pattern: "^[0-9.]{7,15}$" })),
					nameservers: Type.Array(Type.String({ pattern: "^[0-9a-fA-F.:]{2,45}$" }), { maxItems: 8 }),
				}),
			),
		}),
		Strict({
			kind: Type.Literal("raw"),
			userData: Type.String({ maxLength: 512 * 1024 }),
			metaData: Nullable(Type.String({ maxLength: 64 * 1024 })),
			networkConfig: Nullable(Type.String({ maxLength: 64 * 1024 })),
		}),
	],
	{ $id: "CloudInitSpec" },
);
export type CloudInitSpec = Static<typeof CloudInitSpec>;

export const AutostartSpec = Strict(
	{
		enabled: Type.Boolean(),
		order: Type.Integer({ minimum: 0, maximum: 9999, description: "Lower starts first" }),
		delayMs: Type.Integer({ minimum: 0, maximum: 3_600_000, description: "Wait after this VM before the next" }),
	},
	{ $id: "AutostartSpec" },
);

export const VmSpec = Strict(
	{
		firmware: Firmware,
		tpm: Type.Boolean(),
		cpu: CpuSpec,
		memory: MemorySpec,
		disks: Type.Array(DiskSpec, { maxItems: 64 }),
		cdroms: Type.Array(CdromSpec, { maxItems: 4 }),
		nics: Type.Array(NicSpec, { maxItems: 16 }),
		bootOrder: Type.Array(DeviceId, { maxItems: 84, description: "Device ids, first boots first" }),
		cloudInit: Nullable(CloudInitSpec),
		autostart: AutostartSpec,
		shutdownTimeoutMs: Type.Integer({
			minimum: 1000,
			maximum: 3_600_000,
			description: "How long a shut-down may take before it is escalated to a stop",
		}),
	},
	{ $id: "VmSpec" },
);
export type VmSpec = Static<typeof VmSpec>;

export const VmDifference = Strict(
	{
		field: Type.String(),
		wanted: Type.String(),
		found: Type.String(),
		repair: StringEnum(["automatic", "next-start", "manual"] as const),
	},
	{ $id: "VmDifference", description: "What the node found to differ from the spec" },
);
export type VmDifference = Static<typeof VmDifference>;

export const VmStatus = Strict(
	{
		powerState: PowerState,
		/** Why it is in this state, for people; null when there is nothing to say. */
		reason: Nullable(Type.String()),
		/** Generation of the spec that the node has acted on. */
		observedGeneration: Type.Integer({ minimum: 0 }),
		/** True while a change of the spec waits for the next start. */
		pendingRestart: Type.Boolean(),
		differences: Type.Array(VmDifference),
		accelerator: Nullable(StringEnum(["kvm", "tcg"] as const)),
		startedAt: NullableTimestamp,
		addresses: Type.Array(Strict({ nicId: Nullable(Type.String()), mac: Type.String(), address: Type.String() })),
		/** The task that owns the VM now, if any. */
		taskId: Nullable(Id),
		/** The last error of the node with this VM; null once an operation succeeds. */
		error: Nullable(ErrorInfoSchema),
		updatedAt: Timestamp,
	},
	{ $id: "VmStatus" },
);
export type VmStatus = Static<typeof VmStatus>;

export const Vm = Strict(
	{
		...Metadata,
		name: Name,
		description: Description,
		tags: Tags,
		nodeId: Id,
		spec: VmSpec,
		desiredPower: DesiredPower,
		/** True from the acceptance of a delete until its last step. */
		deleting: Type.Boolean(),
		/** Those nodes say so of themselves. Absent: none. */
		alsoRunsOn: Type.Optional(
			Type.Array(Id, {
				maxItems: 64,
				description:
					"Nodes on which it runs although it is not theirs any more: it has to be shut down there, on the host",
			}),
		),
		status: VmStatus,
	},
	{ $id: "Vm" },
);
export type Vm = Static<typeof Vm>;
export const VmPage = PageOf(Type.Ref(Vm), "VmPage");

/** Body of `POST /v1/vms`. Only `name` is required; the rest has defaults (see vm-defaults.ts). */
export const VmCreate = Strict(
	{
		name: Name,
		description: Type.Optional(Description),
		tags: Type.Optional(Tags),
		nodeId: Type.Optional(Id),
		firmware: Type.Optional(Firmware),
		tpm: Type.Optional(Type.Boolean()),
		vcpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 512 })),
		maxVcpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 512 })),
		cpuModel: Type.Optional(StringEnum(["portable", "host"] as const)),
		memoryBytes: Type.Optional(Bytes({ minimum: 32 * MiB, maximum: 16 * TiB })),
		maxMemoryBytes: Type.Optional(Bytes({ minimum: 32 * MiB, maximum: 16 * TiB })),
		disks: Type.Optional(
			Type.Array(
				Strict({
					/** Copy of this image (copy-on-write unless fullCopy); else empty; or an existing volume. */
					imageId: Type.Optional(Id),
					volumeId: Type.Optional(Id),
					sizeBytes: Type.Optional(Bytes({ minimum: MiB, maximum: maxDiskBytes })),
					poolId: Type.Optional(Id),
					format: Type.Optional(StringEnum(["qcow2", "raw"] as const)),
					fullCopy: Type.Optional(Type.Boolean()),
					provisioning: WantedProvisioning,
					bus: Type.Optional(DiskSpec.properties.bus),
					cache: Type.Optional({
						...DiskSpec.properties.cache,
						description: "Default: writeback in a Ceph pool, else none",
					}),
					discard: Type.Optional(Type.Boolean({ description: "Default: true" })),
					readOnly: Type.Optional(Type.Boolean({ description: "Default: false" })),
					limits: Type.Optional(Type.Ref(DiskIoLimits)),
				}),
				{ maxItems: 64 },
			),
		),
		cdroms: Type.Optional(Type.Array(Strict({ imageId: Nullable(Id) }), { maxItems: 4 })),
		nics: Type.Optional(
			Type.Array(
				Strict({
					networkId: Type.Optional(Id),
					mac: Type.Optional(Type.String({ pattern: macPattern })),
					model: Type.Optional(StringEnum(["virtio", "e1000e"] as const)),
				}),
				{ maxItems: 16 },
			),
		),
		cloudInit: Type.Optional(Nullable(CloudInitSpec)),
		autostart: Type.Optional(AutostartSpec),
		shutdownTimeoutMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 3_600_000 })),
		start: Type.Optional(Type.Boolean({ description: "Start it once it is made (default true)" })),
	},
	{ $id: "VmCreate" },
);
export type VmCreate = Static<typeof VmCreate>;

/** Body of `PATCH /v1/vms/{id}` (JSON Merge Patch of these members; arrays are replaced whole). */
export const VmUpdate = Strict(
	{
		name: Type.Optional(Name),
		description: Type.Optional(Description),
		tags: Type.Optional(Tags),
		firmware: Type.Optional(Firmware),
		tpm: Type.Optional(Type.Boolean()),
		vcpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 512 })),
		maxVcpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 512 })),
		cpuModel: Type.Optional(StringEnum(["portable", "host"] as const)),
		memoryBytes: Type.Optional(Bytes({ minimum: 32 * MiB, maximum: 16 * TiB })),
		maxMemoryBytes: Type.Optional(Bytes({ minimum: 32 * MiB, maximum: 16 * TiB })),
		disks: Type.Optional(Type.Array(Type.Ref(DiskSpec), { maxItems: 64 })),
		cdroms: Type.Optional(Type.Array(Type.Ref(CdromSpec), { maxItems: 4 })),
		nics: Type.Optional(Type.Array(Type.Ref(NicSpec), { maxItems: 16 })),
		bootOrder: Type.Optional(Type.Array(DeviceId, { maxItems: 84 })),
		cloudInit: Type.Optional(Nullable(CloudInitSpec)),
		autostart: Type.Optional(AutostartSpec),
		shutdownTimeoutMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 3_600_000 })),
	},
	{ $id: "VmUpdate", minProperties: 1 },
);
export type VmUpdate = Static<typeof VmUpdate>;

/** A domain that exists in libvirt of a node and is no VM of that node. */
export const ForeignVm = Strict(
	{
		id: Type.String({ description: "libvirt UUID" }),
		name: Type.String(),
		nodeId: Id,
		powerState: PowerState,
		vcpus: Type.Integer(),
		memoryBytes: Bytes(),
		obstacles: Type.Array(Type.String(), { description: "Why it cannot be adopted; empty when it can" }),
		changes: Type.Array(Type.String(), {
			description: "What adopting it makes different about it, most of it from its next start",
		}),
	},
	{ $id: "ForeignVm" },
);
export type ForeignVm = Static<typeof ForeignVm>;

export const defaultMemoryBytes = 2 * GiB;
export const defaultVcpus = 2;
export const defaultShutdownTimeoutMs = 120_000;
