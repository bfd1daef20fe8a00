/**
 * What lies in a Ceph pool (and namespace): images of RBD and their snapshots, whose they are by their names. Sizes are of every
 * image by one call, as listVolumes has them; what cannot be measured in time is listed all the same. RBD keeps no time of change that
 * could be had for all of them.
 */
import { isAppError } from "../../lib/errors.ts";
import {
	type ContentEntry,
	type ContentListing,
	type ContentOptions,
	type ContentOwner,
	entryLimit,
	entryNamed,
	listing,
	ownedBy,
	requireTop,
	snapshotOwner,
} from "../content.ts";
import { DuAnswer, LongListAnswer, readAnswer } from "./answers.ts";
import type { RbdContext } from "./context.ts";
import { imageIdOf, isTemporary, snapshotIdOf, volumeIdOf } from "./names.ts";
import { found } from "./usage.ts";

/** Images of others may have no object map: each object that could be there is looked for then. */
const measureLimitMs = 20_000;
const listLimitMs = 60_000;
const maxOutputBytes = 64 * 1024 * 1024;

export async function listContent(
	{ runner, images, poolId, log }: Pick<RbdContext, "runner" | "images" | "poolId" | "log">,
	folder: string,
	options: ContentOptions = {},
): Promise<ContentListing> {
	requireTop(folder);
	const { signal } = options;
	const where = ["--format", "json", ...images.poolArguments()];
	const ask = (args: string[], timeoutMs: number) =>
		runner.rbd([...args, ...where], { timeoutMs, maxOutputBytes, ...(signal ? { signal } : {}) });
	const names = await found(runner, () => images.names());
	const entry = (name: string, snapshot: string | null, about: Partial<ContentEntry>): ContentEntry =>
		entryNamed(snapshot === null ? name : `${name}@${snapshot}`, snapshot === null ? "image" : "snapshot", {
			...about,
			belongsTo: ownerOf(poolId, name, snapshot),
		});
	const namesOnly = () =>
		listing(
			names.map((name) => entry(name, null, {})),
			options,
		);
	if (names.length > entryLimit(options)) return namesOnly();
	const unmeasured = (what: string) => (error: unknown) => {
		if (isAppError(error, "canceled")) throw error;
		log.info("what lies in the pool is shown without its sizes", { what, error });
		return null;
	};
	const [long, du] = await Promise.all([
		ask(["ls", "--long"], listLimitMs).catch(unmeasured("rbd ls --long")),
		ask(["du"], measureLimitMs).catch(unmeasured("rbd du")),
	]);
	if (long === null) return namesOnly();
	const used = new Map<string, number>();
	for (const { name, snapshot, used_size } of du === null ? [] : readAnswer(DuAnswer, du, "rbd du").images)
		used.set(keyOf(name, snapshot), used_size);
	const entries = readAnswer(LongListAnswer, long, "rbd ls").map(({ image, snapshot, size }) =>
		entry(image, snapshot ?? null, { sizeBytes: size, allocatedBytes: used.get(keyOf(image, snapshot)) ?? null }),
	);
	return listing(entries, options);
}

const keyOf = (name: string, snapshot: string | undefined): string => JSON.stringify([name, snapshot ?? null]);

function ownerOf(poolId: string, name: string, snapshot: string | null): ContentOwner | null {
	const [volumeId, imageId] = [volumeIdOf(name), imageIdOf(name)];
	if (volumeId !== null) {
		const snapshotId = snapshot === null ? null : snapshotIdOf(snapshot);
		return snapshotId === null ? ownedBy("volume", volumeId) : snapshotOwner(snapshotId, volumeId);
	}
	if (imageId !== null) return ownedBy("image", imageId);
	return isTemporary(name) ? ownedBy("pool", poolId) : null;
}
