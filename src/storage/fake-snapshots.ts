/**
 * Snapshots in the fake driver, in the manner of a pool of files: the disk that is written to is another file after each, on the
 * layers of what it was. As there, what the content is does not depend on which file QEMU has open.
 */
import { AppError } from "../lib/errors.ts";
import { fileSource, sourceName } from "../model/disk-source.ts";
import type { LayerMerge, SnapshotInfo, VolumeInfo, VolumeSnapshots } from "./driver.ts";
import type { SparseBytes } from "./fake-content.ts";
import type { FakePool, FakeVolume } from "./fake-pool.ts";
import { requireId } from "./names.ts";

export type FakeLayer = { path: string; format: FakeVolume["format"] };
export type FakeSnapshot = { id: string; parentId: string | null; content: SparseBytes; layers: FakeLayer[] };
export type FakeSnapshotMethod = `snapshots.${keyof VolumeSnapshots}`;

export function fakeSnapshots(
	pool: FakePool,
	enter: (method: FakeSnapshotMethod) => Promise<void>,
	describe: (id: string, volume: FakeVolume) => VolumeInfo,
): VolumeSnapshots {
	const entered = async (method: FakeSnapshotMethod, volumeId: string, snapshotId: string): Promise<void> => {
		requireId(volumeId, "volume");
		requireId(snapshotId, "snapshot");
		await enter(method);
	};
	const needed = (id: string): FakeVolume => {
		const volume = pool.volumes.get(id);
		if (!volume) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
		return volume;
	};
	const requireClosed = (id: string, { path, layers }: FakeVolume): void => {
		for (const file of [path, ...layers.map((layer) => layer.path)])
			if (pool.isHeld(file)) throw new AppError("in-use", `A VM has volume ${id} open.`);
	};
	const requireNoCopies = (snapshotId: string): void => {
		const copies = [...pool.volumes].filter(([, other]) => other.fromSnapshot === snapshotId).map(([id]) => id);
		if (copies.length > 0)
			throw new AppError("in-use", `Volumes rest on snapshot ${snapshotId}: ${copies.join(", ")}.`);
	};
	const snapshots: VolumeSnapshots = {
		async take(volumeId, snapshotId, { running }) {
			await entered("snapshots.take", volumeId, snapshotId);
			const volume = needed(volumeId);
			const done = volume.snapshots.find(({ id }) => id === snapshotId);
			if (done) return infoOf(done);
			if (!running) requireClosed(volumeId, volume);
			const layers = [{ path: volume.path, format: volume.format }, ...volume.layers];
			const made = { id: snapshotId, parentId: volume.at, content: volume.content.copy(), layers };
			volume.snapshots.push(made);
			volume.at = snapshotId;
			if (pool.snapshotsAreLayers) goOn(volumeId, volume, layers);
			return infoOf(made);
		},

		async revert(volumeId, snapshotId) {
			await entered("snapshots.revert", volumeId, snapshotId);
			const volume = needed(volumeId);
			const { content, layers } = snapshotOf(volume, volumeId, snapshotId);
			requireClosed(volumeId, volume);
			volume.content = content.copy();
			volume.at = snapshotId;
			if (pool.snapshotsAreLayers) goOn(volumeId, volume, layers);
			return describe(volumeId, volume);
		},

		async delete(volumeId, snapshotId) {
			await entered("snapshots.delete", volumeId, snapshotId);
			const volume = pool.volumes.get(volumeId);
			if (!volume?.snapshots.some(({ id }) => id === snapshotId)) return;
			requireNoCopies(snapshotId);
			if (pool.snapshotsAreLayers) requireClosed(volumeId, volume);
			forget(volume, snapshotId);
		},

		async list(volumeId) {
			requireId(volumeId, "volume");
			await enter("snapshots.list");
			return (pool.volumes.get(volumeId)?.snapshots ?? []).map(infoOf);
		},
	};
	if (!pool.snapshotsAreLayers) return snapshots;
	return {
		...snapshots,
		async planLiveDelete(volumeId, snapshotId) {
			await entered("snapshots.planLiveDelete", volumeId, snapshotId);
			const volume = pool.volumes.get(volumeId);
			if (!volume) return null;
			requireNoCopies(snapshotId);
			forget(volume, snapshotId);
			return needlessLayer(volume);
		},

		async finishLiveDelete(volumeId, { top, base, active }) {
			requireId(volumeId, "volume");
			await enter("snapshots.finishLiveDelete");
			const volume = pool.volumes.get(volumeId);
			if (!volume) return;
			const [topName, baseName] = [sourceName(top), sourceName(base)];
			const [below, ...rest] = volume.layers;
			if (active && volume.path === topName && below?.path === baseName)
				Object.assign(volume, { path: below.path, format: below.format, layers: rest });
			if (active || pool.isHeld(topName)) return;
			const without = (layers: FakeLayer[]) => layers.filter(({ path }) => path !== topName);
			volume.layers = without(volume.layers);
			for (const snapshot of volume.snapshots) snapshot.layers = without(snapshot.layers);
		},

		async undoTake(volumeId, snapshotId) {
			await entered("snapshots.undoTake", volumeId, snapshotId);
			const volume = pool.volumes.get(volumeId);
			const snapshot = volume?.snapshots.find(({ id }) => id === snapshotId);
			if (!volume || !snapshot) return;
			const [below, ...rest] = volume.layers;
			if (!below || volume.at !== snapshotId || below.path !== snapshot.layers[0]?.path || pool.isHeld(volume.path))
				throw new AppError("wrong-state", `Snapshot ${snapshotId} cannot be undone.`);
			Object.assign(volume, { path: below.path, format: below.format, layers: rest });
			forget(volume, snapshotId);
		},
	};
}

