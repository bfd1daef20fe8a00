/**
 * The ballast: a file that holds as much of the disk as the log keeps for itself (disk-reserve.ts). Free space that nobody
 * holds is taken by whoever writes first: thin disks of VMs, images, uploads. What must be written when they have
 * taken all of it, is written in the place of the ballast, which is shortened for it, a step at a time.
 *
 * `ballastFile` is used by the log's thread as well (disk-worker.ts): see ../worker-client.ts for why it may refer to nothing
 * outside it. It keeps no handle and remembers nothing, so any number of threads may use the same file. It never blocks for
 * longer than a commit of the file system's journal.
 *
 * A file system that never writes in place (btrfs, ZFS) gives back what was shortened only when its transaction ends, and
 * may need space even for that: there the ballast is a help, and no promise.
 */

export type BallastFile = {
	/** What it is shortened by at a time. */
	readonly stepBytes: number;
	/** What it really has of the disk: a copy of the folder may have a file of the same length that holds nothing. */
	heldBytes(): number;
	/** What this process can still write, and what others can: some file systems keep a part of the disk for root. */
	free(): { ownBytes: number; othersBytes: number };
	/** Gives up one step; false when there is nothing to give up. */
	shorten(): boolean;
	/** Gives up what is missing until this process can write so much. */
	makeFree(bytes: number): void;
};

/**
 * `path` null: there is none, and never will be. `folder`: on the file system that is asked about; a ballast that lies on
 * another one is of no use there.
 */
export function ballastFile(path: string | null, folder: string): BallastFile {
	const fs = process.getBuiltinModule("node:fs");
	const stepBytes = 1024 * 1024;
	const mayUseRoots = process.geteuid?.() === 0;
	const stat = () => {
		const found = path === null ? undefined : fs.statSync(path, { throwIfNoEntry: false });
		return found !== undefined && found.dev === fs.statSync(folder).dev ? found : undefined;
	};
	const heldBytes = () => {
		const found = stat();
		return found === undefined ? 0 : Math.min(found.size, found.blocks * 512);
	};
	const free = () => {
		const { bavail, bfree, bsize } = fs.statfsSync(folder);
		return { ownBytes: (mayUseRoots ? bfree : bavail) * bsize, othersBytes: bavail * bsize };
	};
	const shorten = () => {
		const sizeBytes = stat()?.size ?? 0;
		if (path === null || sizeBytes === 0) return false;
		try {
			const handle = fs.openSync(path, "r+");
			try {
				fs.ftruncateSync(handle, Math.max(0, sizeBytes - stepBytes));
				// A journal gives freed blocks to others only once it has recorded that they are free.
				fs.fsyncSync(handle);
			} finally {
				fs.closeSync(handle);
			}
			return true;
		} catch {
			return false;
		}
	};
	const makeFree = (bytes: number) => {
		// Counted: where nothing becomes free at once, not all of it is given up for the first who asks.
		const steps = Math.ceil((bytes - free().ownBytes) / stepBytes);
		for (let step = 0; step < steps; step++) if (!shorten()) return;
	};
	return { stepBytes, heldBytes, free, shorten, makeFree };
}
