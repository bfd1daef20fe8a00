/**
 * The state of a VM that lies on its node beside its disks: UEFI variables, the TPM's memory, the end of the serial log. What
 * there is is a list of parts, each with its own place; no name of a file ever comes from elsewhere. The seed is not a part:
 * each start writes it.
 *
 * The TPM's is where libvirt keeps it (docs/decisions/0008-tpm-state-stays-with-libvirt.md); libvirt gives the files to
 * swtpm's user at the next start, and those of UEFI to QEMU's.
 */
import { constants } from "node:fs";
import { chmod, mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { assert } from "../lib/assert.ts";
import { AppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import { MiB } from "../lib/units.ts";
import { syncFolder, writeFileDurably } from "../storage/durable.ts";
import { errnoOf, fileError } from "../storage/file-errors.ts";
import { readTail, serialLogPath, vmFolder, vmFolders } from "./vm-folder.ts";
import { type KeptFile, type KeptPart, keptParts, vmStateCopies } from "./vm-state-copies.ts";

export const vmStateParts = ["nvram", "tpm", "serial-log"] as const;
export type VmStatePart = (typeof vmStateParts)[number];
/** `snapshotId`: it is what that snapshot keeps. */
export type VmStateFile = { part: VmStatePart; bytes: Uint8Array; snapshotId?: string };

/** Each of them is far smaller. */
export const maxVmStateBytes = 16 * MiB;

export interface VmStateFiles {
	/** What there is; a VM that never ran has none. The VM does not run meanwhile. */
	read(vmId: string): Promise<VmStateFile[]>;
	/** Flushed when it resolves; parts that were there and are not given go. */
	write(vmId: string, files: readonly VmStateFile[]): Promise<void>;
	/** The VM's folder with everything in it, and the TPM's. Missing is done. */
	remove(vmId: string): Promise<void>;
	/** What a snapshot keeps beside the disks. Done already is done. The VM stands still meanwhile. */
	keep(vmId: string, snapshotId: string): Promise<void>;
	/** It is again what it was then. False, and nothing changes, when there is no copy: it was lost with another node. */
	restore(vmId: string, snapshotId: string): Promise<boolean>;
	/** Missing is done. */
	forget(vmId: string, snapshotId: string): Promise<void>;
}

const libvirtTpmRoot = "/var/lib/libvirt/swtpm";

export function vmStateFiles(dataDir: string, tpmRoot = libvirtTpmRoot): VmStateFiles {
	const tpmFolder = (vmId: string): string => {
		assert(isUuid(vmId), "a VM's id is a UUID");
		return join(tpmRoot, vmId);
	};
	const placeOf = (vmId: string, part: KeptPart): string =>
		part === "nvram" ? join(vmFolder(dataDir, vmId), "nvram.fd") : join(tpmFolder(vmId), "tpm2", "tpm2-00.permall");
	const remove = async (vmId: string): Promise<void> => {
		await rm(tpmFolder(vmId), { recursive: true, force: true });
		await vmFolders.remove(vmFolder(dataDir, vmId));
	};
	const copiesOf = (vmId: string) => vmStateCopies(vmFolder(dataDir, vmId), readWhole);
	const present = async (vmId: string): Promise<KeptFile[]> => {
		const files: KeptFile[] = [];
		for (const part of keptParts) {
			const bytes = await readWhole(placeOf(vmId, part));
			if (bytes !== null) files.push({ part, bytes });
		}
		return files;
	};
	const put = async (vmId: string, { part, bytes }: KeptFile): Promise<void> => {
		const path = placeOf(vmId, part);
		if (part === "tpm") await makeTpmFolder(dirname(path));
		await writeFileDurably(path, bytes);
	};
	return {
		remove,
		async keep(vmId, snapshotId) {
			if (await copiesOf(vmId).has(snapshotId)) return;
			await vmFolders.make(vmFolder(dataDir, vmId));
			await copiesOf(vmId).write(snapshotId, await present(vmId));
		},
		async restore(vmId, snapshotId) {
			const copies = copiesOf(vmId);
			if (!(await copies.has(snapshotId))) return false;
			const kept = await copies.read(snapshotId);
			for (const file of kept) await put(vmId, file);
			// What was not there yet: its next start makes it anew.
			for (const part of keptParts)
				if (!kept.some((file) => file.part === part)) await rm(placeOf(vmId, part), { force: true });
			return true;
		},
		forget: (vmId, snapshotId) => copiesOf(vmId).remove(snapshotId),
		async read(vmId) {
			const files: VmStateFile[] = await present(vmId);
			const copies = copiesOf(vmId);
			for (const snapshotId of await copies.list())
				for (const file of await copies.read(snapshotId)) files.push({ ...file, snapshotId });
			const log = await readTail(serialLogPath(vmFolder(dataDir, vmId)), maxVmStateBytes);
			if (log.length > 0) files.push({ part: "serial-log", bytes: log });
			return files;
		},
		async write(vmId, files) {
			await remove(vmId);
			const folder = vmFolder(dataDir, vmId);
			await vmFolders.make(folder);
			const kept = new Map<string, KeptFile[]>();
			for (const { part, bytes, snapshotId } of files) {
				if (part === "serial-log") await writeFileDurably(serialLogPath(folder), bytes);
				else if (snapshotId === undefined) await put(vmId, { part, bytes });
				else kept.set(snapshotId, [...(kept.get(snapshotId) ?? []), { part, bytes }]);
			}
			for (const [snapshotId, parts] of kept) await copiesOf(vmId).write(snapshotId, parts);
			await syncFolder(dirname(folder));
		},
	};
}

/** As libvirt makes it; what is inside is swtpm's user's from the next start on. */
async function makeTpmFolder(folder: string): Promise<void> {
	const ofVm = dirname(folder);
	await mkdir(ofVm, { recursive: true, mode: 0o711 });
	await chmod(ofVm, 0o711);
	await mkdir(folder, { recursive: true, mode: 0o700 });
	await syncFolder(ofVm);
	await syncFolder(dirname(ofVm));
}

/** Null when there is none. Other users write into these folders: never through a link, never anything but one file. */
async function readWhole(path: string): Promise<Uint8Array | null> {
	const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
	try {
		const file = await open(path, flags);
		try {
			const stat = await file.stat();
			if (!stat.isFile() || stat.nlink !== 1 || stat.size > maxVmStateBytes)
				throw new AppError("storage", `${path} is not what a VM's state looks like; it is not moved.`);
			return new Uint8Array(await file.readFile());
		} finally {
			await file.close();
		}
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return null;
		throw error instanceof AppError ? error : fileError(error, "reading the VM's state");
	}
}
