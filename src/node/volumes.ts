/**
 * Volumes on this node: made, grown, deleted. One operation at a time for each volume (`locks`), at most two copies of
 * whole disks at once on the node. A record says `ready` only when the driver has the volume; a create that failed or
 * was cut off leaves nothing in the pool (the driver's promise), so it can simply be done again.
 */
import { AppError, type ErrorInfo, isAppError, toErrorInfo } from "../lib/errors.ts";
import { formatBytes } from "../lib/units.ts";
import type { Image, Volume } from "../model/storage.ts";
import type { Vm } from "../model/vm.ts";
import type { StorageDriver, VolumeDamage, VolumeInfo } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { type CopySource, copyAcrossPools } from "./copy-across-pools.ts";
import { heavyCopy, type MakingRun } from "./heavy-copy.ts";
import type { ImageCopies } from "./image-copies.ts";
import { deletionIdleOf, limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import { isActive } from "./plan-words.ts";
import type { Pools } from "./pools.ts";
import type { TaskBoard } from "./task-board.ts";
import { type TaskRun, withPlacement } from "./task-run.ts";
import { growVolume } from "./volume-growth.ts";
import { withVolumeNames } from "./volume-names.ts";
import { Bell } from "./wait.ts";

type Source =
	| { kind: "empty" }
	| CopySource
	| { kind: "snapshot"; id: string; snapshotId: string; fullCopy: boolean; poolId: string };

/** What volumes need to know of VMs. The VM queues give it. */
export interface VolumeUsers {
	/**
	 * Runs `work` while nothing else happens to the VM; `active` says whether it runs. Fails with `timeout` when that is not so
	 * for `waitMs`: ten minutes, or null for as long as nobody calls it off.
	 */
	whileStill<T>(
		vmId: string,
		signal: AbortSignal,
		work: (active: boolean) => Promise<T>,
		waitMs?: number | null,
	): Promise<T>;
	/**
	 * Name of a VM whose running process still has the disk open although it is no longer attached; null for none. `now`: nothing is waited
	 * for, and what is under way may open it yet; then its pool has to refuse.
	 */
	heldBy(volumeId: string, signal: AbortSignal, options?: { now?: boolean }): Promise<string | null>;
}

export class Volumes {
	readonly #context: NodeContext;
	readonly #pools: Pools;
	readonly #users: VolumeUsers;
	readonly #copies: ImageCopies;
	readonly #imageBell = new Bell();
	/** Being made without a task, by id. */
	readonly #detached = new Map<string, AbortController>();

	constructor(context: NodeContext, pools: Pools, users: VolumeUsers, copies: ImageCopies) {
		this.#context = context;
		this.#pools = pools;
		this.#users = users;
		this.#copies = copies;
	}

	/** The task volume.create. Canceled, the record stays in phase error: only a person deletes records. */
	async create(volumeId: string, run: TaskRun): Promise<string | null> {
		try {
			await this.make(volumeId, run);
			return withPlacement(run.task, null);
		} catch (error) {
			// Also when it was called off before anything began.
			const phase = this.#context.store.get("volume", volumeId)?.phase;
			if (!this.#context.stopping.aborted && (phase === "pending" || phase === "creating"))
				await this.#context.propose({ kind: "volumeStatus", id: volumeId, phase: "error", error: toErrorInfo(error) });
			throw error;
		}
	}

	/** An image has changed: those who wait for one look again. */
	imageChanged(): void {
		this.#imageBell.ring();
	}

	/**
	 * Makes the volume by its source. Done already is done. Failure is recorded with the volume, and thrown. Called off is
	 * no failure: the volume waits to be made, as before. `byVmId`: the VM whose queue does it, and to which nothing else happens meanwhile.
	 */
	async make(volumeId: string, run: MakingRun, byVmId: string | null = null): Promise<void> {
		const { store, locks } = this.#context;
		const source = store.get("volume", volumeId)?.source;
		const cloned = source?.kind === "clone" ? store.get("volume", source.volumeId) : null;
		const work = () => locks.run(`volume:${volumeId}`, () => this.#makeLocked(volumeId, run), run.signal);
		if (!cloned?.vmId) return work();
		// Copying a disk that a guest writes to would give a torn copy.
		const copy = (active: boolean) => {
			if (!active) return work();
			throw new AppError("wrong-state", `Volume "${cloned.name}" belongs to a running VM: stop it to copy the volume.`);
		};
		// Its queue would wait for itself.
		if (cloned.vmId === byVmId) return copy(await this.#isActive(byVmId));
		run.say(`Waits until nothing happens to the VM that has "${cloned.name}"`);
		await run.setCancelable(true);
		// Other copies of it may come first, each of which takes hours.
		return this.#users.whileStill(cloned.vmId, run.signal, copy, null);
	}

	async #isActive(vmId: string): Promise<boolean> {
		const { hypervisor } = this.#context;
		const read = () => hypervisor.getDomain(vmId);
		return isActive(await limited(this.#context, "Reading the VM's state", limits.readMs, read));
	}

	async #makeLocked(volumeId: string, run: MakingRun): Promise<void> {
		const { store } = this.#context;
		const volume = store.get("volume", volumeId);
		if (!volume) throw new AppError("not-found", "The volume does not exist any more.");
		if (volume.phase === "ready") return;
		try {
			const driver = await this.#pools.driver(volume.poolId);
			const existing = await limited(this.#context, "Looking for the volume", limits.quickStorageMs, () =>
				driver.getVolume(volumeId),
			);
			if (existing) return await this.#reportReady(existing);
			// Once ready and now gone: its content is lost, and an empty disk in its place would hide that.
			if (volume.allocatedBytes !== null)
				throw new AppError("storage", `The content of volume "${volume.name}" is missing in its pool.`);
			await this.#context.propose({ kind: "volumeStatus", id: volumeId, phase: "creating", error: null });
			// Read after our claim is in the state: a deletion of the source either sees the claim, or is seen here.
			const source = await this.#sourceOf(volume, run);
			await this.#reportReady(await this.#createByDriver(driver, volume, source, run));
		} catch (error) {
			const left = store.get("volume", volumeId);
			// On its way out, an error would take it back.
			if (!this.#context.stopping.aborted && left && left.phase !== "deleting")
				await this.#notMade(left, toErrorInfo(error));
			throw error;
		}
	}

	async #notMade({ id, phase }: Volume, error: ErrorInfo): Promise<void> {
		if (error.code !== "canceled") await this.#context.propose({ kind: "volumeStatus", id, phase: "error", error });
		else if (phase === "creating")
			await this.#context.propose({ kind: "volumeStatus", id, phase: "pending", error: null });
	}

	/**
	 * Begins to make a volume that belongs to no task any more: it was detached from its VM before the VM's task had come to
	 * it. Nobody waits for it, so its record says how it ends.
	 */
	makeDetached(volumeId: string): void {
		if (this.#detached.has(volumeId)) return;
		const abort = new AbortController();
		const signal = AbortSignal.any([abort.signal, this.#context.stopping]);
		const run: MakingRun = { signal, say() {}, setCancelable: async () => {}, progress() {} };
		this.#detached.set(volumeId, abort);
		this.make(volumeId, run)
			.catch((error) => this.#context.logger.info("a detached volume was not made", { volumeId, error }))
			.finally(() => this.#detached.delete(volumeId));
	}

	/** What the volume is made of, there and ready; an image that is being imported is waited for. */
	async #sourceOf(volume: Volume, run: MakingRun): Promise<Source> {
		const { source } = volume;
		if (source.kind === "empty") return { kind: "empty" };
		if (source.kind === "snapshot") return this.#snapshotSource(source);
		const { fullCopy } = source;
		if (source.kind === "clone") {
			const origin = this.#context.store.get("volume", source.volumeId);
			requireReady("volume", origin);
			return { kind: "volume", id: origin.id, fullCopy, poolId: origin.poolId };
		}
		await this.#waitForImage(source.imageId, run);
		const image = this.#context.store.get("image", source.imageId);
		requireReady("image", image);
		await this.#copies.ensure(image, run);
		return { kind: "image", id: image.id, fullCopy, poolId: image.poolId };
	}

	/** What the snapshot holds stays as it is while this is made: it cannot be deleted then. */
	#snapshotSource({
		snapshotId,
		volumeId = "",
		fullCopy = true,
	}: Extract<Volume["source"], { kind: "snapshot" }>): Source {
		const origin = this.#context.store.get("volume", volumeId);
		const snapshot = this.#context.store.get("snapshot", snapshotId);
		if (!origin || !snapshot?.disks.some((disk) => disk.volumeId === volumeId))
			throw new AppError("not-found", "The snapshot that it is a copy of does not exist any more.");
		if (snapshot.phase !== "ready")
			throw new AppError("wrong-state", `The snapshot "${snapshot.name}" that it is a copy of is ${snapshot.phase}.`);
		return { kind: "snapshot", id: volumeId, snapshotId, fullCopy, poolId: origin.poolId };
	}

	async #waitForImage(imageId: string, run: MakingRun): Promise<void> {
		for (;;) {
			const image = this.#context.store.get("image", imageId);
			if (image?.phase !== "importing" && image?.phase !== "uploading") return;
			run.say(`Waits for image "${image.name}"`);
			await run.setCancelable(true);
			// The import is a task of its own, which has an end.
			await this.#imageBell.wait(this.#context.clock, limits.copyIdleMs, run.signal);
		}
	}

	async #createByDriver(driver: StorageDriver, volume: Volume, source: Source, run: MakingRun): Promise<VolumeInfo> {
		const { id, format, sizeBytes, provisioning } = volume;
		const wanted = { format, sizeBytes, ...(provisioning === undefined ? {} : { provisioning }) };
		const what = `Copying to volume "${volume.name}"`;
		// Mostly done at once; but an empty one may have to be overwritten, and copies of one volume wait for each other.
		if (source.kind === "empty" || !source.fullCopy)
			return longStep(this.#context, `Making volume "${volume.name}"`, { run, cancelable: run }, (options) =>
				driver.createVolume(id, { ...wanted, source, ...options }),
			);
		if (source.poolId === volume.poolId)
			return heavyCopy(this.#context, run, what, (signal, progress) =>
				driver.createVolume(id, { ...wanted, source, signal, progress }),
			);
		if (source.kind === "snapshot")
			throw new AppError("unsupported", "A volume that is made of a snapshot lies in the pool of its disk.");
		const from = await this.#pools.driver(source.poolId);
		return heavyCopy(this.#context, run, what, (signal, progress) =>
			copyAcrossPools({ from, to: driver, source, volume: { id, ...wanted }, signal, progress }),
		);
	}

	async #reportReady(info: VolumeInfo): Promise<void> {
		await this.#context.propose({
			kind: "volumeStatus",
			id: info.id,
			phase: "ready",
			sizeBytes: info.sizeBytes,
			allocatedBytes: info.allocatedBytes,
			error: null,
		});
	}

	/**
	 * A VM could not be made: volumes of it that nobody else makes are not "pending" any more. If it was called off they
	 * are: the VM's next start makes them.
	 */
	async giveUp(vm: Vm, error: ErrorInfo, board: Pick<TaskBoard, "find">): Promise<void> {
		for (const { volumeId } of vm.spec.disks) {
			const volume = this.#context.store.get("volume", volumeId);
			if (volume?.vmId !== vm.id || (volume.phase !== "pending" && volume.phase !== "creating")) continue;
			if (board.find("volume.create", volumeId) === null) await this.#notMade(volume, error);
		}
	}

	/** The task volume.resize: through QEMU while a VM runs with it, else in the pool. */
	async resize(volumeId: string, run: TaskRun): Promise<string | null> {
		const wanted = run.task.input.sizeBytes;
		try {
			if (typeof wanted !== "number") throw new AppError("internal", "The task does not say the new size.");
			const vmId = this.#context.store.get("volume", volumeId)?.vmId ?? null;
			if (vmId !== null)
				return await this.#users.whileStill(vmId, run.signal, (active) =>
					this.#resizeLocked(volumeId, wanted, active ? vmId : null, run),
				);
			await this.#requireReleased(volumeId, run.signal);
			return await this.#resizeLocked(volumeId, wanted, null, run);
		} catch (error) {
			// Not even tried: the volume is as it was.
			if (!this.#context.stopping.aborted && this.#context.store.get("volume", volumeId)?.phase === "resizing")
				await this.#context.propose({ kind: "volumeStatus", id: volumeId, phase: "ready" });
			throw error;
		}
	}

	/** Detached from a VM in the record is not always detached in the process that runs. */
	async #requireReleased(volumeId: string, signal: AbortSignal, options: { now?: boolean } = {}): Promise<void> {
		const holder = await this.#users.heldBy(volumeId, signal, options);
		if (holder === null) return;
		const name = this.#context.store.get("volume", volumeId)?.name;
		throw new AppError(
			"in-use",
			`VM "${holder}" still has volume "${name}" open although it was detached: stop that VM first.`,
		);
	}

	#resizeLocked(volumeId: string, wantedBytes: number, runningVmId: string | null, run: TaskRun): Promise<null> {
		const work = async () => {
			const volume = this.#context.store.get("volume", volumeId);
			if (!volume) throw new AppError("not-found", "The volume does not exist any more.");
			const driver = await this.#pools.driver(volume.poolId);
			const get = () =>
				limited(this.#context, "Looking for the volume", limits.quickStorageMs, () => driver.getVolume(volumeId));
			const before = await get();
			if (!before) throw new AppError("storage", `The content of volume "${volume.name}" is missing in its pool.`);
			try {
				const growth = { volume, driver, haveBytes: before.sizeBytes, wantedBytes };
				await growVolume(this.#context, growth, runningVmId, run);
				await this.#reportReady((await get()) ?? before);
				return null;
			} catch (error) {
				// The volume is whole, with the size that it has.
				if (!this.#context.stopping.aborted) await this.#reportReady((await get().catch(() => null)) ?? before);
				throw error;
			}
		};
		return this.#context.locks.run(`volume:${volumeId}`, work, run.signal);
	}

	/** The task volume.check. What was found is said in the task's message; damage that stays is no failure of the check. */
	async check(volumeId: string, run: TaskRun): Promise<string | null> {
		const { store, locks } = this.#context;
		const repair = run.task.input.repair === true;
		const volume = store.get("volume", volumeId);
		if (!volume) throw new AppError("not-found", "The volume does not exist any more.");
		const what = `Checking volume "${volume.name}"`;
		const work = () =>
			locks.run(
				`volume:${volumeId}`,
				async () => {
					const driver = await this.#pools.driver(volume.poolId);
					return damageText(
						await heavyCopy(this.#context, run, what, (signal, progress) =>
							driver.checkVolume(volumeId, { repair, signal, progress }),
						),
					);
				},
				run.signal,
			);
		if (volume.vmId === null) {
			await this.#requireReleased(volumeId, run.signal);
			return work();
		}
		return this.#users.whileStill(volume.vmId, run.signal, (active) => {
			if (!active) return work();
			throw new AppError("in-use", `Volume "${volume.name}" belongs to a running VM: stop it to check the volume.`);
		});
	}

	/** The task volume.delete. Refused while anything uses it; then the volume is as before. */
	async delete(volumeId: string, run: TaskRun): Promise<string | null> {
		try {
			await this.#requireReleased(volumeId, run.signal);
			await this.#deleteFile(volumeId, run);
		} catch (error) {
			if (!this.#context.stopping.aborted) await this.keep(volumeId, error);
			throw error;
		}
		if (this.#context.store.get("volume", volumeId)) await this.#context.propose({ kind: "volumeGone", id: volumeId });
		return null;
	}

	/** Deletes the volume of a VM that goes, in its pool; the record goes with the VM's. `in-use` when anything else uses it. Gone already is done. */
	async deleteWithVm(volumeId: string, run: TaskRun): Promise<void> {
		await this.#requireReleased(volumeId, run.signal, { now: true });
		await this.#deleteFile(volumeId, run);
	}

	async #deleteFile(volumeId: string, run: TaskRun): Promise<void> {
		this.#detached.get(volumeId)?.abort(new AppError("canceled", "It is being deleted."));
		await this.#context.locks.run(`volume:${volumeId}`, async () => {
			const volume = this.#context.store.get("volume", volumeId);
			if (!volume) return;
			const driver = await this.#pools.driver(volume.poolId);
			const idleMs = deletionIdleOf(driver);
			await longStep(this.#context, `Deleting volume "${volume.name}"`, { run, idleMs }, async (options) => {
				await driver.deleteVolume(volumeId, options).catch((error: unknown) => {
					throw withVolumeNames(error, (id) => this.#context.store.get("volume", id)?.name);
				});
				// What a copy from another pool may have left, when it was cut off (copy-across-pools.ts).
				if (volume.allocatedBytes === null && volume.source.kind !== "empty")
					await driver.deleteImage(volumeId, options);
			});
		});
	}

	/** A volume that was to be deleted is not: refused (`in-use`), it is as before; failed, it is in error. */
	async keep(volumeId: string, error: unknown): Promise<void> {
		const volume = this.#context.store.get("volume", volumeId);
		if (!volume) return;
		await this.#context.propose({ kind: "volumeStatus", id: volumeId, phase: "error", error: toErrorInfo(error) });
		if (isAppError(error, "in-use") && volume.allocatedBytes !== null)
			await this.#context.propose({ kind: "volumeStatus", id: volumeId, phase: "ready", error: null });
	}
}

export function damageText({ errors, leakedBytes, repaired }: VolumeDamage): string {
	if (errors === 0 && leakedBytes === 0) return repaired === 0 ? "No damage found." : `Repaired: ${repaired}.`;
	const leaked = leakedBytes === 0 ? [] : [`${formatBytes(leakedBytes)} that belong to nothing`];
	const damaged = errors === 0 ? [] : [`${errors} damaged ${errors === 1 ? "structure" : "structures"}`];
	return `Found ${[...damaged, ...leaked].join(" and ")}; repaired: ${repaired}.`;
}

function requireReady<T extends Image | Volume>(what: "image" | "volume", origin: T | null): asserts origin is T {
	if (!origin) throw new AppError("not-found", `The ${what} that it is a copy of does not exist any more.`);
	if (origin.phase !== "ready" && origin.phase !== "resizing")
		throw new AppError("wrong-state", `The ${what} "${origin.name}" that it is a copy of is ${origin.phase}.`);
}
