/**
 * A disk that was taken over is recorded with the real path of its file, while the domain that it came from may name it
 * through a symbolic link: until that domain is started anew, what runs has the old name. Both are the same disk, which
 * keeps its place. Where such a disk lies nobody knows: its server may be gone.
 */
import { doesNotAnswer, type HangingPaths } from "../../lib/hanging-paths.ts";
import type { ReadDomain } from "./domain/domain-reader.ts";

/**
 * Disks without an id of ours get the path to which their links lead; one that leads nowhere stays as it is written. Fails with
 * `timeout` when a disk has not answered since this process began: taken for another disk, it might be exchanged.
 */
export async function withRealPaths(paths: HangingPaths, domain: ReadDomain): Promise<ReadDomain> {
	const { disks } = domain.facts;
	const theirs = disks.filter(({ id, path }) => id === null && path.startsWith("/")).map(({ path }) => path);
	if (theirs.length === 0) return domain;
	const found = await paths.lastRealPaths(theirs);
	const real = new Map(theirs.map((path, index) => [path, found[index] ?? null]));
	return {
		...domain,
		facts: {
			...domain.facts,
			disks: disks.map((disk) => {
				const path = disk.id === null ? real.get(disk.path) : undefined;
				if (path === null) throw doesNotAnswer(`The disk ${disk.path}`);
				return path === undefined ? disk : { ...disk, path };
			}),
		},
	};
}
