/**
 * A storage pool as the node sees it. One driver instance serves one pool on this node. Implementations: local/, nfs/,
 * ceph-rbd/, iscsi-lvm/, fake.ts; all pass conformance.ts, each as far as its capabilities go. Volume and image ids are UUIDs and name the
 * files: names that people choose never reach a path or a command line. Every method may be repeated after a crash.
 */

import type { DomainDisk } from "../hypervisor/driver.ts";
import type { AppError } from "../lib/errors.ts";
import type { DiskSource, HostSecret } from "../model/disk-source.ts";
import type { PoolCapabilities, PoolType, Provisioning, VolumeFormat } from "../model/storage.ts";
import type { ContentListing, ContentOptions } from "./content.ts";

/**
 * A pool with a folder on this node. `wasReady`: it has held data here. `realPath`: where the path leads; null when that does not answer,
 * so that nobody may look; absent: not asked.
 */
export type PoolPlace = {
	poolId: string;
	name: string;
	path: string;
	wasReady: boolean;
	realPath?: string | null;
	/** Of one that does not answer: where it led when it last did; null when nobody has seen that. */
	lastRealPath?: string | null;
};

export type FileToAdopt = { path: string; format: VolumeFormat };
/**
 * Size of the disk in a file that can be taken over, or why it cannot, as a sentence. `heldBy`: it was taken over already,
 * as that volume of this very pool. `fileKey`: the same for each path that leads to this file.
 */
export type Adoptable = { sizeBytes: number; fileKey: string } | { refusal: string; heldBy: string | null };

export type PoolUsage = {
	totalBytes: number;
	usedBytes: number;
	availableBytes: number;
	/** It works, but something of it is lost: one path of several to a LUN. A sentence. */
	warning?: string;
};

/**
 * `overwrite`: names of what may be on a device that becomes a pool, and goes ("ext4"). `probe` and `activate` fail with `wrong-state`
 * for anything else there, and say its names in `context.found`. Pools of files and of Ceph overwrite nothing, whatever is named.
 */
export type OverwriteOptions = { overwrite?: readonly string[] };

export type VolumeInfo = {
	id: string;
	format: VolumeFormat;
	sizeBytes: number;
	allocatedBytes: number;
	/** Another one whenever somebody has written to it since, be it behind our back. `readVolume` leaves it as it is. */
	contentMark: string;
	/** Ids of volume or image that it depends on, nearest first; empty when it stands alone. */
	backing: { kind: "volume" | "image"; id: string; format: VolumeFormat }[];
	/** Where the pool may choose, and it was asked to be. */
	provisioning?: "thick";
};

/** What a list says of a volume: a pool may need a look at each one for the rest. */
export type ListedVolume = Omit<VolumeInfo, "contentMark"> & Partial<Pick<VolumeInfo, "contentMark">>;

export type ImageInfo = {
	id: string;
	/** As it is stored, and as openImage gives it: a pool that keeps raw disks makes raw of qcow2. */
	format: "qcow2" | "raw" | "iso";
	fileSizeBytes: number;
	virtualSizeBytes: number;
};

/** `leakedBytes`: space that belongs to nothing. `errors`: damaged structures; `repaired` of both. */
export type VolumeDamage = { errors: number; leakedBytes: number; repaired: number };

/** 0 to 1, or null when it cannot be known. */
export type Progress = (ratio: number | null, message?: string) => void;
/**
 * Of what takes as long as a disk is large. Aborted, it is `canceled` and undone, or goes on where it was when it is asked for again; `progress` is
 * called as it goes, so that what stands still can be told from what is long.
 */
export type LongOptions = { signal?: AbortSignal; progress?: Progress };

/** `ifIdle`: `in-use`, with `context.isAtWork`, while the driver itself overwrites what was deleted: it goes on with that. */
export type RemovalOptions = { ifIdle?: boolean } & LongOptions;

/** `provisioning`: how the volume gets its space; absent, as the pool makes its volumes (the first of its capability). */
export type MakingOptions = { provisioning?: Provisioning } & LongOptions;

/** A volume as one file that stands alone; `sizeBytes` is the length of the stream. */
export type VolumeContent = { format: VolumeFormat; sizeBytes: number; stream: ReadableStream<Uint8Array> };

