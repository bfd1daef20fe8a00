/**
 * Snapshots of a file pool's volumes: layers, as copy-on-write copies have them (freeze.ts), with ids.
 *
 * Taking one of a running VM's disk: the new file is made and flushed, the record names it as the disk and the old one as the
 * snapshot, and then the caller lets QEMU go over to it. When the daemon ends before that, QEMU goes on in the old file, which is
 * the snapshot in the record: no data is lost, but the snapshot is none. The node, which sees what QEMU has open, heals
 * it: the VM is paused still and QEMU goes over now, or `undoTake` makes the old file the disk again.
 *
 * Deleting one takes its id from the record first, and then the layers that nothing needs any more out of the chain:
 * what was written after a snapshot goes into its layer, which then is in the place of what came after. Each step may be
 * repeated, and a chain is whole at each of them. While a VM has the volume open, QEMU merges (live-merge.ts).
 */
import { chmod } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import type { LayerMerge, LongOptions, SnapshotInfo, VolumeInfo, VolumeSnapshots } from "../driver.ts";
import { withFileErrors } from "../file-errors.ts";
import { requireId } from "../names.ts";
import { requireNotOpen } from "../qemu-img.ts";
import { fillThick } from "./allocation.ts";
import {
	chainOf,
	layerChain,
	maxChainFiles,
	readOwnHeader,
	requireHeadersMatch,
	statFile,
	volumeFile,
	volumeInfo,
} from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { addDisk, diskMode, frozenMode, holdsNoData } from "./freeze.ts";
import { changing } from "./half-done.ts";
import { nextNeedless, withDiskDropped, withoutLeaf } from "./layer-tree.ts";
import { finishActiveMerge, planLiveMerge } from "./live-merge.ts";
import { finishMerge, mergeNeedless, neededElsewhere, removeFiles, writeVolume } from "./merge-layers.ts";
import type { VolumeRecord } from "./records.ts";
import { settleFlatten } from "./settle-flatten.ts";

type Snapshot = NonNullable<VolumeRecord["snapshots"]>[number];

/** A tree with more is nothing that people keep an eye on. */
const maxSnapshots = 128;

export class LocalSnapshots implements VolumeSnapshots {
	readonly #context: LocalContext;

	constructor(context: LocalContext) {
		this.#context = context;
	}

	take(volumeId: string, snapshotId: string, { running }: { running: boolean }): Promise<SnapshotInfo> {
		return this.#changing(volumeId, snapshotId, () => this.#take(volumeId, snapshotId, running));
	}

	async #take(volumeId: string, snapshotId: string, running: boolean): Promise<SnapshotInfo> {
		const { folder } = this.#context;
		const record = present(await this.#read(volumeId), volumeId);
		const done = find(record, snapshotId);
		if (done) return infoOf(done);
		if ((record.snapshots ?? []).length >= maxSnapshots)
			throw new AppError("invalid", `A volume has ${maxSnapshots} snapshots at most. Delete some first.`);
		const chain = await chainOf(folder, record);
		await requireHeadersMatch(folder, chain);
		const [active] = chain;
		if (!running) await requireNotOpen(active.path, record.format);
		const { sizeBytes } = await volumeInfo(folder, record);
		const snapshot: Snapshot = { id: snapshotId, parentId: record.at ?? null, file: record.file, sizeBytes };
		const withSnapshot = (next: VolumeRecord, file: string): VolumeRecord => ({
			...next,
			snapshots: [...(record.snapshots ?? []), { ...snapshot, file }],
			at: snapshotId,
		});
		const [nearest] = record.layers;
		if (!running && nearest && record.format === "qcow2") {
			// Nothing was written since: the layer below is what this snapshot would be.
			const header = await readOwnHeader(active.path, volumeId);
			if (await holdsNoData(active.path, header)) {
				await writeVolume(folder, withSnapshot(record, nearest.file));
				return infoOf(snapshot);
			}
		}
		if (chain.length + 1 > maxChainFiles)
			throw new AppError("invalid", "The chain of this volume's snapshots is too long. Delete some first.");
		const on = { file: record.file, format: record.format };
		await addDisk(folder, record, on, sizeBytes, (_file, next) => withSnapshot(next, record.file), running);
		await withFileErrors("making a snapshot", async () => {
			await folder.step("make the snapshot read-only");
			await chmod(active.path, frozenMode);
		});
		return infoOf(snapshot);
	}

