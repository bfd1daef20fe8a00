/**
 * Snapshots of volumes: RBD's own. QEMU goes on with the same image; whoever has it open makes the snapshot itself when
 * another client asks for it, so one of a running VM is safe. Setting back copies every object that changed, and is finished
 * after an interruption, by the node that began it or by doing it again.
 */
import { AppError } from "../../lib/errors.ts";
import type { LongOptions, SnapshotInfo, VolumeInfo, VolumeSnapshots } from "../driver.ts";
import { requireId } from "../names.ts";
import type { RbdContext } from "./context.ts";
import { describeVolume, notFound } from "./describe.ts";
import { snapshotIdOf, snapshotName, volumeName } from "./names.ts";
import { requireNotCanceled } from "./runner.ts";
import { parentOf, pruned, readTree, taken, writeTree } from "./snapshot-tree.ts";

export class RbdSnapshots implements VolumeSnapshots {
	readonly #context: RbdContext;

	constructor(context: RbdContext) {
		this.#context = context;
		context.work.finishRevert = (volumeId, snapshotId) => this.#finishRevert(volumeId, snapshotId);
	}

	async take(volumeId: string, snapshotId: string, _options?: { running: boolean }): Promise<SnapshotInfo> {
		requireId(snapshotId, "snapshot");
		using _volume = await this.#lock(volumeId);
		const { images } = this.#context;
		// In any order: this lock is of this node alone, and two nodes that take snapshots of one volume at the same time would write over each
		// other's tree however they read it. The node that has the volume's VM is the one to do it.
		const [info, before, tree] = await Promise.all([
			images.info(volumeName(volumeId)),
			this.#found(volumeId),
			readTree(images, volumeId),
		]);
		if (info === null) throw notFound(volumeId);
		if (!before.has(snapshotId)) {
			requireSettled(volumeId, tree);
			await writeTree(images, volumeId, taken(tree, snapshotId, new Set(before.keys())));
			await images.makeSnapshot(volumeName(volumeId), snapshotName(snapshotId));
		}
		return this.#present(volumeId, snapshotId);
	}

	async revert(volumeId: string, snapshotId: string, { progress }: LongOptions = {}): Promise<VolumeInfo> {
		requireId(snapshotId, "snapshot");
		using _volume = await this.#lock(volumeId);
		const { images, work } = this.#context;
		if ((await images.info(volumeName(volumeId))) === null) throw notFound(volumeId);
		const exists = new Set((await this.#found(volumeId)).keys());
		if (!exists.has(snapshotId)) throw new AppError("not-found", `Volume ${volumeId} has no snapshot ${snapshotId}.`);
		await images.requireNotOpen(volumeName(volumeId));
		const entry = await work.note({ kind: "revert", volumeId, name: snapshotId });
		try {
			const tree = pruned(await readTree(images, volumeId), exists);
			await writeTree(images, volumeId, { ...tree, reverting: snapshotId });
			// Once begun it is gone through with.
			await this.#rollBack(volumeId, snapshotId, progress ? { progress } : {});
			await entry.end();
		} catch (error) {
			// Half of it may be done: it is finished later, and nobody opens the volume before.
			work.tidyLater();
			throw error;
		} finally {
			entry.abandon();
		}
		const info = await describeVolume(this.#context, volumeId);
		if (info === null) throw notFound(volumeId);
		return info;
	}

	async delete(volumeId: string, snapshotId: string, options: LongOptions): Promise<void> {
		requireId(snapshotId, "snapshot");
		using _volume = await this.#lock(volumeId);
		requireNotCanceled(options);
		requireSettled(volumeId, await readTree(this.#context.images, volumeId));
		await this.#context.images.removeSnapshot(volumeName(volumeId), snapshotName(snapshotId));
	}

	async list(volumeId: string): Promise<SnapshotInfo[]> {
		requireId(volumeId, "volume");
		// After the list: another node may take one now, which is in the tree before it is there.
		const found = await this.#found(volumeId);
		const tree = await readTree(this.#context.images, volumeId);
		const exists = new Set(found.keys());
		return [...found].map(([id, sizeBytes]) => ({ id, sizeBytes, parentId: parentOf(tree, id, exists) }));
	}

	/** Sizes by id, oldest first. */
	async #found(volumeId: string): Promise<Map<string, number>> {
		const all = await this.#context.images.snapshots(volumeName(volumeId));
		const ours = all
			.sort((a, b) => a.id - b.id)
			.flatMap(({ name, size }): [string, number][] => {
				const id = snapshotIdOf(name);
				return id === null ? [] : [[id, size]];
			});
		return new Map(ours);
	}

	async #present(volumeId: string, snapshotId: string): Promise<SnapshotInfo> {
		const found = (await this.list(volumeId)).find(({ id }) => id === snapshotId);
		if (!found) throw new AppError("storage", `Snapshot ${snapshotId} of volume ${volumeId} is gone.`);
		return found;
	}

	async #rollBack(volumeId: string, snapshotId: string, options: LongOptions): Promise<void> {
		const { images } = this.#context;
		await images.rollBack(volumeName(volumeId), snapshotName(snapshotId), options);
		const tree = await readTree(images, volumeId);
		await writeTree(images, volumeId, { ...tree, current: snapshotId, reverting: null });
	}

	/** At the start of the node that began it. */
	async #finishRevert(volumeId: string, snapshotId: string): Promise<void> {
		using _volume = await this.#lock(volumeId);
		const { images } = this.#context;
		if ((await images.info(volumeName(volumeId))) === null) return;
		if ((await readTree(images, volumeId)).reverting !== snapshotId) return;
		await this.#rollBack(volumeId, snapshotId, {});
	}

	async #lock(volumeId: string): Promise<Disposable> {
		requireId(volumeId, "volume");
		return this.#context.locks.exclusive(`volume:${volumeId}`, `Volume ${volumeId} is busy with another operation.`);
	}
}

function requireSettled(volumeId: string, { reverting }: { reverting: string | null }): void {
	if (reverting !== null)
		throw new AppError("wrong-state", `Volume ${volumeId} is being set back to a snapshot; finish that first.`);
}
