/**
 * Names of ours in a Ceph pool, all made of ids:
 *
 *   lqx-vol-<id>, lqx-img-<id>       images of RBD: a volume, an image (its content is fixed by the snapshot lqx-base)
 *   lqx-tmp-<node id>-<hex>          half made, or on its way out; the snapshot of a volume that an operation needs for a while
 *   lqx-snap-<id>                    snapshot of a volume that somebody asked for
 *   limiquantix-pool                 object whose lock says which pool of ours this is (pool-marker.ts)
 *   limiquantix-work                 object that lists what nodes do inside of volumes (work.ts)
 */
import { isUuid } from "../../lib/ids.ts";
import type { CephRbdPoolConfig } from "../../model/pool-config.ts";

const [volumePrefix, imagePrefix, snapshotPrefix] = ["lqx-vol-", "lqx-img-", "lqx-snap-"];
export const markerObject = "limiquantix-pool";
/** What the copy-on-write copies of an image rest on. */
export const baseSnapshot = "lqx-base";

export const volumeName = (id: string): string => `${volumePrefix}${id}`;
export const imageName = (id: string): string => `${imagePrefix}${id}`;
export const snapshotName = (id: string): string => `${snapshotPrefix}${id}`;
const anyTemporary = "lqx-tmp-";
export const temporaryPrefix = (nodeId: string): string => `${anyTemporary}${nodeId}-`;
/** Of whichever node. */
export const isTemporary = (name: string): boolean =>
	name.startsWith(anyTemporary) && isUuid(name.slice(anyTemporary.length, anyTemporary.length + 36));
export const workObject = "limiquantix-work";

const idAfter = (prefix: string, name: string): string | null => {
	const id = name.slice(prefix.length);
	return name.startsWith(prefix) && isUuid(id) ? id : null;
};
export const volumeIdOf = (name: string): string | null => idAfter(volumePrefix, name);
export const imageIdOf = (name: string): string | null => idAfter(imagePrefix, name);
export const snapshotIdOf = (name: string): string | null => idAfter(snapshotPrefix, name);

export type CephPlace = Pick<CephRbdPoolConfig, "cephPool" | "namespace" | "dataPool">;

/** POOL[/NAMESPACE]/IMAGE[@SNAPSHOT], as rbd takes it. The schema of the configuration keeps its signs out of the parts. */
export function imageSpec(
	{ cephPool, namespace }: Pick<CephPlace, "cephPool" | "namespace">,
	name: string,
	snapshot?: string,
): string {
	const image = [cephPool, ...(namespace === null ? [] : [namespace]), name].join("/");
	return snapshot === undefined ? image : `${image}@${snapshot}`;
}
