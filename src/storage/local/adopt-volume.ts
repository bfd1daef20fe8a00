/**
 * Takes over a disk file where it lies, for a VM that was made outside. The format is the one that its VM uses; only a
 * qcow2 file's header is read, to refuse one that refers to others. A raw file's content is not looked at: its guest
 * wrote it. The file is the volume's from then on: deleting the volume removes it. So nothing is taken that is inside of
 * any pool of this node, or that a volume or image of any pool consists of under whatever name.
 */
import { mkdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { formatBytes, MiB } from "../../lib/units.ts";
import type { Adoptable, FileToAdopt, VolumeInfo } from "../driver.ts";
import { commitFolder } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import { readFully } from "../inspect/inspect-image.ts";
import { parseQcow2Header, qcow2HeaderBytes, requireStandAlone } from "../inspect/qcow2-header.ts";
import { diskSize, requireId } from "../names.ts";
import { volumeInfo } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { fileKey, type HeldFiles, heldFiles } from "./held-files.ts";
import { openHostFile } from "./host-file.ts";
import { ownFiles } from "./layer-tree.ts";
import type { VolumeRecord } from "./records.ts";

/** The smallest disk that the model knows. */
const minDiskBytes = MiB;

/** What the driver's own checks of a file have found: place, kind, header, size. */
export type InspectedFile = { realPath: string; device: string; inode: string; diskBytes: number };
/** `found`: somebody else has looked at the file, which may hang, and this process does not before it is a volume's. */
export type FileInspected = FileToAdopt & { found?: InspectedFile };

/** Fails with `invalid` (refers to other files, not a regular file, not a path to take), `already-exists`, `storage`. */
export async function adoptVolume(context: LocalContext, id: string, options: FileInspected): Promise<VolumeInfo> {
	requireId(id, "volume");
	const { folder, locks, otherPools } = context;
	// Between looking whose a file is and recording it, nobody else may do the same.
	using _all = await locks.exclusive("adopt", "Another file is being taken over.");
	using _own = await locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	const found = await inspect(context, options);
	const record: VolumeRecord = {
		...{ version: 1, id, format: options.format, file: found.realPath, layers: [], backing: null },
		adopted: { path: found.realPath, inode: found.inode },
	};
	const existing = await folder.readVolume(id);
	if (existing !== null) {
		if (existing.format !== record.format || !filesOf(existing).includes(record.file))
			throw new AppError("already-exists", `Volume ${id} exists already and is another one.`);
		return volumeInfo(folder, existing);
	}
	const holder = (await heldFiles(folder, otherPools())).get(fileKey(found));
	if (holder) throw new AppError("already-exists", heldMessage(options.path, holder));
	await withFileErrors("taking over the file", () =>
		folder.withTemporary("volumes", async (path) => {
			await folder.step("make the folder");
			await mkdir(path, { mode: 0o700 });
			await folder.writeRecord(join(path, "record.json"), record);
			await commitFolder(path, folder.volume(id), folder.step);
		}),
	);
	return volumeInfo(folder, record);
}

/** Whether `adoptVolume` would take these files, in their order. Changes nothing. */
export async function adoptableFiles(context: LocalContext, files: readonly FileInspected[]): Promise<Adoptable[]> {
	if (files.length === 0) return [];
	const held = await heldFiles(context.folder, context.otherPools());
	const answers: Adoptable[] = [];
	for (const file of files) answers.push(await adoptable(context, file, held));
	return answers;
}

async function adoptable(context: LocalContext, file: FileInspected, held: HeldFiles): Promise<Adoptable> {
	try {
		const found = await inspect(context, file);
		const key = fileKey(found);
		const holder = held.get(key);
		if (!holder) return { sizeBytes: found.diskBytes, fileKey: key };
		const own = holder.kind === "volume" && holder.pool === null && holder.adopted;
		return { refusal: heldMessage(file.path, holder), heldBy: own ? holder.id : null };
	} catch (error) {
		return refusalOf(error);
	}
}

/** What speaks against this file alone; anything else is thrown again. */
export function refusalOf(error: unknown): Adoptable {
	if (error instanceof AppError && error.code !== "storage") return { refusal: error.message, heldBy: null };
	throw error;
}

/**
 * Forgets a file that was taken over: it lies where it lay, and is nobody's. Missing is not an error. `wrong-state` for a
 * volume that was made here, `in-use` when copies rest on it.
 */
export async function releaseVolume({ folder, locks }: LocalContext, id: string): Promise<void> {
	requireId(id, "volume");
	using _own = await locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	// Its file is not looked at: it may be given back while that does not answer.
	const record = await folder.volumeRecord(id);
	if (record === null) return;
	if (record.adopted === undefined)
		throw new AppError("wrong-state", `Volume ${id} was made in this pool: it can only be deleted.`);
	if (record.layers.length > 0)
		throw new AppError("in-use", `Volume ${id} has become the base of copies: its file cannot be given back.`);
	await withFileErrors("giving back the file", () => folder.forgetVolume(id));
}

async function inspect({ folder, protectedPaths, otherPools }: LocalContext, { found, ...file }: FileInspected) {
	if (found) return found;
	return inspectFile(file, protectedPaths, [folder.root, ...otherPools().map((place) => place.path)]);
}

/** `pools`: folders whose files are somebody's already. Fails as openHostFile does, and with `invalid` for what is no disk. */
export async function inspectFile(
	{ path, format }: FileToAdopt,
	protectedPaths: readonly string[],
	pools: readonly string[],
): Promise<InspectedFile> {
	const host = await openHostFile(path, protectedPaths, pools);
	try {
		let diskBytes = host.sizeBytes;
		if (format === "qcow2") {
			const head = new Uint8Array(Math.min(host.sizeBytes, qcow2HeaderBytes));
			const length = await withFileErrors("reading the file", () => readFully(host.file, head, 0));
			const header = parseQcow2Header(head.subarray(0, length));
			requireStandAlone(header);
			diskBytes = header.virtualSizeBytes;
		}
		if (diskBytes < minDiskBytes)
			throw new AppError("invalid", `The file ${path} holds a disk of less than ${formatBytes(minDiskBytes)}.`);
		const { realPath, device, inode } = host;
		return { realPath, device, inode, diskBytes: diskSize(diskBytes) };
	} finally {
		await host.file.close();
	}
}

const heldMessage = (path: string, holder: { kind: string; id: string; pool: string | null }): string =>
	`The file ${path} is ${holder.kind} ${holder.id}${holder.pool === null ? "" : ` of storage pool "${holder.pool}"`} already.`;

const filesOf = (record: VolumeRecord): string[] =>
	ownFiles(record)
		.map(({ file }) => file)
		.filter((file) => isAbsolute(file));