	revert(volumeId: string, snapshotId: string): Promise<VolumeInfo> {
		return this.#changing(volumeId, snapshotId, () => this.#revert(volumeId, snapshotId));
	}

	async #revert(volumeId: string, snapshotId: string): Promise<VolumeInfo> {
		const { folder } = this.#context;
		const record = present(await this.#read(volumeId), volumeId);
		const snapshot = find(record, snapshotId);
		if (!snapshot) throw new AppError("not-found", `Volume ${volumeId} has no snapshot ${snapshotId}.`);
		const [active, ...rest] = await chainOf(folder, record);
		await requireHeadersMatch(folder, [active, ...rest]);
		await requireNotOpen(active.path, record.format);
		if (await this.#isAt(record, snapshot)) {
			if (record.at !== snapshotId) await writeVolume(folder, { ...record, at: snapshotId });
			return volumeInfo(folder, record);
		}
		const [layer, ...below] = await layerChain(folder, record, snapshot.file);
		await requireHeadersMatch(folder, [layer, ...below]);
		const needed = await neededElsewhere(folder, volumeId);
		const abandoned: string[] = [];
		const next = await addDisk(
			folder,
			record,
			{ file: snapshot.file, format: layer.format },
			snapshot.sizeBytes,
			(_file, made) => {
				let trimmed: VolumeRecord = { ...made, at: snapshotId };
				for (let found = nextNeedless(trimmed, needed); found?.kind === "leaf"; ) {
					abandoned.push(found.file);
					trimmed = withoutLeaf(trimmed, found.file);
					found = nextNeedless(trimmed, needed);
				}
				return trimmed;
			},
		);
		await withFileErrors("removing what was written since the snapshot", () =>
			removeFiles(folder, volumeId, abandoned),
		);
		return volumeInfo(folder, next);
	}

	delete(volumeId: string, snapshotId: string, options: LongOptions): Promise<void> {
		return this.#changing(volumeId, snapshotId, () => this.#delete(volumeId, snapshotId, options));
	}

	async #delete(volumeId: string, snapshotId: string, options: LongOptions): Promise<void> {
		const record = await this.#forget(volumeId, snapshotId, { running: false });
		// Also what an earlier one left when it was cut short.
		if (record === null) return;
		const merged = await mergeNeedless(this.#context, record, options);
		if (merged.layers.length === record.layers.length) return;
		// What qemu-img merges may punch holes; nothing is lost by them but the promise of a thick volume.
		await fillThick(this.#context, merged, options).catch((error) =>
			this.#context.log.warn("A thick volume lacks space", { volumeId, error }),
		);
	}

