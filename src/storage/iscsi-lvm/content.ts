/** What lies in a volume group: logical volumes, whose they are by their names and tags. LVM knows no time of change. */
import {
	type ContentEntry,
	type ContentListing,
	type ContentOptions,
	type ContentOwner,
	entryNamed,
	listing,
	ownedBy,
	requireTop,
	snapshotOwner,
} from "../content.ts";
import { type IscsiContext, readIndex } from "./context.ts";
import { parseLvName, thinPoolName } from "./names.ts";
import { type PoolIndex, sizeOf } from "./pool-index.ts";

/** LVM's own: the leases of a shared group, the pool that thin volumes take their space from. */
const lvsOfPool = ({ layout }: Pick<IscsiContext, "layout">): string[] => [
	"lvmlock",
	...(layout === "thin" ? [thinPoolName] : []),
];

/** Whether somebody else has made a logical volume in the group. */
export async function holdsOthers(context: Pick<IscsiContext, "layout" | "group">, index: PoolIndex): Promise<boolean> {
	const ofPool = lvsOfPool(context);
	return (await context.group.anyLvs()).some(({ lv }) => index.get(lv) === null && !ofPool.includes(lv));
}

export async function listContent(
	context: IscsiContext,
	poolId: string,
	folder: string,
	options: ContentOptions = {},
): Promise<ContentListing> {
	requireTop(folder);
	const [index, found] = await Promise.all([readIndex(context), context.group.anyLvs()]);
	options.signal?.throwIfAborted();
	const snapshots = snapshotsByDisk(index);
	const ofPool = lvsOfPool(context);
	const entries = found.map(({ lv, lvBytes, dataPercent }): ContentEntry => {
		const name = parseLvName(lv);
		const ours = index.get(lv);
		const own: ContentOwner | null = name === null ? null : ownedBy(name.kind, name.id);
		return entryNamed(lv, "logical-volume", {
			sizeBytes: ours === null ? lvBytes : sizeOf(ours),
			allocatedBytes: dataPercent === null ? lvBytes : Math.round((lvBytes * dataPercent) / 100),
			belongsTo: ofPool.includes(lv) ? ownedBy("pool", poolId) : (snapshots.get(lv) ?? own),
		});
	});
	return listing(entries, options);
}

function snapshotsByDisk(index: PoolIndex): Map<string, ContentOwner> {
	const found = new Map<string, ContentOwner>();
	for (const volumeId of index.volumeIds())
		for (const { id, disk } of index.snapshots({ disks: index.disks(volumeId) }))
			found.set(disk.lv, snapshotOwner(id, volumeId));
	return found;
}