export type CreateSource =
	| { kind: "empty" }
	| { kind: "image"; id: string; fullCopy: boolean }
	| { kind: "volume"; id: string; fullCopy: boolean }
	/** `id`: of the volume. */
	| { kind: "snapshot"; id: string; snapshotId: string; fullCopy: boolean };

export type SnapshotInfo = {
	id: string;
	/** What the disk was then, as the guest sees it. */
	sizeBytes: number;
	/** The snapshot that the volume was at when this one was made: null for the first. Reverting moves that place. */
	parentId: string | null;
};

/**
 * Of a disk that QEMU has open: the layer `top` is to be written into `base`, the one below it, and goes. `active`: `top` is what the
 * VM writes to, which goes on in `base` then.
 */
export type LayerMerge = { top: DiskSource; base: DiskSource; active: boolean };

/** How QEMU opens a volume: source, format and the whole chain below it. */
export type AttachInfo = Pick<DomainDisk, "source" | "format" | "backing">;

export interface VolumeSnapshots {
	/**
	 * Keeps what the volume holds now as `snapshotId`. The disk that is written to may be another file afterwards (attachInfo).
	 * With `running` a VM has it open: the caller keeps the VM paused from before this call until QEMU writes to what
	 * attachInfo says then. Done already is done.
	 */
	take(volumeId: string, snapshotId: string, options: { running: boolean }): Promise<SnapshotInfo>;
	/**
	 * The volume becomes what it was then; what was written since is lost, all snapshots stay. `in-use` while a VM has it
	 * open.
	 */
	revert(volumeId: string, snapshotId: string, options?: LongOptions): Promise<VolumeInfo>;
	/**
	 * The volume stays as it is. Missing is not an error; `in-use` when copies rest on it, or a VM has the volume open, where the
	 * pool cannot do it then.
	 */
	delete(volumeId: string, snapshotId: string, options: LongOptions): Promise<void>;
	/**
	 * `delete` while a VM of this node has the volume open, where only QEMU can merge layers then: the snapshot is gone, what does not
	 * concern the open files is done, and the answer is what QEMU has to do next (commitDisk), until it is null. `finishLiveDelete` follows
	 * each. Missing is not an error; `in-use` as for `delete`. Given up half-way, nothing is lost: `delete` or this does the rest.
	 */
	planLiveDelete?(volumeId: string, snapshotId: string, options: LongOptions): Promise<LayerMerge | null>;
	/**
	 * QEMU has `top` no longer, and attachInfo says so from now on. The caller sees to it that this is so; with `active` it keeps the
	 * VM paused from before QEMU goes over until this returns, so that until then both are the disk. Done already is done.
	 */
	finishLiveDelete?(volumeId: string, merge: LayerMerge): Promise<void>;
	/** Oldest first; empty when there is no such volume. */
	list(volumeId: string): Promise<SnapshotInfo[]>;
	/**
	 * Undoes `take` with `running` when QEMU never went over to the new file (the daemon ended in between): attachInfo says again
	 * what QEMU has open, and the snapshot is gone, for what it would be was written to. Missing is done already; `wrong-state` when
	 * something rests on it, or was written to the new file. Absent where `take` leaves the volume in the file that it was in, and `delete` can take it away while a VM has that open.
	 */
	undoTake?(volumeId: string, snapshotId: string): Promise<void>;
}

/**
 * A program that has a volume open for writing. `address`: its own, as the storage knows it; `host`: that of its host. `hasLock`: it is
 * the one that writes now. Others take the lock over from it when they write, so whoever is to write no more is shut out with or without.
 */
export type VolumeClient = { address: string; host: string; hasLock: boolean };

/**
 * Shutting others out of a pool, so that what a host that is not heard of wrote last is all that it wrote. Nothing calls it yet: it is for starting
 * VMs elsewhere. `address`: of one client, or of a host for all its clients, also those of other pools in the same storage, and those to come.
 */
