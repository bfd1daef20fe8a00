/**
 * What QEMU opens as a disk or a CD-ROM: a file, a block device of this host, or an image in a Ceph cluster. Storage drivers make
 * them, the hypervisor writes them into the domain, and both compare them by name.
 */
export type DiskSource =
	| { kind: "file"; path: string }
	/** A block device: a logical volume under its own name in /dev. */
	| { kind: "block"; path: string }
	| RbdSource;

export type RbdSource = {
	kind: "rbd";
	/** Ceph's pool, namespace (null: the default one) and image. */
	pool: string;
	namespace: string | null;
	image: string;
	monitors: readonly { host: string; port: number | null }[];
	/** Without "client.". */
	user: string;
	/** UUID of libvirt's secret that holds the user's key (see HostSecret). */
	secretId: string;
};

/**
 * A key that the hypervisor gives to QEMU, so that it is in no XML and on no command line. It is ephemeral and private: libvirt keeps
 * it in memory and gives it to nobody, and loses it when it restarts.
 */
export type HostSecret = {
	/** UUID. */
	id: string;
	kind: "ceph";
	/** As libvirt lists it; unique on the host. */
	name: string;
	value: Uint8Array;
};

/** The same for the same disk, wherever it is read: a path, or "rbd:POOL[/NAMESPACE]/IMAGE". */
export const sourceName = (source: DiskSource): string =>
	source.kind === "rbd" ? `rbd:${rbdName(source)}` : source.path;

/** As libvirt and QEMU write it. */
export const rbdName = ({ pool, namespace, image }: Pick<RbdSource, "pool" | "namespace" | "image">): string =>
	[pool, ...(namespace === null ? [] : [namespace]), image].join("/");

export const fileSource = (path: string): DiskSource => ({ kind: "file", path });
