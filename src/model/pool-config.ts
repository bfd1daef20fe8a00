/**
 * How a storage pool is reached, by its type, and the credentials that go with it. Credentials are no part of the pool's record: they
 * come in with a request, are sealed (store: kind poolSecret), and nothing gives them out again.
 */
import { type Static, Type } from "@sinclair/typebox";
import { Id, Nullable, Strict, StringEnum } from "./schema.ts";

const AbsolutePath = Type.String({ maxLength: 512, pattern: "^/[^\\u0000-\\u001f]*$" });
/** A host name, an IPv4 address, or an IPv6 address without brackets. */
const hostPattern = "^([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45})$";
const Host = Type.String({ maxLength: 253, pattern: hostPattern });
/** HOST, HOST:PORT or [IPV6]:PORT. */
const hostPortPattern =
	"^([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]{2,45}\\])(:[1-9][0-9]{0,4})?$";
const HostPort = Type.String({ maxLength: 261, pattern: hostPortPattern });

export const LocalPoolConfig = Strict({ path: AbsolutePath }, { $id: "LocalPoolConfig" });
export type LocalPoolConfig = Static<typeof LocalPoolConfig>;

export const NfsPoolConfig = Strict(
	{
		server: Host,
		/** As the server exports it. */
		exportPath: AbsolutePath,
		/** A folder below the export that holds the pool; several pools can share one export that way. Null: the export itself. */
		folder: Nullable(
			Type.String({ maxLength: 255, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$" }),
		),
		/** Null: the newest that both sides know. */
		version: Nullable(StringEnum(["3", "4.0", "4.1", "4.2"] as const)),
		/** As mount.nfs takes them, without those that we set; see storage/nfs/. */
		mountOptions: Type.Array(Type.String({ maxLength: 64, pattern: "^[a-z][a-z0-9_]*(=[A-Za-z0-9._:-]{1,40})?$" }), {
			maxItems: 16,
			uniqueItems: true,
		}),
	},
	{ $id: "NfsPoolConfig" },
);
export type NfsPoolConfig = Static<typeof NfsPoolConfig>;

/** Names in Ceph: no character that rbd or QEMU reads as a part of the syntax. */
const CephName = Type.String({ minLength: 1, maxLength: 64, pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]*$" });

export const CephRbdPoolConfig = Strict(
	{
		monitors: Type.Array(HostPort, { minItems: 1, maxItems: 16, uniqueItems: true }),
		/** Without "client.". */
		user: CephName,
		cephPool: CephName,
		/** Null: the default one. */
		namespace: Nullable(CephName),
		/** An erasure-coded pool for the data; the other one keeps what describes them. */
		dataPool: Nullable(CephName),
	},
	{ $id: "CephRbdPoolConfig" },
);
export type CephRbdPoolConfig = Static<typeof CephRbdPoolConfig>;

/** iSCSI names of RFC 3720: iqn., eui. and naa. */
const iscsiNamePattern =
	"^(iqn\\.[0-9]{4}-[0-9]{2}\\.[a-z0-9.-]{1,180}(:[a-z0-9.:-]{1,200})?|eui\\.[0-9A-Fa-f]{16}|naa\\.[0-9A-Fa-f]{16,32})$";

export const IscsiLvmPoolConfig = Strict(
	{
		portals: Type.Array(HostPort, { minItems: 1, maxItems: 8, uniqueItems: true }),
		target: Type.String({ maxLength: 223, pattern: iscsiNamePattern }),
		/** Of the LUN, from VPD page 0x83, as the kernel writes it (wwid of the SCSI device): "naa.…", "eui.…", "t10.…". */
		wwid: Type.String({ maxLength: 256, pattern: "^(naa|eui|t10|scsi)\\.[\\x21-\\x7e ]{1,250}$" }),
		/** The name in CHAP of the initiator, and of the target that proves itself; null: none. */
		chapUser: Nullable(Type.String({ maxLength: 64, pattern: "^[A-Za-z0-9._:-]{1,64}$" })),
		mutualChapUser: Nullable(Type.String({ maxLength: 64, pattern: "^[A-Za-z0-9._:-]{1,64}$" })),
		/** thick: may be shared by nodes (lvmlockd with sanlock). thin: for one node only. */
		layout: StringEnum(["thick", "thin"] as const),
		/** Volumes are overwritten with zeroes before their space is given to others. */
		wipeOnDelete: Type.Boolean(),
		/** Of the nodes that share the group, for sanlock: 1 to 2000, each another one. */
		hostIds: Type.Record(Id, Type.Integer({ minimum: 1, maximum: 2000 })),
	},
	{ $id: "IscsiLvmPoolConfig" },
);
export type IscsiLvmPoolConfig = Static<typeof IscsiLvmPoolConfig>;

export const PoolConfig = Type.Union([
	Type.Ref(LocalPoolConfig),
	Type.Ref(NfsPoolConfig),
	Type.Ref(CephRbdPoolConfig),
	Type.Ref(IscsiLvmPoolConfig),
]);
export type PoolConfig = Static<typeof PoolConfig>;

/** By pool type. */
export const poolConfigs = {
	local: LocalPoolConfig,
	nfs: NfsPoolConfig,
	"ceph-rbd": CephRbdPoolConfig,
	"iscsi-lvm": IscsiLvmPoolConfig,
} as const;

const Secret = (minLength: number, maxLength: number) =>
	Type.String({ minLength, maxLength, pattern: "^[\\x21-\\x7e]*$", description: "Never returned" });

export const PoolCredentials = Strict(
	{
		/** Of the Ceph user: base64, as in a keyring. */
		cephKey: Type.Optional(
			Type.String({ maxLength: 256, pattern: "^[A-Za-z0-9+/]{16,250}={0,2}$", description: "Never returned" }),
		),
		/** CHAP: 12 to 255 characters (RFC 3720 wants 96 bits). */
		chapPassword: Type.Optional(Secret(12, 255)),
		mutualChapPassword: Type.Optional(Secret(12, 255)),
	},
	{ $id: "PoolCredentials" },
);
export type PoolCredentials = Static<typeof PoolCredentials>;
