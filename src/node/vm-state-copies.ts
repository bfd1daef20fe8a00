/**
 * What a snapshot of a VM keeps beside its disks: UEFI variables and the TPM's memory, in the VM's folder, so that they go where it
 * goes. A copy is there whole or not at all. One without any file is of a VM that had neither.
 */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { assert } from "../lib/assert.ts";
import { isUuid } from "../lib/ids.ts";
import { syncFolder, writeFileDurably } from "../storage/durable.ts";
import { errnoOf } from "../storage/file-errors.ts";

export const keptParts = ["nvram", "tpm"] as const;
export type KeptPart = (typeof keptParts)[number];
export type KeptFile = { part: KeptPart; bytes: Uint8Array };

/** `folder`: the VM's. `read`: a file that other users may have written to, or null. */
export function vmStateCopies(folder: string, read: (path: string) => Promise<Uint8Array | null>) {
	const root = join(folder, "snapshots");
	const placeOf = (snapshotId: string): string => {
		assert(isUuid(snapshotId), "a snapshot's id is a UUID");
		return join(root, snapshotId);
	};
	const has = async (snapshotId: string): Promise<boolean> => (await list()).includes(snapshotId);
	const list = async (): Promise<string[]> => {
		const names = await readdir(root).catch((error) => {
			if (errnoOf(error) === "ENOENT") return [];
			throw error;
		});
		return names.filter(isUuid).sort();
	};
	return {
		/** Ids of the snapshots that have a copy. */
		list,
		has,
		/** Done already is done. */
		async write(snapshotId: string, files: readonly KeptFile[]): Promise<void> {
			const place = placeOf(snapshotId);
			if (await has(snapshotId)) return;
			const unfinished = `${place}.new`;
			await rm(unfinished, { recursive: true, force: true });
			await mkdir(root, { recursive: true, mode: 0o700 });
			await mkdir(unfinished, { mode: 0o700 });
			for (const { part, bytes } of files) await writeFileDurably(join(unfinished, part), bytes);
			await syncFolder(unfinished);
			await rename(unfinished, place);
			await syncFolder(root);
			await syncFolder(dirname(root));
		},
		async read(snapshotId: string): Promise<KeptFile[]> {
			const found: KeptFile[] = [];
			for (const part of keptParts) {
				const bytes = await read(join(placeOf(snapshotId), part));
				if (bytes !== null) found.push({ part, bytes });
			}
			return found;
		},
		/** Missing is done. */
		async remove(snapshotId: string): Promise<void> {
			const place = placeOf(snapshotId);
			for (const path of [place, `${place}.new`]) await rm(path, { recursive: true, force: true });
		},
	};
}
