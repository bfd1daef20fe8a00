/** What a node brings when it joins, as all members of the cluster take it. */
import { AppError } from "../lib/errors.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Image, Pool, Volume } from "../model/storage.ts";
import type { Feature } from "../store/command-features.ts";

type Brought = {
	pools: readonly Pool[];
	images: readonly Image[];
	volumes: readonly Volume[];
	snapshots?: readonly Snapshot[];
};

/** What they would refuse waits until they are upgraded (`unsupported`), unless the node says it anew by itself: that is left out. */
export function asKnown<T extends Brought>(objects: T, everybodyHas: (feature: Feature) => boolean): T {
	const refuse = (what: string) =>
		new AppError("unsupported", `${what}, of which not all nodes of the cluster know yet. Upgrade them.`);
	if (objects.snapshots && !everybodyHas("storage-1")) throw refuse("Its VMs have snapshots");
	if (!everybodyHas("image-copy-1") && objects.images.some(({ source }) => source.kind === "image"))
		throw refuse("It has copies of images");
	if (everybodyHas("thick-1")) return objects;
	if (objects.volumes.some(({ provisioning }) => provisioning !== undefined))
		throw refuse("Its volumes say whether they are thin or thick");
	return { ...objects, pools: objects.pools.map(withoutProvisioning) };
}

function withoutProvisioning(pool: Pool): Pool {
	const nodes = pool.nodes.map(({ capabilities, ...node }) => {
		if (capabilities === null) return { ...node, capabilities };
		const { provisioning: _told, ...rest } = capabilities;
		return { ...node, capabilities: rest };
	});
	return { ...pool, nodes };
}
