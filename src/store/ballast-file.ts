/**
 * The ballast: a file that holds as much of the disk as the log keeps for itself (disk-reserve.ts). Free space that nobody
 * holds is taken by whoever writes first: thin disks of VMs, images, uploads. What must be written when they have
 * taken all of it, is written in the place of the ballast, which is shortened for it, a step at a time.
 *
 * `ballastFile` is used by the log's thread as well (disk-worker.ts): see ../worker-client.ts for why it may refer to nothing
 * outside it. It keeps no handle and remembers nothing, so any number of threads may use the same file. It never blocks for
 * longer than a commit of the file system's journal.
 *
 * Whatever else is in its place (a link, another name of some file, a pipe) is somebody else's, and is left alone: it is no ballast.
 *
 * A file system that never writes in place (btrfs, ZFS) gives back what was shortened only when its transaction ends, and
 * may need space even for that: there the ballast is a help, and no promise.
 */
import type { Stats } from "node:fs";

/** More than the reserve is never counted. */
export type BallastPlace = { path: string; reserveBytes: number };

export type BallastFile = {
	/** What it is shortened by at a time. */
	readonly stepBytes: number;
	/** Whether that is a ballast here, and how much of it counts. */
	isOurs(found: Stats): boolean;
	heldOf(found: Stats): number;
	/** What it really has of the disk: a copy of the folder may have a file of the same length that holds nothing. */
	heldBytes(): number;
	/** It is longer than what it holds, by a step at least. */
	isHollow(): boolean;
	/** What this process can still write, and what others can: some file systems keep a part of the disk for root. */
	free(): { ownBytes: number; othersBytes: number };
	/** Gives up one step; false when there is nothing to give up. */
	shorten(): boolean;
	/** Gives up what is missing until this process can write so much. */
	makeFree(bytes: number): void;
};

/**
 * `place` null: there is none, and never will be. `folder`: on the file system that is asked about; a ballast that lies on
 * another one is of no use there.
 */
export function ballastFile(place: BallastPlace | null, folder: string): BallastFile {
	const fs = process.getBuiltinModule("node:fs");
	const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
	const stepBytes = 1024 * 1024;
	const { path, reserveBytes } = place ?? { path: null, reserveBytes: 0 };
	const isOurs = (found: Stats) => found.isFile() && found.nlink === 1 && found.dev === fs.statSync(folder).dev;
	const heldOf = (found: Stats) => (isOurs(found) ? Math.min(found.size, found.blocks * 512, reserveBytes) : 0);
	/** What its disk does not say, or what is not there, is not counted on. */
	const look = <T>(work: (found: Stats) => T, otherwise: T): T => {
		try {
			return path === null ? otherwise : work(fs.lstatSync(path));
		} catch {
			return otherwise;
		}
	};
	const heldBytes = () => look(heldOf, 0);
	const isHollow = () => look((found) => isOurs(found) && found.size - heldOf(found) >= stepBytes, false);
	const isRootOfMachine = () => {
		try {
			return /^\s*0\s+0\s/.test(fs.readFileSync("/proc/self/uid_map", "latin1"));
		} catch {
			return true;
		}
	};
	/** And not of a container: the file system gives root's part only to that one. */
	const isRoot = process.geteuid?.() === 0 && isRootOfMachine();
	/** Of ext2, ext3 and ext4. Others mean something else by what they do not offer. */
	const keepsForRoot = 0xef53;
	const free = () => {
		const { bavail, bfree, bsize, type } = fs.statfsSync(folder);
		const own = isRoot && type === keepsForRoot ? bfree : bavail;
		return { ownBytes: own * bsize, othersBytes: bavail * bsize };
	};
	const shorten = () => {
		// Looked at first: to open something else may have an effect.
		if (path === null || heldBytes() === 0) return false;
		try {
			const handle = fs.openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
			try {
				const held = heldOf(fs.fstatSync(handle));
				if (held === 0) return false;
				// By what it holds and not by its length: wherever its holes are, a step of what it holds becomes free.
				fs.ftruncateSync(handle, Math.max(0, held - stepBytes));
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
	return { stepBytes, isOurs, heldOf, heldBytes, isHollow, free, shorten, makeFree };
}
