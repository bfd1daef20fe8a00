/** What the cluster knows of volumes, as VolumeInfo. */
import { AppError } from "../../lib/errors.ts";
import type { ListedVolume, VolumeInfo } from "../driver.ts";
import { requireId } from "../names.ts";
import { DuAnswer, type InfoAnswer, LongListAnswer, readAnswer } from "./answers.ts";
import type { RbdContext } from "./context.ts";
import { imageIdOf, volumeIdOf, volumeName } from "./names.ts";
import { orMissing } from "./runner.ts";

type Backing = VolumeInfo["backing"];
type Parent = NonNullable<InfoAnswer["parent"]>;
const maxChain = 64;

export const notFound = (id: string) => new AppError("not-found", `Volume ${id} is not in this pool.`);

/** Null when there is no such volume. */
export async function describeVolume(context: RbdContext, id: string): Promise<VolumeInfo | null> {
	requireId(id, "volume");
	const { images } = context;
	const name = volumeName(id);
	const [info, allocatedBytes] = await Promise.all([images.info(name), allocated(context, name)]);
	if (info === null) return null;
	const [contentMark, backing] = await Promise.all([
		markOf(context, info),
		backingOf(context, info.parent, async (name) => (await images.info(name))?.parent),
	]);
	return { id, format: "raw", sizeBytes: info.size, allocatedBytes, contentMark, backing };
}

/** All volumes by two calls, however many there are. */
export async function listVolumes({ runner, ...context }: RbdContext): Promise<ListedVolume[]> {
	const { cephPool, namespace } = runner.place;
	const where = ["--format", "json", "--pool", cephPool, ...(namespace === null ? [] : ["--namespace", namespace])];
	const limit = { timeoutMs: 120_000, maxOutputBytes: 64 * 1024 * 1024 };
	const [long, du] = await Promise.all([
		runner.rbd(["ls", "--long", ...where], limit),
		runner.rbd(["du", ...where], limit),
	]);
	const rows = readAnswer(LongListAnswer, long, "rbd ls").filter((row) => row.snapshot === undefined);
	const parents = new Map(rows.map((row) => [row.image, row.parent]));
	const used = new Map<string, number>();
	for (const { name, used_size } of readAnswer(DuAnswer, du, "rbd du").images)
		used.set(name, (used.get(name) ?? 0) + used_size);
	const volumes: ListedVolume[] = [];
	for (const { image, size, parent } of rows) {
		const id = volumeIdOf(image);
		if (id === null) continue;
		const backing = await backingOf({ ...context, runner }, parent, async (name) => parents.get(name));
		volumes.push({ id, format: "raw", sizeBytes: size, allocatedBytes: used.get(image) ?? 0, backing });
	}
	return volumes.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** What it rests on of ours, nearest first. An image stands alone, so the chain ends with it. */
async function backingOf(
	{ runner }: Pick<RbdContext, "runner">,
	first: Parent | undefined,
	parentOf: (name: string) => Promise<Parent | undefined>,
): Promise<Backing> {
	const { cephPool, namespace } = runner.place;
	const chain: Backing = [];
	for (let parent = first; parent !== undefined && chain.length < maxChain; ) {
		if (parent.pool !== cephPool || (parent.pool_namespace ?? "") !== (namespace ?? "")) break;
		const [volumeId, imageId] = [volumeIdOf(parent.image), imageIdOf(parent.image)];
		if (imageId !== null) chain.push({ kind: "image", id: imageId, format: "raw" });
		if (volumeId === null) break;
		chain.push({ kind: "volume", id: volumeId, format: "raw" });
		parent = await parentOf(parent.image);
	}
	return chain;
}

/** With what only its snapshots keep. */
async function allocated({ runner, images }: RbdContext, name: string): Promise<number> {
	const text = await orMissing(runner.rbd(["du", "--format", "json", "--", images.spec(name)]));
	if (text === null) return 0;
	return readAnswer(DuAnswer, text, "rbd du").images.reduce((sum, { used_size }) => sum + used_size, 0);
}

/**
 * A writer takes the image's lock before its first write, which changes the object map; while it goes on, the time of the
 * last change is noted once a minute. Both together change with each new writer. So does a snapshot that we make, which is no harm.
 */
async function markOf({ runner }: RbdContext, { id, modify_timestamp }: InfoAnswer): Promise<string> {
	const text = (await orMissing(runner.rados(["stat2", `rbd_object_map.${id}`]))) ?? "";
	return `${modify_timestamp} ${/ mtime (\S+),/.exec(text)?.[1] ?? ""}`;
}
