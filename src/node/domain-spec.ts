/**
 * A VM's record as the hypervisor driver wants it: references to volumes, images and networks turned into paths and
 * bridges of this node. Fails with a message that names what is missing.
 */

import type { DiskLimits, DomainSpec } from "../hypervisor/driver.ts";
import { AppError } from "../lib/errors.ts";
import type { DiskSource } from "../model/disk-source.ts";
import { losesByDiscard } from "../model/storage-rules.ts";
import type { Vm } from "../model/vm.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import type { LiveMerges } from "./live-merges.ts";
import type { Networks } from "./networks.ts";
import type { Pools } from "./pools.ts";
import { seedPath, vmFolder } from "./vm-folder.ts";
import type { VolumeMoves } from "./volume-moves.ts";

export type DomainParts = {
	context: NodeContext;
	pools: Pools;
	networks: Networks;
	volumeMoves: Pick<VolumeMoves, "settle">;
	liveMerges: Pick<LiveMerges, "settle">;
};

/** What holds the bridges that it was given (see Networks). `bridges`: by network id; null until they were made ready. */
export type BridgeUser = { bridges: Map<string, string> | null };

/** Networks that were not made ready for `user` are so here, because a bridge's name is only known then. */
export async function buildDomainSpec(
	{ context, pools, networks, volumeMoves, liveMerges }: DomainParts,
	vm: Vm,
	user: BridgeUser | null,
): Promise<DomainSpec> {
	const folder = vmFolder(context.dataDir, vm.id);
	const known = user?.bridges ?? (await prepareNetworks(networks, vm, user));
	await settleDisks(volumeMoves, vm);
	await liveMerges.settle(vm.id);
	const spec = withSpaceKept(context, vm.spec);
	const disks = await Promise.all(
		spec.disks.map(async (disk) => {
			const volume = context.store.get("volume", disk.volumeId);
			if (!volume) throw new AppError("not-found", `The volume of disk "${disk.id}" does not exist.`);
			const driver = await pools.driver(volume.poolId);
			const attached = await context.poolLooks.run(volume.poolId, () =>
				limited(context, `Finding volume "${volume.name}"`, limits.quickStorageMs, () => driver.attachInfo(volume.id)),
			);
			return { id: disk.id, ...attached, qos: qosOf(disk) };
		}),
	);
	const cdroms = await Promise.all(
		vm.spec.cdroms.map(async (cdrom) => ({
			id: cdrom.id,
			source: cdrom.imageId === null ? null : await imageSource(context, pools, cdrom.imageId),
		})),
	);
	const nics = vm.spec.nics.map((nic) => {
		const bridge = known.get(nic.networkId);
		if (bridge === undefined) throw new AppError("not-found", `The network of NIC "${nic.id}" does not exist.`);
		return { id: nic.id, bridge };
	});
	return {
		id: vm.id,
		name: vm.name,
		generation: vm.generation,
		spec,
		disks,
		cdroms,
		nics,
		seedPath: vm.spec.cloudInit === null ? null : seedPath(folder),
		accelerator: context.accelerator.kind,
		folder,
	};
}

/**
 * What its guest discards would make a hole in the file of a thick volume, whose space is promised: QEMU ignores it there, whatever the
 * disk says. Zeroes that the guest writes keep their space then, too.
 */
function withSpaceKept({ store }: NodeContext, spec: Vm["spec"]): Vm["spec"] {
	const isKept = ({ volumeId }: Vm["spec"]["disks"][number]): boolean => {
		const volume = store.get("volume", volumeId);
		return volume !== null && losesByDiscard(volume, store.get("pool", volume.poolId));
	};
	return { ...spec, disks: spec.disks.map((disk) => (isKept(disk) ? { ...disk, discard: false } : disk)) };
}

function qosOf({ limits }: Vm["spec"]["disks"][number]): DiskLimits | null {
	if (limits === undefined) return null;
	const { readBytesPerSecond = null, writeBytesPerSecond = null, readIops = null, writeIops = null } = limits;
	return { readBytesPerSecond, writeBytesPerSecond, readIops, writeIops };
}

/** A disk may have gone over to another pool when a daemon before this one ended: then the state says so afterwards. */
export async function settleDisks(volumeMoves: DomainParts["volumeMoves"], vm: Vm): Promise<void> {
	for (const { volumeId } of vm.spec.disks) await volumeMoves.settle(volumeId);
}

/** Makes the networks of all NICs exist; bridges by network id. */
export async function prepareNetworks(
	networks: Networks,
	vm: Vm,
	user: BridgeUser | null,
): Promise<Map<string, string>> {
	const ids = [...new Set(vm.spec.nics.map((nic) => nic.networkId))];
	// Also when one fails, all are waited for: nobody is given a bridge to hold after `user` has let go of them.
	const found = await Promise.allSettled(ids.map(async (id) => [id, await networks.bridge(id, user)] as const));
	return new Map(
		found.map((one) => {
			if (one.status === "rejected") throw one.reason;
			return one.value;
		}),
	);
}

async function imageSource(context: NodeContext, pools: Pools, imageId: string): Promise<DiskSource> {
	const image = context.store.get("image", imageId);
	if (!image) throw new AppError("not-found", "The image in a CD-ROM drive does not exist any more.");
	if (image.phase !== "ready")
		throw new AppError("wrong-state", `Image "${image.name}" in a CD-ROM drive is ${image.phase}.`);
	const driver = await pools.driver(image.poolId);
	return context.poolLooks.run(image.poolId, () =>
		limited(context, `Finding image "${image.name}"`, limits.quickStorageMs, () => driver.imageSource(imageId)),
	);
}
