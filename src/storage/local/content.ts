/** What lies in a pool of files, and whose each thing is by the pool's own records and names (pool-folder.ts). */
import { stat } from "node:fs/promises";
import { isUuid } from "../../lib/ids.ts";
import { folderParts } from "../../model/pool-content.ts";
import {
	type ContentEntry,
	type ContentListing,
	type ContentOptions,
	type ContentOwner,
	entryLimit,
	listing,
	ownedBy,
	snapshotOwner,
} from "../content.ts";
import { readOwnHeader, volumeFile, volumeInfo } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { halfDoneVolume } from "./half-done.ts";
import { ownFiles } from "./layer-tree.ts";
import { isWorkInProgress, type PoolFolder, poolParts } from "./pool-folder.ts";
import { markerName } from "./pool-place.ts";
import { openFolder, readFolder } from "./read-folder.ts";
import type { VolumeRecord } from "./records.ts";

/** Volumes that are looked at at once. */
const maxAtOnce = 16;

/** What an entry of this folder is, beside what its file system says of it. */
type Judge = (entry: ContentEntry) => Promise<Partial<ContentEntry>> | Partial<ContentEntry>;

export async function listContent(
	{ folder: pool }: Pick<LocalContext, "folder">,
	poolId: string,
	folder: string,
	options: ContentOptions = {},
): Promise<ContentListing> {
	const parts = folderParts(folder);
	const opened = await openFolder(pool.root, parts);
	try {
		const { entries, more } = await readFolder(opened, entryLimit(options), options.signal);
		const judge = await judgeOf(pool, poolId, parts);
		for (let at = 0; at < entries.length; at += maxAtOnce) {
			options.signal?.throwIfAborted();
			await Promise.all(
				entries.slice(at, at + maxAtOnce).map(async (entry) => {
					if (entry.nameIsExact && entry.kind !== "other") Object.assign(entry, await judge(entry));
				}),
			);
		}
		return listing(entries, options, more);
	} finally {
		await opened.close();
	}
}

async function judgeOf(pool: PoolFolder, poolId: string, parts: readonly string[]): Promise<Judge> {
	const [part, id, ...deeper] = parts;
	const pools = { belongsTo: ownedBy("pool", poolId) };
	if (part === undefined) return ({ name }) => (name === markerName || poolParts.includes(name) ? pools : {});
	if (deeper.length > 0) return () => ({});
	if (id === undefined) {
		const judge = part === "volumes" ? ofVolumes(pool) : part === "images" ? ofImages(pool) : ofUploads;
		return (entry) =>
			poolParts.includes(part) ? (isWorkInProgress(entry.name) ? workOf(entry, pools) : judge(entry)) : {};
	}
	if (!isUuid(id)) return () => ({});
	if (part === "volumes") return inVolume(pool, id);
	return part === "images" ? inImage(pool, id) : () => ({});
}

/** Of a volume where a mark says which; else the pool's. */
function workOf({ name }: ContentEntry, pools: { belongsTo: ContentOwner }): Partial<ContentEntry> {
	const volumeId = halfDoneVolume(name);
	return volumeId === null ? pools : { belongsTo: ownedBy("volume", volumeId) };
}

/** Their folders, with what is in them; of a damaged one the owner only. */
const ofVolumes =
	(pool: PoolFolder): Judge =>
	async ({ name: id, kind }) => {
		if (!isUuid(id)) return {};
		const belongsTo = ownedBy("volume", id);
		const record = kind === "folder" ? await orNull(pool.readVolume(id)) : null;
		const info = record && (await orNull(volumeInfo(pool, record)));
		return info ? { belongsTo, sizeBytes: info.sizeBytes, allocatedBytes: info.allocatedBytes } : { belongsTo };
	};

const ofImages =
	(pool: PoolFolder): Judge =>
	async ({ name: id, kind }) => {
		if (!isUuid(id)) return {};
		const belongsTo = ownedBy("image", id);
		const record = kind === "folder" ? await orNull(pool.readImage(id)) : null;
		const file = record && (await orNull(stat(pool.imageFile(id, record.format))));
		if (!record || !file) return { belongsTo };
		return { belongsTo, sizeBytes: record.virtualSizeBytes, allocatedBytes: file.blocks * 512 };
	};

const ofUploads: Judge = ({ name }) => {
	const id = name.replace(/\.(part|json|json\.new)$/, "");
	return id !== name && isUuid(id) ? { belongsTo: ownedBy("upload", id) } : {};
};

async function inVolume(pool: PoolFolder, id: string): Promise<Judge> {
	const own = { belongsTo: ownedBy("volume", id) };
	const record = await orNull(pool.readVolume(id));
	const files = new Map((record === null ? [] : ownFiles(record)).map((one) => [one.file, one.format]));
	return async ({ name, kind }) => {
		if (kind !== "file") return {};
		if (isRecord(name)) return own;
		const format = files.get(name);
		if (record === null || format === undefined) return {};
		const snapshot = snapshotIn(record, name);
		if (snapshot) return { belongsTo: snapshotOwner(snapshot.id, id), sizeBytes: snapshot.sizeBytes };
		if (format === "raw") return own;
		const header = await orNull(readOwnHeader(volumeFile(pool, id, name), id));
		return header ? { ...own, sizeBytes: header.virtualSizeBytes } : own;
	};
}

/** The oldest, where one layer is several. */
const snapshotIn = ({ snapshots = [] }: VolumeRecord, file: string) => snapshots.find((one) => one.file === file);

async function inImage(pool: PoolFolder, id: string): Promise<Judge> {
	const own = { belongsTo: ownedBy("image", id) };
	const record = await orNull(pool.readImage(id));
	return ({ name, kind }) => {
		if (kind === "file" && isRecord(name)) return own;
		if (kind !== "file" || name !== `image.${record?.format}`) return {};
		return { ...own, sizeBytes: record?.virtualSizeBytes ?? null };
	};
}

const isRecord = (name: string): boolean => name === "record.json" || name === "record.json.new";

/** What cannot be read is shown as what its file system says of it. */
const orNull = <T>(work: Promise<T>): Promise<T | null> => work.catch(() => null);
