/**
 * What other nodes get of this one (the other end of remote.ts): images that are complete, and disks and state of VMs that
 * move to them. Whether somebody may have something is decided here, from this node's own state: that a node asks proves
 * nothing but that it is that node.
 */
import { AppError } from "../lib/errors.ts";
import { isBeingMade } from "../model/storage-rules.ts";
import { isFinished } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import type { LongOptions, StorageDriver, VolumeContent } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import type { Pools } from "./pools.ts";
import type { DiskSize, RemoteContent } from "./remote.ts";
import { isActive } from "./vm-plan.ts";
import type { VmStateFile } from "./vm-state.ts";

/** `asking`: the node that is connected, as its certificate says. */
export interface NodeSources {
	image(asking: string, imageId: string): Promise<RemoteContent<"qcow2" | "raw" | "iso">>;
	volume(asking: string, volumeId: string, options: LongOptions): Promise<VolumeContent>;
	diskSizes(asking: string, vmId: string): Promise<DiskSize[]>;
	vmState(asking: string, vmId: string): Promise<VmStateFile[]>;
}

export class LocalSources implements NodeSources {
	readonly #context: NodeContext;
	readonly #pools: Pick<Pools, "driver">;

	constructor(context: NodeContext, pools: Pick<Pools, "driver">) {
		this.#context = context;
		this.#pools = pools;
	}

	async image(asking: string, imageId: string): Promise<RemoteContent<"qcow2" | "raw" | "iso">> {
		const { store, nodeId } = this.#context;
		await this.#upToDate();
		const image = store.get("image", imageId);
		if (!image) throw new AppError("not-found", "There is no such image.");
		const { phase, format, poolId } = image;
		const pool = store.get("pool", poolId);
		const isHere = image.nodeId === null ? pool?.nodeIds.includes(nodeId) === true : image.nodeId === nodeId;
		if (phase !== "ready" || !isHere)
			throw new AppError(
				"wrong-state",
				`The image "${image.name}" is ${phase === "ready" ? "not on this node" : phase}.`,
			);
		if (!pool?.nodeIds.includes(asking) && !this.#isCopiedBy(asking, imageId))
			throw new AppError("forbidden", `The pool of image "${image.name}" has no part on the node that asks.`);
		if (format !== "qcow2" && format !== "raw" && format !== "iso")
			throw new AppError("unsupported", `Images of format ${format} are not copied.`);
		const driver = await this.#pools.driver(poolId);
		return { format, ...(await driver.openImage(imageId)) };
	}

	/** That node makes an image of another pool of it. */
	#isCopiedBy(asking: string, imageId: string): boolean {
		const { store } = this.#context;
		const tasksOf = (targetId: string) => store.all("task", { kind: "image.import", targetId });
		return store
			.all("image", { sourceImageId: imageId })
			.filter(isBeingMade)
			.some(({ id }) => tasksOf(id).some((task) => task.nodeId === asking && !isFinished(task.state)));
	}

	async volume(asking: string, volumeId: string, options: LongOptions): Promise<VolumeContent> {
		const { store } = this.#context;
		await this.#upToDate();
		const volume = store.get("volume", volumeId);
		if (!volume) throw new AppError("not-found", "There is no such volume.");
		if (volume.vmId === null || volume.nodeId !== this.#context.nodeId || volume.phase !== "ready")
			throw new AppError("forbidden", `Volume "${volume.name}" does not move.`);
		await this.#requireMoving(asking, volume.vmId);
		const driver = await this.#pools.driver(volume.poolId);
		return driver.readVolume(volumeId, options);
	}

	async diskSizes(asking: string, vmId: string): Promise<DiskSize[]> {
		await this.#upToDate();
		const { spec } = await this.#requireMoving(asking, vmId);
		const { store, nodeId } = this.#context;
		const sizes: DiskSize[] = [];
		for (const { volumeId } of spec.disks) {
			const volume = store.get("volume", volumeId);
			if (volume?.nodeId !== nodeId || volume.phase !== "ready") continue;
			const driver = await this.#pools.driver(volume.poolId);
			const measured = await limited(this.#context, "Measuring a volume", limits.quickStorageMs, () =>
				measure(driver, volumeId),
			);
			const { bytes, mark } = measured;
			sizes.push({ volumeId, bytes, mark });
		}
		return sizes;
	}

	async vmState(asking: string, vmId: string): Promise<VmStateFile[]> {
		await this.#upToDate();
		const vm = await this.#requireMoving(asking, vmId);
		return limited(this.#context, "Reading the VM's state", limits.readMs, () => this.#context.vmState.read(vm.id));
	}

	/** Whoever asks has seen its task in a state that this node's copy may still be behind of. */
	async #upToDate(): Promise<void> {
		await this.#context.store.readIndex();
	}

	/** It moves to the node that asks, and is off: in the record and in fact. */
	async #requireMoving(asking: string, vmId: string): Promise<Vm> {
		const { store, nodeId, hypervisor } = this.#context;
		const vm = store.get("vm", vmId);
		if (!vm) throw new AppError("not-found", "There is no such VM.");
		const moving = store
			.all("task", { kind: "vm.move", targetId: vmId })
			.some((task) => task.nodeId === asking && !isFinished(task.state));
		if (vm.nodeId !== nodeId || !moving)
			throw new AppError("forbidden", `The VM "${vm.name}" does not move to that node.`);
		const { powerState } = vm.status;
		const domain = await limited(this.#context, "Reading the VM's state", limits.readMs, () =>
			hypervisor.getDomain(vmId),
		);
		if ((powerState !== "stopped" && powerState !== "failed") || isActive(domain))
			throw new AppError("wrong-state", `The VM "${vm.name}" is not off.`);
		return vm;
	}
}

/** `bytes`: of the volume and of all that it rests on; no more than the disk is large. `ownBytes`: what it takes itself. */
export async function measure(
	driver: StorageDriver,
	volumeId: string,
): Promise<Omit<DiskSize, "volumeId"> & { ownBytes: number }> {
	const info = await driver.getVolume(volumeId);
	if (info === null) throw new AppError("storage", "The content of a volume is missing in its pool.");
	let bytes = info.allocatedBytes;
	for (const { kind, id } of info.backing)
		bytes +=
			(kind === "image" ? (await driver.getImage(id))?.fileSizeBytes : (await driver.getVolume(id))?.allocatedBytes) ??
			0;
	return { bytes: Math.min(bytes, info.sizeBytes), ownBytes: info.allocatedBytes, mark: info.contentMark };
}
