/** What the logical volumes of a pool are together, from one report of LVM: volumes, their disks and chains, images. Pure. */
import { AppError } from "../../lib/errors.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { ImageInfo, SnapshotInfo, VolumeInfo } from "../driver.ts";
import { sectorBytes } from "../names.ts";
import { parseLvName } from "./names.ts";
import type { Lv } from "./records.ts";

/** Disks in one chain at most: QEMU opens all of them. */
export const maxChainDisks = 32;

export type Disk = Lv & { name: { kind: "volume"; id: string; number: number } };
export type Volume = { id: string /** All, also unfinished ones, by number. */; disks: Disk[]; active: Disk };
export type Image = { id: string; lv: Lv; info: ImageInfo; sha256: string };

const damaged = (id: string, why: string) => new AppError("corrupt", `Volume ${id} cannot be used: ${why}.`);

export class PoolIndex {
	readonly lvs: readonly Lv[];
	readonly #byName: Map<string, Lv>;
	readonly #damaged: ReadonlyMap<string, AppError>;
	readonly #disks = new Map<string, Disk[]>();

	constructor({ lvs, damaged: bad }: { lvs: Lv[]; damaged: ReadonlyMap<string, AppError> }) {
		this.lvs = lvs;
		this.#damaged = bad;
		this.#byName = new Map(lvs.map((lv) => [lv.lv, lv]));
		for (const lv of lvs) {
			if (!isDisk(lv)) continue;
			const disks = this.#disks.get(lv.name.id) ?? [];
			this.#disks.set(lv.name.id, disks);
			disks.push(lv);
		}
		for (const disks of this.#disks.values()) disks.sort((a, b) => a.name.number - b.name.number);
	}

	get(lv: string): Lv | null {
		return this.#byName.get(lv) ?? null;
	}

	get hasDamaged(): boolean {
		return this.#damaged.size > 0;
	}

	/** Null when there is none, or it was deleted; `corrupt` when what is recorded of one of its disks is damaged. */
	volume(id: string): Volume | null {
		for (const [lv, error] of this.#damaged) {
			const name = parseLvName(lv);
			if (name?.kind === "volume" && name.id === id) throw error;
		}
		const disks = this.#disks.get(id) ?? [];
		const active = disks.findLast(({ record }) => record.half === null && record.snap === null);
		return !active || active.record.gone !== null ? null : { id, disks, active };
	}

	volumeIds(): string[] {
		return [...this.#disks.keys()].sort();
	}

	/** All of a volume, also deleted or unfinished ones, by number. */
	disks = (id: string): readonly Disk[] => this.#disks.get(id) ?? [];

	/** The number of the next disk of a volume, whatever is there already. */
	nextNumber(id: string): number {
		return (this.#disks.get(id)?.at(-1)?.name.number ?? 0) + 1;
	}

	/** A disk and what it rests on, nearest first. */
	chain(disk: Lv): [Lv, ...Lv[]] {
		const chain: [Lv, ...Lv[]] = [disk];
		for (let on = disk.record.on; on !== null; ) {
			const next = this.get(on);
			if (next === null || next.record.half !== null)
				throw damaged(disk.name.id, `${on}, which it rests on, is missing`);
			if (chain.length > maxChainDisks) throw damaged(disk.name.id, "its chain of disks does not end");
			chain.push(next);
			on = next.record.on;
		}
		return chain;
	}

	/** Disks that rest directly on this one, unfinished ones too. */
	restingOn = (lv: string): Lv[] => this.lvs.filter(({ record }) => record.on === lv || record.rebase?.to === lv);

	/** Ids of other volumes that rest directly on a disk of this one, or on this image. */
	dependants(kind: "volume" | "image", id: string): string[] {
		const found = new Set<string>();
		for (const { name, record } of this.lvs) {
			const on = record.on === null ? null : parseLvName(record.on);
			if (on?.kind === kind && on.id === id && !(name.kind === kind && name.id === id)) found.add(name.id);
		}
		return [...found].sort();
	}

	info(volume: Volume): VolumeInfo {
		const { active, id } = volume;
		const format = volumeFormat(active);
		const own = volume.disks.filter(({ record }) => record.half === null);
		const allocatedBytes = own.reduce(
			(sum, { lvBytes, dataPercent }) =>
				sum + (dataPercent === null ? lvBytes : Math.round((lvBytes * dataPercent) / 100)),
			0,
		);
		return {
			...{ id, format, sizeBytes: sizeOf(active), allocatedBytes },
			contentMark: `${active.uuid}:${sizeOf(active)}:${active.record.opened}`,
			backing: backingOf(this.chain(active)),
		};
	}

	/** Oldest first: numbers only grow. */
	snapshots({ disks }: { disks: readonly Disk[] }): (SnapshotInfo & { disk: Disk })[] {
		const byDisk = new Map<string, string>();
		for (const disk of disks) {
			if (disk.record.half !== null) continue;
			if (disk.record.snap !== null) byDisk.set(disk.lv, disk.record.snap);
			if (disk.record.freezes !== null && disk.record.on !== null) byDisk.set(disk.record.on, disk.record.freezes);
		}
		const found: (SnapshotInfo & { disk: Disk })[] = [];
		for (const disk of disks) {
			const id = byDisk.get(disk.lv);
			if (id === undefined) continue;
			let parentId = disk.record.parent;
			// A chain says it by itself.
			for (let on = disk.record.on; parentId === null && on !== null; on = this.get(on)?.record.on ?? null)
				parentId = byDisk.get(on) ?? null;
			found.push({ id, sizeBytes: sizeOf(disk), parentId, disk });
		}
		return found;
	}

	/**
	 * The snapshot that a thin volume was last taken as, or went back to. Numbers only grow and going back makes a new disk, so what has
	 * a higher number than the disk was taken of it: no second record says so, which a cut could leave behind.
	 */
	lastThinSnapshot({ disks, active }: Volume): string | null {
		const taken = disks.findLast(
			({ record, name }) => record.half === null && record.snap !== null && name.number > active.name.number,
		);
		return taken ? taken.record.snap : active.record.parent;
	}

	image(id: string): Image | null {
		for (const [lv, error] of this.#damaged) {
			const name = parseLvName(lv);
			if (name?.kind === "image" && name.id === id) throw error;
		}
		const lv = this.get(`i-${id}`);
		if (lv === null || lv.record.half !== null || lv.record.gone !== null) return null;
		const { format, fileSizeBytes, sizeBytes, sha256 } = lv.record;
		if (format === null || fileSizeBytes === null || sizeBytes === null || sha256 === null)
			throw new AppError("corrupt", `What is recorded of image ${id} is damaged.`);
		return { id, lv, info: { id, format, fileSizeBytes, virtualSizeBytes: sizeBytes }, sha256 };
	}

	imageIds(): string[] {
		const ids = this.lvs.flatMap(({ name }) => (name.kind === "image" ? [name.id] : []));
		return ids
			.filter((id) => this.get(`i-${id}`)?.record.half === null && this.get(`i-${id}`)?.record.gone === null)
			.sort();
	}
}

export const isDisk = (lv: Lv): lv is Disk => lv.name.kind === "volume";

export function volumeFormat(lv: Lv): VolumeFormat {
	if (lv.record.format === null || (lv.record.format === "iso" && lv.name.kind === "volume"))
		throw new AppError("corrupt", `What is recorded of ${lv.lv} is damaged: it has no format.`);
	return lv.record.format === "qcow2" ? "qcow2" : "raw";
}

/** The disk as its guest sees it: a raw one is as large as its logical volume. */
export function sizeOf(lv: Lv): number {
	if (lv.record.format === "raw" && lv.name.kind === "volume") return lv.record.zeroFrom ?? lv.lvBytes;
	return Math.ceil((lv.record.sizeBytes ?? lv.lvBytes) / sectorBytes) * sectorBytes;
}

function backingOf(chain: readonly Lv[]): VolumeInfo["backing"] {
	const backing: VolumeInfo["backing"] = [];
	let last = chain[0]?.name;
	for (const lv of chain) {
		const { kind, id } = lv.name;
		if (kind !== last?.kind || id !== last.id) backing.push({ kind, id, format: volumeFormat(lv) });
		last = lv.name;
	}
	return backing;
}

export type TidyStep =
	| { kind: "remove"; lv: Lv; why: string }
	/** A move to another layer was cut short: the header says where it rests. */
	| { kind: "settle"; disk: Lv }
	/** A growth was cut short, by whichever node: who still is at it has the disk exclusively. */
	| { kind: "shrink"; disk: Lv }
	/** The snapshot that a disk names is recorded on the layer itself. */
	| { kind: "moveSnapshot"; disk: Disk };

/** What operations that were cut short left behind, as far as `nodeId` may take it away, in the order in which that is safe. */
export function tidyPlan(index: PoolIndex, nodeId: string): TidyStep[] {
	const steps: TidyStep[] = [];
	for (const lv of index.lvs) {
		if (lv.record.half === nodeId) steps.push({ kind: "remove", lv, why: "it was not finished" });
		else if (lv.record.rebase?.node === nodeId) steps.push({ kind: "settle", disk: lv });
		else if (lv.record.half === null && lv.record.zeroFrom !== null) steps.push({ kind: "shrink", disk: lv });
		else if (lv.name.kind === "image" && lv.record.gone === nodeId)
			steps.push({ kind: "remove", lv, why: "it was deleted" });
	}
	// A record that cannot be read may name any disk.
	if (index.hasDamaged) return steps;
	for (const id of index.volumeIds()) {
		const disks = index.disks(id);
		const active = disks.findLast(({ record }) => record.half === null && record.snap === null);
		if (!active) continue;
		// Upwards: as long as the highest is there, the volume is known to be deleted.
		if (active.record.gone === nodeId)
			for (const lv of disks.filter(({ record }) => record.half === null))
				steps.push({ kind: "remove", lv, why: "it was deleted" });
		if (active.record.gone !== null) continue;
		for (const lv of uselessDisks(index, disks, active)) {
			if (lv.record.freezes !== null) steps.push({ kind: "moveSnapshot", disk: lv });
			steps.push({ kind: "remove", lv, why: "nothing rests on it any more" });
		}
	}
	return steps;
}

/** Disks that are neither written to, nor a snapshot, nor rested upon. */
export const uselessDisks = (index: PoolIndex, disks: readonly Disk[], active: Disk): Disk[] =>
	nameless(disks, active).filter(({ lv }) => index.restingOn(lv).length === 0);

/** Disks that are no snapshot, and on which one disk of the same volume rests, and nothing else: what they hold can go up into that one. */
export const needlessLayers = (index: PoolIndex, disks: readonly Disk[], active: Disk): Disk[] =>
	nameless(disks, active).filter(({ lv, name }) => {
		const [above, ...more] = index.restingOn(lv);
		return above !== undefined && more.length === 0 && above.name.id === name.id && above.record.half === null;
	});

/** Below the disk that is written to, and no snapshot. */
function nameless(disks: readonly Disk[], active: Disk): Disk[] {
	const frozen = new Set(
		disks.flatMap(({ record }) =>
			record.half === null && record.freezes !== null && record.on !== null ? [record.on] : [],
		),
	);
	return disks.filter(
		(disk) =>
			disk !== active &&
			disk.record.half === null &&
			disk.record.snap === null &&
			disk.name.number < active.name.number &&
			!frozen.has(disk.lv),
	);
}