export interface PoolFencing {
	/** Who has the volume open for writing. One that died is among them until the storage takes it for gone. Fails with `not-found`. */
	clients(volumeId: string): Promise<VolumeClient[]>;
	/**
	 * When it returns, what the client still has on the way may reach a place of the storage that has not heard of it, until somebody else uses that
	 * place: whoever opens the volume afterwards sees no write of that client come after its own reads and writes. Done already is done. Whom somebody
	 * else has shut out already, and for less long, may stay so only for that.
	 */
	fence(address: string): Promise<void>;
	/** For new clients: those of before stay shut out. Not fenced is no error. */
	unfence(address: string): Promise<void>;
	/** Addresses that are fenced, whoever did it. */
	fenced(): Promise<string[]>;
	/** `fence`, and the volume is free for the next one at once, without waiting until the storage takes the client for gone. */
	takeFrom(volumeId: string, address: string): Promise<void>;
}

export interface StorageDriver {
	readonly type: PoolType;
	/** As far as is known now: some of it only after `activate`. */
	readonly capabilities: PoolCapabilities;
	/** Keys without which QEMU opens no disk of this pool; the hypervisor must have them before a VM starts. */
	readonly hostSecrets: readonly HostSecret[];
	/** How long `activate`, `deactivate` and, without a sign of progress, `remove` may take where it is more than a minute: locks of a host that went away run out. */
	readonly settleLimitMs?: number;
	/**
	 * Whether the pool would work on this node: reaches it, writes and removes something small. Leaves nothing behind, whatever
	 * happens; nothing is mounted or logged in afterwards that was not before. Fails with what is wrong, as a sentence.
	 */
	probe(options?: OverwriteOptions): Promise<PoolUsage>;
	/** Makes the pool usable on this node (folders, mount, login); removes half-made leftovers. Idempotent. */
	activate(options?: OverwriteOptions): Promise<void>;
	/**
	 * `in-use` while it is used here, by an operation, or by a VM whose disks would go with it: nothing that is under way is disturbed by that,
	 * and the pool stays active. What was deleted, and is being overwritten for nobody, is no use: it goes on when the pool is activated again.
	 */
	deactivate(): Promise<void>;
	/** The node's service ends, and this driver is not used again: processes of its own go. What VMs use, a mount, stays. */
	end?(): Promise<void>;
	/**
	 * The pool is deleted for good: its marks go, so that its place can be used anew. What is stored in it stays. Idempotent. `in-use` when
	 * other nodes do not let go of it in time, where they have to first. Where a pool overwrites what it deletes, the rest of that is done before.
	 */
	remove(options?: RemovalOptions): Promise<void>;
	/**
	 * Fails with `storage` or `timeout` when the pool cannot be used; the message says why, and `context.health` is "unmounted"
	 * when it is not there at all. Never hangs for longer than some seconds, whatever the server does.
	 */
	check(): Promise<PoolUsage>;
	/**
	 * What really lies in a folder of the pool ("" is its top, names have '/' between them), ours or not: looks only, follows no
	 * link, and reads no content of others. Bounded, however much is there. `invalid` for what leads out of the pool or is no folder,
	 * `not-found` for one that is not there.
	 */
	listContent(folder: string, options?: ContentOptions): Promise<ContentListing>;

