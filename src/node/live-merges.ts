/**
 * What QEMU merges of the disks of running VMs, so that a snapshot can go: `<dataDir>/live-merges.json`, by VM id, one of each VM at a
 * time, written before QEMU is told. QEMU's work outlives us; whoever goes on finds by this what to look at.
 *
 *   record → QEMU writes the layer into the one below it → its driver's record follows (settle) → record away
 *   the layer is what the guest writes to: … all is there → the VM's queue keeps still → record: halted → the guest stands still → QEMU
 *   goes over → its driver's record follows → the guest goes on → record away
 *
 * | found by the next run         | VM runs                                | VM does not run any more                    |
 * | ----------------------------- | -------------------------------------- | ------------------------------------------- |
 * | record                        | the work is adopted, or begun again    | its driver merges the files, as of any VM that is off |
 * | record, QEMU has gone over    | its driver's record follows            | both files are the disk, for the guest stood still    |
 * | halted                        | it goes on                             | nothing                                     |
 *
 * Before anything lets the guest go on, or compares it with its record, `settle` is asked (domain-spec.ts).
 */
import { type Static, Type } from "@sinclair/typebox";
import type { DomainState } from "../hypervisor/driver.ts";
import { isAppError } from "../lib/errors.ts";
import { sourceName } from "../model/disk-source.ts";
import { Id, Strict } from "../model/schema.ts";
import { isFinished } from "../model/task.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { isActive } from "./plan-words.ts";
import type { Pools } from "./pools.ts";
import { RecordFile } from "./record-file.ts";
import type { VolumeUsers } from "./volumes.ts";

/** Of a pool of files or of logical volumes: nowhere else are snapshots layers. */
const LayerSource = Strict({
	kind: Type.Union([Type.Literal("file"), Type.Literal("block")]),
	path: Type.String({ minLength: 1 }),
});
const LiveMerge = Strict({
	taskId: Id,
	volumeId: Id,
	diskId: Type.String(),
	top: LayerSource,
	base: LayerSource,
	/** `top` is what the guest writes to. */
	active: Type.Boolean(),
	/** The guest ran, and stands still for us. */
	halted: Type.Boolean(),
});
export type LiveMergeRecord = Static<typeof LiveMerge>;
export const liveMergeRecords = { name: "live-merges", schema: LiveMerge };

export class LiveMerges {
	readonly #context: NodeContext;
	readonly #pools: Pick<Pools, "driver">;
	readonly #records: RecordFile<typeof LiveMerge>;

	constructor(context: NodeContext, pools: Pick<Pools, "driver">) {
		this.#context = context;
		this.#pools = pools;
		this.#records = new RecordFile(context, liveMergeRecords);
	}

	begin(vmId: string, record: LiveMergeRecord): Promise<void> {
		return this.#records.set(vmId, record);
	}

	/** While nothing else happens to the VM. One that a person has halted stays so. */
	async halt(vmId: string): Promise<void> {
		const record = await this.#records.get(vmId);
		const domain = await this.#readDomain(vmId);
		if (!record || domain?.powerState !== "running") return;
		await this.#records.set(vmId, { ...record, halted: true });
		await limited(this.#context, "Halting the VM", limits.controlMs, () => this.#context.hypervisor.pause(vmId));
	}

	/**
	 * Finds out whether QEMU is through, and sees to it that the pool's record says so: true then, or when there is nothing to find out.
	 * Fails while libvirt does not say.
	 */
	async settle(vmId: string): Promise<boolean> {
		const record = await this.#records.get(vmId);
		if (!record) return true;
		const { volumeId, diskId, active } = record;
		const domain = await this.#readDomain(vmId);
		if (isActive(domain)) {
			const layers = await limited(this.#context, "Reading the VM's disks", limits.readMs, () =>
				this.#context.hypervisor.diskLayers(vmId),
			);
			const names = layers.find((disk) => disk.diskId === diskId)?.layers ?? [];
			if (names.includes(sourceName(record.top)) || !names.includes(sourceName(record.base))) return false;
		} else if (active) return false;
		const volume = this.#context.store.get("volume", volumeId);
		if (!volume) return true;
		const { snapshots } = await this.#pools.driver(volume.poolId);
		const { top, base } = record;
		await this.#context.locks.run(`merged:${volumeId}`, () =>
			limited(this.#context, `Merging disk "${volume.name}"`, limits.quickStorageMs, async () =>
				snapshots?.finishLiveDelete?.(volumeId, { top, base, active }),
			),
		);
		return isActive(domain);
	}

	/**
	 * While nothing else happens to the VM: settles it, and a guest that stood still goes on. Of what is not through QEMU may go on, and
	 * whoever begins it again adopts that. True as for `settle`.
	 */
	async end(vmId: string): Promise<boolean> {
		const record = await this.#records.get(vmId);
		if (!record) return true;
		const settled = await this.settle(vmId);
		const domain = await this.#readDomain(vmId);
		if (record.halted && domain?.powerState === "paused")
			await limited(this.#context, "Letting the VM go on", limits.controlMs, () =>
				this.#context.hypervisor.resume(vmId),
			);
		if (settled || !isActive(domain)) await this.#records.delete(vmId);
		else await this.#records.set(vmId, { ...record, halted: false });
		return settled;
	}

	/** The same, and what QEMU still does is taken back. False: the disk is what it was, and the VM runs. */
	async takeBack(vmId: string): Promise<boolean> {
		const record = await this.#records.get(vmId);
		if (!record) return true;
		const active = isActive(await this.#readDomain(vmId));
		if (active)
			await limited(this.#context, "Ending the merging of a disk", limits.controlMs, () =>
				this.#context.hypervisor.abortBlockJob(vmId, record.diskId),
			).catch((error) => {
				// It was unplugged.
				if (!isAppError(error, "not-found")) throw error;
			});
		const settled = await this.end(vmId);
		await this.#records.delete(vmId);
		return settled || !active;
	}

	/** Of tasks that were ended while this node was away: what QEMU still does is taken back. Never fails; tried again. */
	async sweep(users: Pick<VolumeUsers, "whileStill">): Promise<void> {
		const { store, logger, stopping } = this.#context;
		for (const [vmId, { taskId }] of await this.#records.entries())
			try {
				await store.readIndex();
				const task = store.get("task", taskId);
				if (task !== null && !isFinished(task.state)) continue;
				if (store.get("vm", vmId) === null) await this.#records.delete(vmId);
				else await users.whileStill(vmId, stopping, () => this.takeBack(vmId));
			} catch (error) {
				if (!stopping.aborted) logger.warn("the merging of a disk is not ended for now", { vmId, error });
			}
	}

	#readDomain(vmId: string): Promise<DomainState | null> {
		return limited(this.#context, "Reading the VM's state", limits.readMs, () =>
			this.#context.hypervisor.getDomain(vmId),
		);
	}
}
