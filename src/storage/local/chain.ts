/** Which files a disk consists of, from the pool's records: never from what the files say of themselves. */
import { open, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { AppError } from "../../lib/errors.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { VolumeInfo } from "../driver.ts";
import { errnoOf, fileError, withFileErrors } from "../file-errors.ts";
import { readFully } from "../inspect/inspect-image.ts";
import { parseQcow2Header, type Qcow2Header } from "../inspect/qcow2-header.ts";
import { sectorBytes } from "../names.ts";
import { layersFrom, onlyChild, withMergedDown } from "./layer-tree.ts";
import type { PoolFolder } from "./pool-folder.ts";
import type { BackingRecord, VolumeRecord } from "./records.ts";

export type ChainFile = {
	owner: { kind: "volume" | "image"; id: string };
	path: string;
	format: VolumeFormat;
	/** What is below is being copied into it: its header may say already that nothing is. */
	mayStandAlone?: true;
};
export type Chain = [ChainFile, ...ChainFile[]];

/** Files in one chain at most; QEMU opens all of them. */
export const maxChainFiles = 32;
/** Our own qcow2 files have clusters of this size, and their header fits into the first. */
const ownHeaderBytes = 64 * 1024;

const damaged = (id: string, why: string) => new AppError("corrupt", `Volume ${id} cannot be used: ${why}.`);

/** The disk's files, the one that is written to first. `corrupt` when a record on the way is missing or damaged. */
export const chainOf = (folder: PoolFolder, record: VolumeRecord): Promise<Chain> => chainBelow(folder, record, record);

/** The same of a layer of the volume. */
export async function layerChain(folder: PoolFolder, record: VolumeRecord, file: string): Promise<Chain> {
	const [layer, ...layers] = layersFrom(record, file);
	if (!layer) throw damaged(record.id, "a layer of it is missing in the pool's record");
	return chainBelow(folder, record, { ...layer, layers });
}

async function chainBelow(
	folder: PoolFolder,
	record: VolumeRecord,
	top: Pick<VolumeRecord, "file" | "format" | "layers">,
): Promise<Chain> {
	const own = (of: VolumeRecord, file: string, format: VolumeFormat): ChainFile => ({
		owner: { kind: "volume", id: of.id },
		path: volumeFile(folder, of.id, file),
		format,
	});
	const chain: Chain = [own(record, top.file, top.format)];
	for (const layer of top.layers) chain.push(own(record, layer.file, layer.format));
	markLast(chain, record);
	for (let backing = record.backing; backing !== null; ) {
		if (chain.length > maxChainFiles) throw damaged(record.id, "its chain of backing files does not end");
		if (backing.kind === "image") {
			const image = await folder.readImage(backing.id);
			if (image === null) throw damaged(record.id, `image ${backing.id}, which it rests on, is missing`);
			const path = folder.imageFile(image.id, image.format);
			chain.push({ owner: { kind: "image", id: image.id }, path, format: backing.format });
			break;
		}
		const { id, file }: { id: string; file: string } = backing;
		const base = await folder.readVolume(id);
		const layers: { file: string; format: VolumeFormat }[] = base === null ? [] : layersFrom(base, file);
		if (base === null || layers.length === 0) throw damaged(record.id, `volume ${id}, which it rests on, is missing`);
		for (const layer of layers) chain.push(own(base, layer.file, layer.format));
		markLast(chain, base);
		backing = base.backing;
	}
	return chain;
}

function markLast(chain: ChainFile[], { flattening }: VolumeRecord): void {
	const last = chain.at(-1);
	if (last && flattening) last.mayStandAlone = true;
}

export const volumeFile = (folder: PoolFolder, id: string, file: string): string =>
	isAbsolute(file) ? file : join(folder.volume(id), file);

/** How a chain's file names the next one: relative to its own folder, so that a pool can be moved as a whole. */
export function backingName(folder: PoolFolder, fileInFolder: string, backingPath: string): string {
	if (!backingPath.startsWith(`${folder.root}/`)) return backingPath;
	const name = relative(fileInFolder, backingPath);
	return name.startsWith("../") ? name : `./${name}`;
}

export function backingOf(chain: ChainFile[]): VolumeInfo["backing"] {
	const backing: VolumeInfo["backing"] = [];
	let last = chain[0]?.owner;
	for (const { owner, format } of chain) {
		if (owner.kind !== last?.kind || owner.id !== last.id) backing.push({ ...owner, format });
		last = owner;
	}
	return backing;
}

/** Whether `name`, in the header of `file`, is how the pool names `next`. QEMU writes "././x" where we write "./x". */
export function namesFile(folder: PoolFolder, file: string, name: string, next: string): boolean {
	const expected = backingName(folder, dirname(file), next);
	return name === expected || (!isAbsolute(expected) && !isAbsolute(name) && resolve(dirname(file), name) === next);
}

/**
 * A record that says that QEMU merges a layer, as it is once QEMU has: the header of what rested on that layer names the one below, which
 * is the last thing that QEMU does. Null until then; nothing is lost by that, for all that the layer holds is there still.
 */
export async function mergedByQemu(
	folder: PoolFolder,
	{ merging, ...record }: VolumeRecord,
): Promise<VolumeRecord | null> {
	const above = merging?.live ? onlyChild(record, merging.child) : null;
	if (!merging || above === null) return null;
	const path = volumeFile(folder, record.id, above);
	// One that cannot be read is told by whoever needs it.
	const header = await readOwnHeader(path, record.id).catch(() => null);
	const isDone =
		header?.backingFile && namesFile(folder, path, header.backingFile, volumeFile(folder, record.id, merging.layer));
	return isDone ? withMergedDown(record, merging.child, merging.layer) : null;
}

/**
 * Our own header of a qcow2 file, and what it must say of the next file in the chain. Before `qemu-img` follows a
 * chain as root: a QEMU that was taken over from inside could have pointed its disk at any file of the host.
 */
export async function requireHeadersMatch(folder: PoolFolder, chain: Chain): Promise<void> {
	for (const [index, file] of chain.entries()) {
		if (file.owner.kind === "image" || file.format === "raw") continue;
		const header = await readOwnHeader(file.path, file.owner.id);
		const next = chain[index + 1];
		const { backingFile } = header;
		const same =
			next && backingFile !== null
				? namesFile(folder, file.path, backingFile, next.path)
				: backingFile === null && (!next || file.mayStandAlone === true);
		if (!same || (next && backingFile !== null && header.backingFormat !== next.format) || header.externalDataFile)
			throw damaged(file.owner.id, "its header refers to another file than the pool's record");
		if (header.encrypted) throw damaged(file.owner.id, "its header says that it is encrypted");
	}
}

export async function readOwnHeader(path: string, id: string): Promise<Qcow2Header> {
	const bytes = await withFileErrors("reading a volume", async () => {
		const file = await open(path, "r");
		try {
			const buffer = new Uint8Array(ownHeaderBytes);
			return buffer.subarray(0, await readFully(file, buffer, 0));
		} finally {
			await file.close();
		}
	});
	try {
		return parseQcow2Header(bytes);
	} catch (cause) {
		throw new AppError("corrupt", `Volume ${id} cannot be used: its header is damaged.`, { cause });
	}
}

/** Size of the disk in `file`, and what its owner's files take. `storage` when the file is gone. */
export async function volumeInfo(folder: PoolFolder, record: VolumeRecord): Promise<VolumeInfo> {
	const chain = await chainOf(folder, record);
	const [active] = chain;
	let allocatedBytes = 0;
	let length = 0;
	const marks: string[] = [];
	for (const file of chain) {
		if (file.owner.kind !== "volume" || file.owner.id !== record.id) continue;
		const found = await statFile(file.path, record.id);
		allocatedBytes += found.blocks * 512;
		marks.push(`${found.ino}:${found.size}:${found.mtimeMs}`);
		if (file === active) length = found.size;
	}
	for (const { file } of record.aside ?? [])
		allocatedBytes += (await statFile(volumeFile(folder, record.id, file), record.id)).blocks * 512;
	const sizeBytes = active.format === "raw" ? length : (await readOwnHeader(active.path, record.id)).virtualSizeBytes;
	return {
		id: record.id,
		format: record.format,
		sizeBytes: Math.ceil(sizeBytes / sectorBytes) * sectorBytes,
		allocatedBytes,
		contentMark: marks.join(" "),
		backing: backingOf(chain),
		...(record.provisioning === undefined ? {} : { provisioning: record.provisioning }),
	};
}

export async function statFile(path: string, id: string) {
	try {
		const found = await stat(path);
		if (!found.isFile()) throw new AppError("storage", `The file of volume ${id} (${path}) is not a regular file.`);
		return found;
	} catch (error) {
		if (errnoOf(error) === "ENOENT")
			throw new AppError("storage", `The file of volume ${id} (${path}) is missing.`, { cause: error });
		throw fileError(error, "looking at a volume");
	}
}

/** Does `record` rest directly on this image or volume? */
export const restsOn = (record: VolumeRecord, kind: BackingRecord["kind"], id: string): boolean =>
	record.backing?.kind === kind && record.backing.id === id;
