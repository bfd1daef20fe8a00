/** The node of a local pool leaves the cluster: the folder is nobody's from now on. Can be repeated when it was cut off. */
import { LocalDriver, type LocalDriverOptions } from "./driver.ts";
import { PoolFolder } from "./pool-folder.ts";

/** What goes with it, by id; missing is done. */
export type Leftovers = { volumes: readonly string[]; images: readonly string[] };

/** Nothing happens when the folder is not that of this pool. What cannot be removed stays, and is said in the log. */
export async function releasePool(options: LocalDriverOptions, { volumes, images }: Leftovers): Promise<void> {
	const folder = new PoolFolder(options.path, options.random);
	if ((await folder.readMarker())?.poolId !== options.poolId) return;
	const driver = new LocalDriver({ ...options, mayInitialize: false });
	await driver.activate();
	const removed = (what: object, removal: Promise<void>) =>
		removal.catch((error) =>
			options.log.warn("something that this node leaves behind stays in its pool", { ...what, error }),
		);
	for (const volumeId of volumes) await removed({ volumeId }, driver.deleteVolume(volumeId));
	for (const imageId of images) await removed({ imageId }, driver.deleteImage(imageId));
	await driver.remove();
}
