/** What the planners of VMs read, and the checks of references that create and update share. */
import type { PlacementState } from "../../control/placement.ts";
import { AppError, type FieldError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { mayWorkOn } from "../../model/pool-parts.ts";
import type { Image, Pool, Volume } from "../../model/storage.ts";
import type { StoreReader } from "../../store/store.ts";

export type PlanState = Pick<StoreReader, "get" | "all" | "count" | "macInUse" | "vmLoads">;

export const placementState = (state: PlanState): PlacementState => ({
	nodes: state.all("node"),
	pools: state.all("pool"),
	loads: state.vmLoads(),
});

/** Collects bad fields, so that a form hears of all of them at once. */
export class FieldErrors {
	readonly #fields: FieldError[] = [];

	add(path: string, message: string): null {
		this.#fields.push({ path, message });
		return null;
	}

	/** Throws `invalid` when anything was added. */
	check(what: string): void {
		const [first] = this.#fields;
		if (first) throw new AppError("invalid", `${what}: ${first.message}`, { fields: this.#fields });
	}
}

const shortId = (id: string): string => id.slice(0, 13);

/** Pools that can take something new now. */
export const usable = (pool: Pool): boolean => pool.phase === "ready" || pool.phase === "degraded";

/**
 * The pool asked for, or the default: the oldest usable one on the node, rather one that works there. Null (and a field error) when there
 * is none.
 */
export function choosePool(
	state: PlanState,
	nodeId: string,
	poolId: string | undefined,
	path: string,
	errors: FieldErrors,
): Pool | null {
	if (poolId !== undefined) {
		const pool = state.get("pool", poolId);
		if (!pool) return errors.add(path, `There is no storage pool ${shortId(poolId)}.`);
		if (!pool.nodeIds.includes(nodeId)) return errors.add(path, `The pool ${pool.name} is not on this node.`);
		if (!usable(pool)) throw notUsable(pool);
		return pool;
	}
	const pools = state.all("pool").filter((pool) => pool.nodeIds.includes(nodeId) && pool.phase !== "deleting");
	const fails = (pool: Pool) => Number(!mayWorkOn(pool, nodeId));
	const [oldest] = pools.filter(usable).sort((one, other) => fails(one) - fails(other) || byAge(one, other));
	if (oldest) return oldest;
	const [waiting] = pools;
	if (waiting) throw notUsable(waiting);
	return errors.add(path, "There is no storage pool on this node. Make one first.");
}

/** A pool that its node has not looked at yet (a node that has just started) will be there in a moment. */
const notUsable = (pool: Pool): AppError =>
	pool.phase === "pending"
		? new AppError("unavailable", `The storage pool ${pool.name} is being set up. Try again in a moment.`, {
				retryAfterMs: 1000,
			})
		: new AppError("wrong-state", `The storage pool ${pool.name} is ${pool.phase}.`);

export const byAge = (a: { createdAt: string; id: string }, b: { createdAt: string; id: string }): number =>
	a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : a.id < b.id ? -1 : 1;

/** An image that can be used now on the node, for a disk or for a CD-ROM drive. */
export function chooseImage(
	state: PlanState,
	nodeId: string,
	imageId: string,
	use: "disk" | "cdrom",
	path: string,
	errors: FieldErrors,
): Image | null {
	const image = state.get("image", imageId);
	if (!image) return errors.add(path, `There is no image ${shortId(imageId)}.`);
	if (use === "cdrom" && image.format !== "iso") return errors.add(path, `${image.name} is no ISO image.`);
	if (use === "disk" && image.format === "iso")
		return errors.add(path, `${image.name} is an ISO image: put it into a CD-ROM drive.`);
	// One that another node has is copied, into this node's part of the pool; one in a shared pool is read there.
	const pool = state.get("pool", image.poolId);
	if (image.nodeId !== nodeId && !pool?.nodeIds.includes(nodeId))
		return errors.add(path, `The image ${image.name} is in the pool ${pool?.name ?? "?"}, which is not on this node.`);
	if (image.phase !== "ready")
		throw new AppError("wrong-state", `The image ${image.name} is ${image.phase}, not ready.`);
	return image;
}

/** A volume that can be attached to the VM `vmId` (null: to one that is only being made). */
export function chooseVolume(
	state: PlanState,
	nodeId: string,
	volumeId: string,
	vmId: string | null,
	path: string,
	errors: FieldErrors,
): Volume | null {
	const volume = state.get("volume", volumeId);
	if (!volume) return errors.add(path, `There is no volume ${shortId(volumeId)}.`);
	if (volume.vmId !== null && volume.vmId === vmId) return volume;
	if (volume.vmId !== null) {
		const name = state.get("vm", volume.vmId)?.name ?? shortId(volume.vmId);
		throw new AppError("in-use", `The volume ${volume.name} is attached to the VM ${name}.`);
	}
	if (volume.nodeId !== null && volume.nodeId !== nodeId)
		return errors.add(path, `The volume ${volume.name} is on another node.`);
	if (volume.phase !== "ready")
		throw new AppError("wrong-state", `The volume ${volume.name} is ${volume.phase}, not ready.`);
	return volume;
}

/** Memory in whole MiB, and no more than the node has. */
export function checkMemory(bytes: number, hostBytes: number, path: string, errors: FieldErrors): void {
	if (bytes % MiB !== 0) errors.add(path, "Memory comes in whole MiB.");
	if (hostBytes > 0 && bytes > hostBytes) errors.add(path, "That is more memory than the node has.");
}

/** Disk sizes are whole sectors. */
export function checkSectors(bytes: number, path: string, errors: FieldErrors): void {
	if (bytes % 512 !== 0) errors.add(path, "A size in bytes must be a multiple of 512.");
}
