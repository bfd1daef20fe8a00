/**
 * Takes over a disk file where it lies, for a VM that was made outside. The format is the one that its VM uses; only a
 * qcow2 file's header is read, to refuse one that refers to others. A raw file's content is not looked at: its guest
 * wrote it. The file is the volume's from then on: deleting the volume removes it.
 */
import { mkdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { VolumeInfo } from "../driver.ts";
import { commitFolder } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import { readFully } from "../inspect/inspect-image.ts";
import { parseQcow2Header, qcow2HeaderBytes, requireStandAlone } from "../inspect/qcow2-header.ts";
import { requireId } from "../names.ts";
import { volumeInfo } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { openHostFile } from "./host-file.ts";
import type { VolumeRecord } from "./records.ts";

/** Fails with `invalid` (refers to other files, not a regular file, not a path to take), `already-exists`. */
export async function adoptVolume(
	{ folder, locks, protectedPaths }: LocalContext,
	id: string,
	options: { path: string; format: VolumeFormat },
): Promise<VolumeInfo> {
	requireId(id, "volume");
	using _own = await locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	const host = await openHostFile(options.path, [...protectedPaths, folder.root]);
	try {
		if (options.format === "qcow2") {
			const head = new Uint8Array(Math.min(host.sizeBytes, qcow2HeaderBytes));
			const length = await withFileErrors("reading the file", () => readFully(host.file, head, 0));
			requireStandAlone(parseQcow2Header(head.subarray(0, length)));
		}
	} finally {
		await host.file.close();
	}
	const record: VolumeRecord = {
		...{ version: 1, id, format: options.format, file: host.realPath, layers: [], backing: null },
		adopted: { path: host.realPath, inode: host.inode },
	};
	const existing = await folder.readVolume(id);
	if (existing !== null) {
		if (existing.format !== record.format || !filesOf(existing).includes(record.file))
			throw new AppError("already-exists", `Volume ${id} exists already and is another one.`);
		return volumeInfo(folder, existing);
	}
	for (const other of await folder.ids("volumes")) {
		const taken = await folder.readVolume(other);
		if (taken !== null && filesOf(taken).includes(record.file))
			throw new AppError("already-exists", `The file ${record.file} is volume ${other} already.`);
	}
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

const filesOf = (record: VolumeRecord): string[] =>
	[record.file, ...record.layers.map((layer) => layer.file)].filter((file) => isAbsolute(file));