	/**
	 * Makes the volume whole, or nothing: an interrupted create leaves no volume. Existing with the same id, format and size:
	 * done already; with others: `already-exists`. Sizes are rounded up to 512 bytes; smaller than the source is `invalid`.
	 * Copy-on-write (`fullCopy` false): where the pool has qcow2, the new volume is qcow2 (`raw` is `invalid`); the source
	 * stays writable, its disk then is another file, so attachInfo must be read anew before its VM starts; of a raw volume it
	 * is `invalid`. A pool of raw volumes only makes raw ones. A source volume that a running VM has open is `in-use`. An ISO
	 * image is no source (`invalid`). `unsupported`, with the capability's reason, for a way to get its space that the pool does not have.
	 * Thick: all of the space is the volume's before it is there (`no-space` before anything is made), and stays so when it grows; a
	 * copy-on-write copy that is asked to be thick is `invalid` where volumes may be thin. Snapshots and copies that rest on a thick
	 * volume are thin layers. With a signal, what somebody else does with the source is waited for until that is aborted, else for some
	 * seconds (`in-use`).
	 */
	createVolume(
		id: string,
		options: { format: VolumeFormat; sizeBytes: number; source: CreateSource } & MakingOptions,
	): Promise<VolumeInfo>;
	/**
	 * Missing is not an error. `in-use` when other volumes depend on it (the message says which ids) or a running VM has it open. Where a pool
	 * overwrites what it deletes, the volume is gone before that begins; aborted, it goes on with the next call, or when the pool is activated again.
	 */
	deleteVolume(id: string, options?: LongOptions): Promise<void>;
	/**
	 * Grows the volume while no VM uses it; smaller than now is `invalid`. A running VM's disk is grown through QEMU instead. Aborted, or cut
	 * short, it has its old size or the new one.
	 */
	resizeVolume(id: string, sizeBytes: number, options?: LongOptions): Promise<VolumeInfo>;
	/**
	 * Before QEMU is told to grow a disk that a VM of this node has open: makes room for it. Only where QEMU cannot do that itself (a
	 * logical volume). Repeated, or followed by no growth, it does no harm.
	 */
	growOpenVolume?(id: string, sizeBytes: number, options?: LongOptions): Promise<VolumeInfo>;
	/**
	 * After QEMU has grown a disk that a VM of this node has open: sets the space aside that a thick volume lacks then. Nothing to do for
	 * others, and when it was done. Absent where `growOpenVolume` does all of it, and where no volume is thick.
	 */
	fillVolume?(id: string, options: LongOptions): Promise<void>;
	/**
	 * Makes a copy-on-write copy stand alone: what it has from below is copied into the volume and its snapshots, and then it depends on
	 * nothing. What a guest reads stays the same throughout. One that stands alone is done already. `in-use` while a VM has it or
	 * a copy of it open, where `capabilities.reasons.flattenOnline` says why. Cut short or canceled it still depends on what it was made of; what was
	 * copied until then may stay, and counts as taken space.
	 */
	flattenVolume(id: string, options: LongOptions): Promise<VolumeInfo>;
	/** Null when there is none. Never probes the format: it is in the pool's own record beside the file. */
	getVolume(id: string): Promise<VolumeInfo | null>;
	/** By id. A volume whose record is damaged is left out and logged; getVolume of it is `corrupt`. */
	listVolumes(): Promise<ListedVolume[]>;
	/** How QEMU opens it. Only looks: what it names can be opened on this node after `openVolume`. */
	attachInfo(id: string): Promise<AttachInfo>;
	/**
	 * Before a VM of this node starts with the volume, or gets it plugged in: makes what attachInfo names openable here, and where
	 * the pool can, by this node alone (an exclusive logical volume): `in-use`, naming the node if known, while another one has it.
	 * As often as one likes.
	 */
	openVolume(id: string): Promise<void>;
	/** The VM has stopped, or the disk was unplugged. Not open, or not there, is no error; `in-use` while a process has it open. */
	closeVolume(id: string): Promise<void>;
	/** Volumes that are open on this node, by openVolume or by somebody: for a node that has just started. */
	openVolumes(): Promise<string[]>;

