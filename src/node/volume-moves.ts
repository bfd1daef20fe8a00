/**
 * What moves of volumes between pools have made and not finished: `<dataDir>/volume-moves.json`, by volume id, written before the first
 * byte. How a move goes on from there is said at the head of volume-move.ts.
 */
import { type Static, Type } from "@sinclair/typebox";
import { AppError, isAppError } from "../lib/errors.ts";
import { sourceName } from "../model/disk-source.ts";
import { Id, Nullable, Strict } from "../model/schema.ts";
import { VolumeFormat } from "../model/storage.ts";
import { isFinished } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import { compareDisks } from "./compare-disks.ts";
import { limited, type NodeContext } from "./context.ts";
import { deletionIdleOf, limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import { isHere, type Pools } from "./pools.ts";
import { RecordFile } from "./record-file.ts";
import { Later, upToDate } from "./task-run.ts";
import { isActive } from "./vm-plan.ts";

const VolumeMove = Strict({
	taskId: Id,
	fromPoolId: Id,
	toPoolId: Id,
	/** In the pool that it goes to. */
	format: VolumeFormat,
	/** The disk, when QEMU copies it while its VM runs; null at rest. */
	live: Nullable(Strict({ vmId: Id, diskId: Type.String() })),
	/** QEMU may have gone over, and the state does not say so yet. */
	switching: Type.Boolean(),
	/** What was copied whole at rest: its contentMark. */
	copied: Nullable(Type.String()),
});
export type VolumeMoveRecord = Static<typeof VolumeMove>;
export const volumeMoveRecords = { name: "volume-moves", schema: VolumeMove };

export class VolumeMoves {
	readonly #context: NodeContext;
	readonly #pools: Pick<Pools, "driver">;
	readonly #records: RecordFile<typeof VolumeMove>;

	constructor(context: NodeContext, pools: Pick<Pools, "driver">) {
		this.#context = context;
		this.#pools = pools;
		this.#records = new RecordFile(context, volumeMoveRecords);
	}

	/** Null when this task has none yet. */
	async recordOf(volumeId: string, taskId: string): Promise<VolumeMoveRecord | null> {
		const record = await this.#records.get(volumeId);
		return record?.taskId === taskId ? record : null;
	}

	/** The record of this task's move: as an earlier run left it, or the new one, once there is nothing else in its place. */
	async begin(volumeId: string, wanted: VolumeMoveRecord): Promise<VolumeMoveRecord> {
		const known = await this.#records.get(volumeId);
		const isSame = known?.taskId === wanted.taskId && (known.live === null) === (wanted.live === null);
		if (known && isSame) return known;
		if (known) await this.#undo(volumeId, known);
		await this.#records.set(volumeId, wanted);
		await this.#remove(volumeId, wanted);
		return wanted;
	}

	set(volumeId: string, record: VolumeMoveRecord): Promise<void> {
		return this.#records.set(volumeId, record);
	}

	finish(volumeId: string): Promise<void> {
		return this.#records.delete(volumeId);
	}

	/** What is being copied there is open for it, whatever the state says. */
	async keepsOpen(volumeId: string, poolId: string): Promise<boolean> {
		const record = await this.#records.get(volumeId);
		return record !== null && record.live !== null && (record.toPoolId === poolId || record.fromPoolId === poolId);
	}

	/**
	 * From here on the volume is in the other pool. `Later` while nobody can say whether it is; refused, it is where it was.
	 */
	async take(volumeId: string): Promise<void> {
		const { store, ids, propose, stopping } = this.#context;
		const record = await this.#records.get(volumeId);
		if (record === null) throw new AppError("internal", "A move has a record.");
		const driver = await this.#pools.driver(record.toPoolId);
		const info = await limited(this.#context, "Looking for the copy", limits.quickStorageMs, () =>
			driver.getVolume(volumeId),
		);
		if (!info) throw new AppError("storage", "The copy of the volume is missing in its pool.");
		const { sizeBytes, allocatedBytes } = info;
		try {
			await propose({
				...{ kind: "volumeMoved", id: volumeId, taskId: record.taskId },
				...{ sizeBytes, allocatedBytes, discardTaskId: ids.newId() },
			});
		} catch (error) {
			stopping.throwIfAborted();
			// An answer that was lost may have been a yes.
			await upToDate(this.#context, "It is not known whether the volume has moved.");
			if (store.get("volume", volumeId)?.poolId !== record.toPoolId) {
				const refused = isAppError(error) && !["unavailable", "timeout", "too-many-requests"].includes(error.code);
				if (!refused) throw new Later("It is not known whether the volume has moved.", { cause: error });
				throw error;
			}
		}
		await this.finish(volumeId);
	}

	/**
	 * Finds out where a disk is that was going over, and sees to it that the state says so. True when the volume is in the
	 * other pool. `takeBack`: a copy that still goes on is ended. Called while nothing else happens to the VM.
	 */
	async settle(volumeId: string, options: { takeBack?: boolean } = {}): Promise<boolean> {
		const record = await this.#records.get(volumeId);
		if (!record?.live || !record.switching) return false;
		const { store } = this.#context;
		await upToDate(this.#context, "It is not known where a disk of the VM is.");
		const volume = store.get("volume", volumeId);
		if (volume?.poolId === record.toPoolId) {
			await this.finish(volumeId);
			return true;
		}
		const task = store.get("task", record.taskId);
		const vm = store.get("vm", record.live.vmId);
		if (!volume || volume.phase === "deleting" || !vm || task === null || isFinished(task.state)) return false;
		if (!(await this.#hasGoneOver(volumeId, vm, record, options.takeBack ?? false))) {
			await this.#records.set(volumeId, { ...record, switching: false });
			return false;
		}
		await this.take(volumeId);
		return true;
	}

	/** What QEMU has open; of a VM that is off, what it would have next. */
	async #hasGoneOver(volumeId: string, vm: Vm, record: VolumeMoveRecord, takeBack: boolean): Promise<boolean> {
		const { hypervisor } = this.#context;
		const diskId = record.live?.diskId ?? "";
		try {
			const ask = <T>(work: () => Promise<T>) =>
				limited(this.#context, "Finding out where a disk is", limits.readMs, work);
			const domain = await ask(() => hypervisor.getDomain(vm.id));
			if (domain === null) return false;
			if (!isActive(domain)) return await ask(() => this.#isDefinedThere(volumeId, vm, record));
			if (takeBack) await ask(() => hypervisor.abortBlockJob(vm.id, diskId));
			const there = await this.#nameOf(volumeId, record.toPoolId);
			const layers = await ask(() => hypervisor.diskLayers(vm.id));
			return layers.find((disk) => disk.diskId === diskId)?.layers[0] === there;
		} catch (error) {
			throw new Later("It is not known where a disk of the VM is.", { cause: error });
		}
	}

	async #isDefinedThere(volumeId: string, vm: Vm, record: VolumeMoveRecord): Promise<boolean> {
		const poolOf = (id: string) => (id === volumeId ? record.toPoolId : this.#context.store.get("volume", id)?.poolId);
		const found = await compareDisks(this.#context, this.#pools, vm, poolOf);
		return !found.some(({ field }) => field === `disks[${record.live?.diskId}].path`);
	}

	async #nameOf(volumeId: string, poolId: string): Promise<string> {
		const driver = await this.#pools.driver(poolId);
		const look = () => driver.attachInfo(volumeId);
		return sourceName((await limited(this.#context, "Finding a volume", limits.quickStorageMs, look)).source);
	}

	/** Removes what is left of moves that have ended otherwise. Never fails; what could not be removed is tried again. */
	async sweep(): Promise<void> {
		for (const [volumeId] of await this.#records.entries()) await this.sweepOne(volumeId);
	}

	async sweepOne(volumeId: string): Promise<void> {
		const { store, logger, stopping } = this.#context;
		try {
			const record = await this.#records.get(volumeId);
			if (record === null) return;
			// A copy of the state that is behind may not know the task yet, or that the volume is there.
			await store.readIndex();
			const task = store.get("task", record.taskId);
			if (task === null || isFinished(task.state)) await this.#undo(volumeId, record);
		} catch (error) {
			if (!stopping.aborted) logger.warn("what was copied of a volume stays for now", { volumeId, error });
		}
	}

	/** Of a move whose task is finished, or is another one: it cannot say any more that the volume is there. */
	async #undo(volumeId: string, record: VolumeMoveRecord): Promise<void> {
		if (this.#context.store.get("volume", volumeId)?.poolId !== record.toPoolId) {
			await this.#endCopy(record);
			await this.#remove(volumeId, record);
		}
		await this.finish(volumeId);
	}

	/** QEMU may be at it still. */
	async #endCopy({ live }: VolumeMoveRecord): Promise<void> {
		if (live === null) return;
		const { hypervisor } = this.#context;
		await limited(this.#context, "Ending the copy of a disk", limits.controlMs, async () => {
			const domain = await hypervisor.getDomain(live.vmId);
			if (!isActive(domain)) return;
			const jobs = await hypervisor.blockJobs(live.vmId);
			if (jobs.some(({ diskId, kind }) => diskId === live.diskId && kind === "copy"))
				await hypervisor.abortBlockJob(live.vmId, live.diskId);
		});
	}

	/** From the pool where it was to be, unless it is there. */
	async #remove(volumeId: string, { toPoolId }: VolumeMoveRecord): Promise<void> {
		const { store, nodeId } = this.#context;
		const pool = store.get("pool", toPoolId);
		if (!pool || !isHere(pool, nodeId)) return;
		const driver = await this.#pools.driver(toPoolId);
		await longStep(
			this.#context,
			"Deleting the copy of a volume",
			{ idleMs: deletionIdleOf(driver) },
			async (options) => {
				if (store.get("volume", volumeId)?.poolId === toPoolId) return;
				await driver.closeVolume(volumeId);
				await driver.deleteVolume(volumeId, options);
			},
		);
	}
}
