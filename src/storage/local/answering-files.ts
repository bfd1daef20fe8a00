/**
 * Files that volumes consist of and that lie outside of their pool: they were taken over where they lay, which may be a mount of its
 * own whose server is gone. A look at such a file would hold up the pool's other work, so it is asked for first.
 */
import { readFile } from "node:fs/promises";
import type { Clock } from "../../lib/clock.ts";
import { doesNotAnswer, HangingPaths } from "../../lib/hanging-paths.ts";
import { isInside } from "../../model/host-paths.ts";
import { type MountEntry, parseMountinfo } from "../nfs/mountinfo.ts";

/** On disks and in memory of this node: what they do not answer within, nothing here can help. Any other may have a server. */
const ofThisNode = new Set(
	"ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs vfat exfat ntfs3 tmpfs ramfs rootfs overlay squashfs iso9660".split(
		" ",
	),
);
/** How long it counts that a mount answers, and that it does not. */
const [goodMs, silentMs] = [1000, 10_000];

export class AnsweringFiles {
	readonly #clock: Clock;
	readonly #paths: HangingPaths;
	/** By mount point: the last answer, or the question that is open. */
	readonly #mounts = new Map<string, { answers: Promise<boolean>; untilMs: number }>();

	constructor(clock: Clock) {
		this.#clock = clock;
		this.#paths = new HangingPaths(clock);
	}

	/** Fails with `timeout` when the file system that this real path of a regular file lies on does not answer. */
	require = async (path: string): Promise<void> => {
		const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
		const mount = mountOf(mounts, path);
		if (mount !== null && ofThisNode.has(mount.fsType)) return;
		if (!(await this.#answers(mount?.mountPoint ?? "/", path))) throw doesNotAnswer(`The file ${path}`);
	};

	#answers(mountPoint: string, path: string): Promise<boolean> {
		const known = this.#mounts.get(mountPoint);
		if (known && this.#clock.monotonicMs() < known.untilMs) return known.answers;
		const answers = this.#paths.answers(path, mountPoint);
		const question = { answers, untilMs: Number.POSITIVE_INFINITY };
		this.#mounts.set(mountPoint, question);
		const until = (ms: number) => {
			question.untilMs = this.#clock.monotonicMs() + ms;
		};
		answers.then(
			(good) => until(good ? goodMs : silentMs),
			() => until(0),
		);
		return answers;
	}
}

/** What is mounted over this real path; null when nothing says so. */
export function mountOf(mounts: readonly MountEntry[], path: string): MountEntry | null {
	let found: MountEntry | null = null;
	for (const mount of mounts)
		if (isInside(path, mount.mountPoint) && (found === null || mount.mountPoint.length >= found.mountPoint.length))
			found = mount;
	return found;
}
