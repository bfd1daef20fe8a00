/**
 * What rests on a volume or holds it. The live store has all copies and images, and the snapshots of VMs that somebody has looked at;
 * `useHolders` has it look at those that matter. The API knows all: whoever is about to do what cannot be taken back asks it.
 */
import { computed } from "@preact/signals";
import {
	type AroundVolume,
	dependentsObstacle,
	snapshotsHolding,
	sourceVolumeOf,
	volumeDeletionObstacle,
} from "../../../src/model/volume-rules.ts";
import { read } from "../../api/call.ts";
import { live, liveSnapshots } from "../../api/live/live.ts";
import type { Page, Volume } from "../../api/types.ts";
import { useQuery } from "../../api/use.ts";
import { storage as t } from "../../strings/storage.ts";
import { workText } from "./volume-work.ts";

const copies = computed(() => Map.groupBy(live.volume.items.value, sourceVolumeOf));
const images = computed(() =>
	Map.groupBy(live.image.items.value, ({ source }) => (source.kind === "volume" ? source.volumeId : null)),
);
const vmNameOf = (id: string): string | undefined => live.vm.peek(id)?.name;

/** Followed by whatever renders it. */
export const aroundVolume = ({ id }: Volume): AroundVolume => ({
	volumes: copies.value.get(id) ?? [],
	images: images.value.get(id) ?? [],
	snapshots: liveSnapshots.known().flatMap(({ items }) => items.value),
	vmNameOf,
});

/** As `volumeDeletionObstacle`, as far as it is known here, in few words: a volume may be in very many snapshots. */
export function keptObstacle(volume: Volume): string | null {
	const around = aroundVolume(volume);
	const holding = snapshotsHolding(volume.id, around);
	return dependentsObstacle(volume, around) ?? (holding[0] === undefined ? null : t.held(holding[0], holding.length));
}

/** Has the live store know the snapshots that hold the volume, of whichever VM they are. */
export function useHolders({ id, vmId }: Volume): void {
	useQuery(`${id} ${vmId}`, async (signal) => {
		const holding = await snapshotsOf(id, signal);
		await Promise.all([...new Set(holding.map((one) => one.vmId))].map((one) => liveSnapshots.of(one).ensure()));
	});
}

/**
 * Why the volume would not be deleted once `vmId` has let go of it, asked of the API now: lists here may be behind. Null when it would be.
 * Throws ApiError.
 */
export async function askDeletionObstacle(id: string, vmId: string): Promise<string | null> {
	const [volume, volumes, made, snapshots, tasks] = await Promise.all([
		read("volumeGet", { id }),
		all((page) => read("volumeList", { query: { ...page, sourceVolumeId: [id] } })),
		all((page) => read("imageList", { query: { ...page, sourceVolumeId: [id] } })),
		snapshotsOf(id),
		all((page) => read("taskList", { query: { ...page, targetId: [id], state: ["pending", "running"] } })),
	]);
	if (volume.vmId !== null && volume.vmId !== vmId) return t.inUse;
	if (volume.phase === "deleting") return t.isDeleting;
	return volumeDeletionObstacle(volume, { volumes, images: made, snapshots, vmNameOf }) ?? workText(tasks, id);
}

const snapshotsOf = (id: string, signal?: AbortSignal) =>
	all((query) => read("volumeSnapshotList", { id, query, ...(signal ? { signal } : {}) }));

const maxPages = 1000;

async function all<T>(load: (page: { limit: number; pageToken: string | null }) => Promise<Page<T>>): Promise<T[]> {
	const items: T[] = [];
	let pageToken: string | null = null;
	for (let page = 0; page < maxPages; page++) {
		const answer: Page<T> = await load({ limit: 1000, pageToken });
		items.push(...answer.items);
		pageToken = answer.nextPageToken;
		if (pageToken === null) break;
	}
	return items;
}