	planLiveDelete(volumeId: string, snapshotId: string, options: LongOptions): Promise<LayerMerge | null> {
		return this.#changing(volumeId, snapshotId, async () => {
			const record = await this.#forget(volumeId, snapshotId, { running: true });
			return record && planLiveMerge(this.#context, record, options);
		});
	}

	finishLiveDelete(volumeId: string, merge: LayerMerge): Promise<void> {
		return this.#working(volumeId, async () => {
			// Below the disk, reading the record follows what QEMU has done.
			const record = await this.#read(volumeId);
			if (record !== null && merge.active) await finishActiveMerge(this.#context, record, merge);
		});
	}

	/** Takes the snapshot out of the record, which is what its deletion begins with. Null when there is no such volume. */
	async #forget(volumeId: string, snapshotId: string, { running }: { running: boolean }): Promise<VolumeRecord | null> {
		const { folder } = this.#context;
		const record = await this.#read(volumeId);
		const snapshot = record && find(record, snapshotId);
		if (!snapshot) return record;
		const copies = await this.#copies(volumeId, snapshotId);
		if (copies.length > 0)
			throw new AppError(
				"in-use",
				`Other volumes are copy-on-write copies of snapshot ${snapshotId}: ${copies.join(", ")}.`,
			);
		const chain = await chainOf(folder, record);
		await requireHeadersMatch(folder, chain);
		if (!running) await requireNotOpen(chain[0].path, record.format);
		const next = withoutSnapshot(record, snapshot);
		await writeVolume(folder, next);
		return next;
	}

	async list(volumeId: string): Promise<SnapshotInfo[]> {
		requireId(volumeId, "volume");
		const record = await this.#context.folder.readVolume(volumeId);
		return (record?.snapshots ?? []).map(infoOf);
	}

	undoTake(volumeId: string, snapshotId: string): Promise<void> {
		return this.#changing(volumeId, snapshotId, () => this.#undoTake(volumeId, snapshotId));
	}

	async #undoTake(volumeId: string, snapshotId: string): Promise<void> {
		const { folder } = this.#context;
		const record = await this.#read(volumeId);
		const snapshot = record === null ? undefined : find(record, snapshotId);
		if (record === null || !snapshot) return;
		const refuse = (why: string) => new AppError("wrong-state", `Snapshot ${snapshotId} cannot be undone: ${why}.`);
		const isLast = record.layers[0]?.file === snapshot.file && record.at === snapshotId;
		const others = (record.snapshots ?? []).some(({ id, file }) => id !== snapshotId && file === snapshot.file);
		const elsewhere = (await neededElsewhere(folder, volumeId)).has(snapshot.file);
		const below = (record.aside ?? []).some(({ below: on }) => on === snapshot.file);
		if (!isLast || others || elsewhere || below) throw refuse("something rests on it");
		const path = volumeFile(folder, volumeId, record.file);
		await statFile(path, volumeId);
		await requireNotOpen(path, "qcow2");
		if (!(await holdsNoData(path, await readOwnHeader(path, volumeId)))) throw refuse("its VM has written since");
		const restored = withoutSnapshot(withDiskDropped(record), snapshot);
		await withFileErrors("undoing a snapshot", async () => {
			await folder.step("make the old disk writable");
			await chmod(volumeFile(folder, volumeId, restored.file), diskMode);
			await writeVolume(folder, restored);
			await removeFiles(folder, volumeId, [record.file]);
		});
	}

	/** The disk is as it was made on this very snapshot. */
	async #isAt(record: VolumeRecord, snapshot: Snapshot): Promise<boolean> {
		if (record.layers[0]?.file !== snapshot.file || record.format !== "qcow2") return false;
		const path = volumeFile(this.#context.folder, record.id, record.file);
		const header = await readOwnHeader(path, record.id);
		return header.virtualSizeBytes === snapshot.sizeBytes && (await holdsNoData(path, header));
	}

	/** Ids of the volumes that were made of this snapshot, and rest on it. */
	async #copies(volumeId: string, snapshotId: string): Promise<string[]> {
		const found: string[] = [];
		for (const id of await this.#context.folder.ids("volumes")) {
			const backing = (await this.#context.folder.volumeRecord(id))?.backing;
			if (backing?.kind === "volume" && backing.id === volumeId && backing.snapshotId === snapshotId) found.push(id);
		}
		return found;
	}

	async #read(volumeId: string): Promise<VolumeRecord | null> {
		const record = await this.#context.folder.readVolumeRecord(volumeId);
		if (record === null) return null;
		return settleFlatten(this.#context.folder, await finishMerge(this.#context.folder, record));
	}

	async #changing<T>(volumeId: string, snapshotId: string, work: () => Promise<T>): Promise<T> {
		requireId(snapshotId, "snapshot");
		return this.#working(volumeId, work);
	}

	async #working<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
		requireId(volumeId, "volume");
		const busy = `Volume ${volumeId} is busy with another operation.`;
		using _own = await this.#context.locks.exclusive(`volume:${volumeId}`, busy);
		return await changing(this.#context, volumeId, work);
	}
}

const find = (record: VolumeRecord, id: string): Snapshot | undefined =>
	record.snapshots?.find((snapshot) => snapshot.id === id);

const infoOf = ({ id, parentId, sizeBytes }: Snapshot): SnapshotInfo => ({ id, parentId, sizeBytes });

function present(record: VolumeRecord | null, id: string): VolumeRecord {
	if (record === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
	return record;
}

/** What came after it comes after what it came after. */
function withoutSnapshot(record: VolumeRecord, gone: Snapshot): VolumeRecord {
	const { snapshots = [], at, ...rest } = record;
	const left = snapshots
		.filter(({ id }) => id !== gone.id)
		.map((other) => (other.parentId === gone.id ? { ...other, parentId: gone.parentId } : other));
	const place = at === gone.id ? gone.parentId : (at ?? null);
	return { ...rest, ...(left.length > 0 ? { snapshots: left } : {}), ...(place === null ? {} : { at: place }) };
}
