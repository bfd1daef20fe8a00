/**
 * Volumes on their way between two nodes' parts of a pool: read as one file that stands alone, and made of such a file.
 * A volume that stands alone is read where it lies, so moving it takes no space on the node that it leaves; nobody may write
 * to it meanwhile, and a change ends the stream. What comes from another node is written aside, held against what its header
 * says, and appears in one rename, as every volume does.
 */
import { constants } from "node:fs";
import { chmod, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { LongOptions, MakingOptions, VolumeContent, VolumeInfo } from "../driver.ts";
import { commitFolder, syncFile } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import { streamFile } from "../file-stream.ts";
import { readImageBytes, requireQemuAgrees } from "../inspect/inspect-image.ts";
import { parseQcow2Header, requireStandAlone } from "../inspect/qcow2-header.ts";
import { diskSize, requireId, sectorBytes } from "../names.ts";
import { requireNotOpen } from "../qemu-img.ts";
import { allocateFile, requireProvisioning, requireRoom, thickBytes } from "./allocation.ts";
import { chainOf, requireHeadersMatch, volumeInfo } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { exportVolume } from "./export-volume.ts";
import { diskMode } from "./freeze.ts";
import type { VolumeRecord } from "./records.ts";
import { SparseWriter } from "./sparse-writer.ts";

export async function readVolume(context: LocalContext, id: string, options: LongOptions): Promise<VolumeContent> {
	requireId(id, "volume");
	const { folder, locks } = context;
	const held = await locks.shared(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	try {
		const record = await folder.readVolume(id);
		if (record === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
		const { format } = record;
		const chain = await chainOf(folder, record);
		if (chain.length > 1) {
			held[Symbol.dispose]();
			return { format, ...(await exportVolume(context, id, format, options)) };
		}
		await requireHeadersMatch(folder, chain);
		const [{ path }] = chain;
		await requireNotOpen(path, format);
		return await withFileErrors("reading the volume", async () => {
			// A pipe or a link in the file's place must not hold or lead us.
			const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
			const before = await file.stat();
			if (!before.isFile()) {
				await file.close();
				throw new AppError("storage", `The file of volume ${id} is not a regular file.`);
			}
			const requireSame = async () => {
				const after = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
				const found = await after.stat().finally(() => after.close());
				if (found.ino !== before.ino || found.size !== before.size || found.mtimeMs !== before.mtimeMs)
					throw new AppError("in-use", `Volume ${id} was changed while it was being read.`);
				await requireNotOpen(path, format);
			};
			const bytes = streamFile(file, before.size, options.signal);
			return { format, sizeBytes: before.size, stream: guarded(bytes, requireSame, () => held[Symbol.dispose]()) };
		});
	} catch (error) {
		held[Symbol.dispose]();
		throw error;
	}
}

/** The same bytes; `check` comes before the end, `release` whenever it ends. */
function guarded(
	bytes: ReadableStream<Uint8Array>,
	check: () => Promise<void>,
	release: () => void,
): ReadableStream<Uint8Array> {
	const reader = bytes.getReader();
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				try {
					const { done, value } = await reader.read();
					if (!done) return controller.enqueue(value);
					await check();
					release();
					controller.close();
				} catch (error) {
					release();
					controller.error(error);
				}
			},
			async cancel(reason) {
				release();
				await reader.cancel(reason);
			},
		},
		{ highWaterMark: 0 },
	);
}

export async function receiveVolume(
	context: LocalContext,
	id: string,
	content: VolumeContent,
	options: MakingOptions,
): Promise<VolumeInfo> {
	const { folder, locks, inspectLimits } = context;
	const isThick = options.provisioning === "thick";
	let taken = false;
	try {
		requireId(id, "volume");
		requireProvisioning(context, options.provisioning);
		diskSize(content.sizeBytes, inspectLimits.maxVirtualBytes);
		using _own = await locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
		if ((await folder.readVolume(id)) !== null)
			throw new AppError("already-exists", `Volume ${id} is in this pool already.`);
		const { format } = content;
		const record: VolumeRecord = {
			...{ version: 1, id, format, file: `disk-1.${format}`, layers: [] },
			...(isThick ? { provisioning: "thick" as const } : {}),
			backing: null,
		};
		// Of a raw disk it is known now what it takes; of a qcow2 one, how large it is at least.
		if (isThick) await requireRoom(folder, content.sizeBytes);
		await withFileErrors("receiving the volume", () =>
			folder.withTemporary("volumes", async (path) => {
				await folder.step("make the folder");
				await mkdir(path, { mode: 0o700 });
				const disk = join(path, record.file);
				await folder.step("receive the disk");
				taken = true;
				await writeDisk(disk, content, options);
				const diskBytes = await requireDisk(disk, format, options, inspectLimits);
				if (isThick) {
					await allocateFile(disk, await thickBytes(format, diskBytes), options);
					await syncFile(disk);
				}
				options.signal?.throwIfAborted();
				await folder.writeRecord(join(path, "record.json"), record);
				await commitFolder(path, folder.volume(id), folder.step);
			}),
		);
		return await volumeInfo(folder, record);
	} catch (error) {
		if (!taken) await content.stream.cancel(error).catch(() => {});
		if (options.signal?.aborted && !isAppError(error, "canceled"))
			throw new AppError("canceled", "Receiving the volume was canceled.", { cause: error });
		throw error;
	}
}

/** All of the stream, sparse and flushed. */
async function writeDisk(path: string, { sizeBytes, stream }: VolumeContent, options: LongOptions): Promise<void> {
	const reader = stream.getReader();
	const file = await open(path, "wx", 0o600);
	try {
		const writer = new SparseWriter(file, 0, null);
		for (;;) {
			options.signal?.throwIfAborted();
			const { done, value } = await reader.read();
			if (done) break;
			if (writer.position + value.length > sizeBytes)
				throw new AppError("storage", "More of the volume came than was announced.");
			await writer.append(value);
			options.progress?.(writer.position / sizeBytes);
		}
		if (writer.position !== sizeBytes)
			throw new AppError("storage", `The volume ended after ${writer.position} of ${sizeBytes} bytes.`);
		await writer.settle();
		await chmod(path, diskMode);
		await file.sync();
	} catch (error) {
		// What the client of a server without room could not write yet it would write again and again, and the file would stay so long.
		await file.truncate(0).catch(() => {});
		throw error;
	} finally {
		await reader.cancel().catch(() => {});
		await file.close();
	}
}

/** A disk that refers to no other file; its size. What is on a raw one is its guest's, and not looked at. */
async function requireDisk(
	path: string,
	format: VolumeContent["format"],
	options: LongOptions,
	limits: LocalContext["inspectLimits"],
): Promise<number> {
	const { fileSizeBytes, head } = await readImageBytes(path);
	if (format === "raw") {
		if (fileSizeBytes % sectorBytes !== 0)
			throw new AppError("storage", "What came is no raw disk: its length is not a multiple of 512 bytes.");
		return fileSizeBytes;
	}
	const header = parseQcow2Header(head);
	requireStandAlone(header);
	const sizeBytes = diskSize(header.virtualSizeBytes);
	await requireQemuAgrees(path, format, sizeBytes, options, limits);
	return sizeBytes;
}
