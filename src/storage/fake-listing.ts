/** What lies in a fake pool: three folders as in a pool of files, and strays. */
import { AppError } from "../lib/errors.ts";
import { folderParts } from "../model/pool-content.ts";
import {
	type ContentEntry,
	type ContentListing,
	type ContentOptions,
	entryNamed,
	listing,
	noSuchFolder,
	ownedBy,
	snapshotOwner,
} from "./content.ts";
import type { SparseBytes } from "./fake-content.ts";
import type { FakePool, FakeVolume } from "./fake-pool.ts";

/** The fake does not know which pool it is. */
const anyPoolId = "00000000-0000-7000-8000-000000000000";

export async function fakeContent(
	pool: FakePool,
	folder: string,
	options: ContentOptions,
	entered: Promise<void>,
): Promise<ContentListing> {
	await entered;
	const [part, ...deeper] = folderParts(folder);
	if (part === undefined) return listing(top(pool), options);
	const stray = pool.strays.get(part);
	if (stray && stray.kind !== "folder") throw new AppError("invalid", "This is no folder.");
	if (deeper.length > 0) throw noSuchFolder();
	if (stray) return listing([], options);
	if (part === "volumes")
		return listing(
			[...pool.volumes].flatMap(([id, volume]) => filesOf(id, volume)),
			options,
		);
	if (part === "images")
		return listing(
			[...pool.images].map(([id, image]) => {
				const sizes = { ...sizesOf(image.content), sizeBytes: image.virtualSizeBytes };
				return entryNamed(`${id}.${image.format}`, "file", { ...sizes, belongsTo: ownedBy("image", id) });
			}),
			options,
		);
	if (part === "uploads")
		return listing(
			[...pool.uploads].map(([id, { content }]) =>
				entryNamed(`${id}.part`, "file", { ...sizesOf(content), belongsTo: ownedBy("upload", id) }),
			),
			options,
		);
	throw noSuchFolder();
}

const top = ({ strays }: FakePool): ContentEntry[] => [
	...["volumes", "images", "uploads"].map((name) =>
		entryNamed(name, "folder", { belongsTo: ownedBy("pool", anyPoolId) }),
	),
	...[...strays].map(([name, stray]) => entryNamed(name, stray.kind, stray)),
];

/** What was taken over lies elsewhere. */
function filesOf(id: string, { path, layers, snapshots, content, adopted }: FakeVolume): ContentEntry[] {
	const files = new Map<string, ContentEntry>();
	const nameOf = (file: string) => file.slice(file.lastIndexOf("/") + 1);
	const add = (file: string, about: Partial<ContentEntry>) => {
		if (file.includes("/volumes/")) files.set(file, entryNamed(nameOf(file), "file", about));
	};
	for (const layer of [...layers, ...snapshots.flatMap((one) => one.layers)])
		add(layer.path, { belongsTo: ownedBy("volume", id) });
	for (const { id: snapshotId, content: then, layers: below } of [...snapshots].reverse()) {
		const about = { sizeBytes: then.length, belongsTo: snapshotOwner(snapshotId, id) };
		const [own] = below;
		if (own && own.path !== path) add(own.path, about);
		else files.set(snapshotId, entryNamed(`${nameOf(path)}@${snapshotId}`, "snapshot", about));
	}
	if (!adopted) add(path, { ...sizesOf(content), belongsTo: ownedBy("volume", id) });
	return [...files.values()];
}

const sizesOf = (content: SparseBytes) => ({ sizeBytes: content.length, allocatedBytes: content.allocatedBytes });
