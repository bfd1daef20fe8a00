/**
 * A disk that was taken over is recorded with the real path of its file, while the domain that it came from may name it
 * through a symbolic link: until that domain is started anew, what runs has the old name. Both are the same disk, which
 * keeps its place.
 */
import { realpath } from "node:fs/promises";
import type { ReadDomain } from "./domain/domain-reader.ts";

/** Disks without an id of ours get the path to which their links lead; one that leads nowhere stays as it is written. */
export async function withRealPaths(domain: ReadDomain): Promise<ReadDomain> {
	const disks = await Promise.all(
		domain.facts.disks.map(async (disk) =>
			disk.id === null && disk.path.startsWith("/")
				? { ...disk, path: await realpath(disk.path).catch(() => disk.path) }
				: disk,
		),
	);
	return { ...domain, facts: { ...domain.facts, disks } };
}
