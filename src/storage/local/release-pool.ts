/** The node of a local pool leaves the cluster: the folder is nobody's from now on. Can be repeated when it was cut off. */
import { LocalDriver, type LocalDriverOptions } from "./driver.ts";
import { PoolFolder } from "./pool-folder.ts";

/** What goes with it, by id; missing is done. */
export type Leftovers = { volumes: readonly string[]; images: readonly string[] };

/**
 * Nothing but the node's name goes when other nodes have the folder, and nothing at all when it is not that of this pool. What cannot be
 * removed stays, and is said in the log. False: there is no pool at all, as when its disk is not mounted.
 */
export async function releasePool(
	options: LocalDriverOptions & { nodeId: string },
	{ volumes, images }: Leftovers,
): Promise<boolean> {
	const folder = new PoolFolder(options.path, options.random);
	const marker = await folder.readMarker();
	if (marker?.poolId !== options.poolId) return marker !== null;
	const others = await folder.otherNodes(options.nodeId);
	if (others.length > 0) {
		options.log.info("the folder of a pool stays: other nodes have it", { poolId: options.poolId, others });
		await folder.remove(options.poolId, options.nodeId);
		return true;
	}
	const driver = new LocalDriver({ ...options, mayInitialize: false });
	await driver.activate();
	const removed = (what: object, removal: Promise<void>) =>
		removal.catch((error) =>
			options.log.warn("something that this node leaves behind stays in its pool", { ...what, error }),
		);
	for (const volumeId of volumes) await removed({ volumeId }, driver.deleteVolume(volumeId));
	for (const imageId of images) await removed({ imageId }, driver.deleteImage(imageId));
	await driver.remove();
	return true;
}
