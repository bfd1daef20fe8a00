/**
 * The pool's own records, one JSON file beside each disk, image and upload. They say the format of every file and what
 * it rests on; nothing is ever guessed from a disk's content, which guests write. A size is not in a volume's record:
 * the file says it (length of a raw disk, header of a qcow2 one, both out of the guest's reach), also after QEMU has
 * grown it.
 */
import { readFile } from "node:fs/promises";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../../lib/errors.ts";
import { uuidPattern } from "../../lib/ids.ts";
import { VolumeFormat } from "../../model/storage.ts";
import { errnoOf, fileError } from "../file-errors.ts";

const Strict = <T extends Record<string, TSchema>>(properties: T) =>
	Type.Object(properties, { additionalProperties: false });
const Id = Type.String({ pattern: uuidPattern });
/** In the volume's folder, or the whole path of a file that was taken over. */
const FileName = Type.String({ pattern: "^(disk-[1-9][0-9]{0,3}\\.(qcow2|raw)|/[^\\u0000]{1,4095})$" });

/** A file that a disk rests on: an image, or a frozen layer of another volume. */
export const BackingRecord = Type.Union([
	Strict({ kind: Type.Literal("image"), id: Id, format: VolumeFormat }),
	Strict({
		...{ kind: Type.Literal("volume"), id: Id, format: VolumeFormat, file: FileName },
		/** Only for copies that were made of this snapshot: it stays as long as they do. */
		snapshotId: Type.Optional(Id),
	}),
]);
export type BackingRecord = Static<typeof BackingRecord>;

export const VolumeRecord = Strict({
	version: Type.Literal(1),
	id: Id,
	/** Of `file`, the disk that a VM writes to. */
	format: VolumeFormat,
	file: FileName,
	/** The volume's own frozen layers, nearest first: what it was when snapshots or copy-on-write copies were made of it. */
	layers: Type.Array(Strict({ file: FileName, format: VolumeFormat }), { maxItems: 64 }),
	/** All of its space is set aside, as far as nothing lies on it: snapshots and copies make thin layers. Absent: thin. */
	provisioning: Type.Optional(Type.Literal("thick")),
	/** What the last of its own files rests on. */
	backing: Type.Union([BackingRecord, Type.Null()]),
	/** Layers that the disk does not rest on since it was reverted, each on one of the volume's files or (null) on `backing`. */
	aside: Type.Optional(
		Type.Array(Strict({ file: FileName, format: VolumeFormat, below: Type.Union([FileName, Type.Null()]) }), {
			maxItems: 1024,
		}),
	),
	/** Oldest first. `file`: the layer that is the snapshot; several may be one. Absent without any. */
	snapshots: Type.Optional(
		Type.Array(
			Strict({
				id: Id,
				parentId: Type.Union([Id, Type.Null()]),
				file: FileName,
				/** The layer itself may be smaller, when the disk was grown before anything was written to it. */
				sizeBytes: Type.Integer({ minimum: 1 }),
			}),
			{ minItems: 1, maxItems: 256 },
		),
	),
	/** The snapshot that the volume is at: the next one's parent. */
	at: Type.Optional(Id),
	/**
	 * `layer` is taking over the content of `child`, and then its name. When `layer` is not there, it has. `live`: QEMU does it, and
	 * `layer` keeps its name; when the header of what rested on `child` names `layer`, it has.
	 */
	merging: Type.Optional(Strict({ layer: FileName, child: FileName, live: Type.Optional(Type.Literal(true)) })),
	/** What is below is being copied into the volume: files that rest on `backing` may stand alone already (flatten.ts). */
	flattening: Type.Optional(Type.Literal(true)),
	/**
	 * The file that was taken over, and proof that it is the same: only then it is removed with the volume. No device
	 * number: it changes from boot to boot.
	 */
	adopted: Type.Optional(
		Strict({
			path: Type.String({ pattern: "^/[^\\u0000]{1,4095}$" }),
			inode: Type.String({ pattern: "^[0-9]{1,20}$" }),
		}),
	),
});
export type VolumeRecord = Static<typeof VolumeRecord>;

export const ImageRecord = Strict({
	version: Type.Literal(1),
	id: Id,
	format: Type.Union([Type.Literal("qcow2"), Type.Literal("raw"), Type.Literal("iso")]),
	fileSizeBytes: Type.Integer({ minimum: 1 }),
	virtualSizeBytes: Type.Integer({ minimum: 1 }),
	sha256: Type.String({ pattern: "^[0-9a-f]{64}$" }),
});
export type ImageRecord = Static<typeof ImageRecord>;

export const UploadRecord = Strict({
	version: Type.Literal(1),
	id: Id,
	/** Null while the sender has not said. */
	totalBytes: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]),
	/** What the sender uses to tell that its file is still the same. */
	validator: Type.Union([Type.String({ maxLength: 1024 }), Type.Null()]),
	/** This much is on the disk for sure; after a power cut the rest is not believed. */
	syncedBytes: Type.Integer({ minimum: 0 }),
	/** The kernel's boot id when `syncedBytes` was written: in the same boot the length of the file counts. */
	bootId: Type.String(),
});
export type UploadRecord = Static<typeof UploadRecord>;

export const PoolRecord = Strict({ version: Type.Literal(1), poolId: Id });
export type PoolRecord = Static<typeof PoolRecord>;

export const recordText = (record: VolumeRecord | ImageRecord | UploadRecord | PoolRecord): string =>
	`${JSON.stringify(record, null, "\t")}\n`;

/** Null when there is no such file; `corrupt` when it is not a record of this kind. */
export async function readRecord<T extends TSchema>(schema: T, path: string): Promise<Static<T> | null> {
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return null;
		throw fileError(error, "reading a record of the pool");
	}
	return parseRecord(schema, text, path);
}

/** `path`: where it was read. */
export function parseRecord<T extends TSchema>(schema: T, text: string, path: string): Static<T> {
	try {
		const value: unknown = JSON.parse(text);
		if (Value.Check(schema, value)) return value;
	} catch {
		// told below
	}
	throw new AppError("corrupt", `The pool's record ${path} is damaged. Nothing that it names is touched.`);
}