export function snapshotOf(volume: FakeVolume, volumeId: string, snapshotId: string): FakeSnapshot {
	const found = volume.snapshots.find(({ id }) => id === snapshotId);
	if (!found) throw new AppError("not-found", `Volume ${volumeId} has no snapshot ${snapshotId}.`);
	return found;
}

/** A layer below the disk that is no snapshot, and that nothing but the one above it rests on. */
function needlessLayer({ path, layers, snapshots }: FakeVolume): LayerMerge | null {
	const chain = [path, ...layers.map((layer) => layer.path)];
	for (const [at, base] of chain.entries()) {
		const top = chain[at - 1];
		const branches = snapshots.some((one) => {
			const names = one.layers.map((layer) => layer.path);
			const found = names.indexOf(base);
			// It is this one, or has another layer on it, or rests on the one above by another way than the disk.
			return (
				found === 0 ||
				(found > 0 && (names[found - 1] !== top || (at > 1 && found > 1 && names[found - 2] !== chain[at - 2])))
			);
		});
		if (top !== undefined && !branches) return { top: fileSource(top), base: fileSource(base), active: at === 1 };
	}
	return null;
}

/** In a new file on these layers. */
function goOn(volumeId: string, volume: FakeVolume, layers: FakeLayer[]): void {
	volume.files += 1;
	volume.path = `/fake/volumes/${volumeId}-${volume.files}.qcow2`;
	volume.format = "qcow2";
	volume.layers = layers;
}

/** What came after it comes after what it came after. */
function forget(volume: FakeVolume, gone: string): void {
	const { parentId = null } = volume.snapshots.find(({ id }) => id === gone) ?? {};
	volume.snapshots = volume.snapshots
		.filter(({ id }) => id !== gone)
		.map((other) => (other.parentId === gone ? { ...other, parentId } : other));
	if (volume.at === gone) volume.at = parentId;
}

const infoOf = ({ id, parentId, content }: FakeSnapshot): SnapshotInfo => ({ id, parentId, sizeBytes: content.length });