	/** Absent where the storage cannot shut out a host by itself. */
	readonly fencing?: PoolFencing;
	/** Null where the pool cannot (capability `snapshots`, with the reason). */
	readonly snapshots: VolumeSnapshots | null;
	/**
	 * Looks for damage in the volume's own metadata (`qemu-img check`, or what the backend has); `in-use` while a VM has it open.
	 * `repair`: mends what can be mended without losing data.
	 */
	checkVolume(id: string, options: LongOptions & { repair: boolean }): Promise<VolumeDamage>;
	/**
	 * The volume's content as a stand-alone file in `format`, as a stream; sparse areas may come as zeroes. It is copied
	 * first (`no-space` when the pool has no room for that), so a VM may start as soon as this returns; `in-use` while one
	 * runs. The caller reads the stream to its end or cancels it.
	 */
	exportVolume(
		id: string,
		format: VolumeFormat,
		options: LongOptions,
	): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }>;
	/**
	 * The volume in its own format, for `receiveVolume` on another node. One that stands alone is not copied first: it takes
	 * no space, and the stream fails with `in-use` when somebody wrote to it meanwhile. Others as exportVolume. The caller
	 * reads to the end or cancels; until then the volume is neither changed nor deleted.
	 */
	readVolume(id: string, options: LongOptions): Promise<VolumeContent>;
	/**
	 * Makes the volume of what `readVolume` gave elsewhere: whole, or nothing. `already-exists` when there is one, whatever is
	 * in it; `invalid` when it refers to other files. Fails with the error of the stream, and takes the stream in any case.
	 * `provisioning` as for createVolume; a pool that does not have it is `unsupported`.
	 */
	receiveVolume(id: string, content: VolumeContent, options: MakingOptions): Promise<VolumeInfo>;
	/**
	 * Of these volumes, those that no VM could start from, and why: the record or one of the files is missing or damaged.
	 * Looks only; reads no content.
	 */
	damagedVolumes(ids: readonly string[]): Promise<{ id: string; error: AppError }[]>;
	/**
	 * Takes over a file (adopted domains), `unsupported` in a pool that holds no files: moves nothing, refuses a file that refers to others, that is inside of any pool of
	 * the node or a part of one. Deleting the volume removes the file.
	 */
	adoptVolume(id: string, options: FileToAdopt): Promise<VolumeInfo>;
	/** Whether adoptVolume would take these files, one answer each. Changes nothing. */
	adoptableFiles(files: readonly FileToAdopt[]): Promise<Adoptable[]>;
	/**
	 * Undoes adoptVolume: forgets the volume and leaves its file where it lies. Missing is not an error; `wrong-state` for a
	 * volume that was made here, `in-use` when copies rest on it.
	 */
	releaseVolume(id: string): Promise<void>;

	/**
	 * Where an upload of this image grows; `received` is how much is there already (after a restart too). `totalBytes` null:
	 * not known yet; finishImage then takes what was received as the whole. One writer at a time: `in-use` while another
	 * has not closed; `wrong-state` when it was begun with another length; `already-exists` when the image is complete.
	 */
	openUpload(id: string, totalBytes: number | null, options?: UploadOptions): Promise<UploadFile>;
	/** How far an upload is, without opening it. Null when there is none (or the image is complete). */
	getUpload(id: string): Promise<UploadStatus | null>;
	/**
	 * Checks the received file (inspected in a limited qemu-img with the format given; references to other files are `invalid`)
	 * and makes it the image, read-only. Done already: the same answer again. `wrong-state` while bytes are missing, `invalid`
	 * (the message says why) when the file or its checksum is refused: the upload stays until deleteImage.
	 */
	finishImage(
		id: string,
		options: { format: "qcow2" | "raw" | "iso"; sha256: string | null } & LongOptions,
	): Promise<ImageInfo & { sha256: string }>;
	/** Copies a regular file of this node into the upload area of the image, sparse, from the beginning; a failed import leaves no upload. */
	importFile(id: string, path: string, options: LongOptions): Promise<void>;
	/**
	 * Copies a volume of this pool, as a file that stands alone, into the upload area of the image, as complete upload in
	 * `format` (default qcow2); finishImage with the same format follows. `in-use` while a running VM has it open.
	 */
	imageFromVolume(id: string, volumeId: string, options: LongOptions & { format?: VolumeFormat }): Promise<void>;
	getImage(id: string): Promise<ImageInfo | null>;
	/** As a CD-ROM, or what copy-on-write copies rest on. */
	imageSource(id: string): Promise<DiskSource>;
	/** Ids of the images that are complete. */
	listImages(): Promise<string[]>;
	/** Also ends an upload. Missing is not an error. `in-use` when volumes are copy-on-write copies of it. Overwritten as a volume is. */
	deleteImage(id: string, options?: LongOptions): Promise<void>;
	openImage(id: string): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }>;
}

export type UploadOptions = {
	/** Throws away what was received before. */
	restart?: boolean;
	/** Kept with the upload, for a sender that tells by it whether its file is still the same (an HTTP ETag). */
	validator?: string;
};
export type UploadStatus = { receivedBytes: number; totalBytes: number | null; validator: string | null };

export interface UploadFile {
	readonly receivedBytes: number;
	/** Appends at `receivedBytes`; a full disk is `no-space` and keeps what is there. */
	write(chunk: Uint8Array): Promise<void>;
	/** For all of it at once, written by another process of this node; not where the pool's files are another user's. */
	readonly whole?: WholeUpload;
	/** Flushes; the next openUpload sees what was written. */
	close(): Promise<void>;
}

/** `path`: a file that is there and, when nothing was received, empty. `done` says how much it has got; it fails with `storage` when that is not so. */
export type WholeUpload = { path: string; done(sizeBytes: number, sha256: string): Promise<void> };
