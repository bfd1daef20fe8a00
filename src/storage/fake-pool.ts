/** What a fake pool stores. */
import { AppError, toAppError } from "../lib/errors.ts";
import { GiB } from "../lib/units.ts";
import type { Provisioning, VolumeFormat } from "../model/storage.ts";
import type { ContentEntry } from "./content.ts";
import type { Adoptable, FileToAdopt, ImageInfo, PoolUsage, VolumeInfo } from "./driver.ts";
import { bytesOf, fileOf, SparseBytes } from "./fake-content.ts";
import type { FakeLayer, FakeSnapshot } from "./fake-snapshots.ts";
import type { FakeUpload } from "./fake-upload.ts";
import { checkImageBytes } from "./inspect/image-rules.ts";
import { diskSize } from "./names.ts";

export type FakeVolume = {
	format: VolumeFormat;
	content: SparseBytes;
	backing: VolumeInfo["backing"];
	path: string;
	/** Taken over; the path is one of `hostFiles`. */
	adopted: boolean;
	snapshots: FakeSnapshot[];
	/** The snapshot that it is at. */
	at: string | null;
	/** Own files below `path`, nearest first. */
	layers: FakeLayer[];
	/** How many files it has had. */
	files: number;
	/** It rests on this one. */
	fromSnapshot: string | null;
	/** It takes all of its size, whatever was written. */
	isThick?: boolean;
};
/** A volume that never had snapshots. */
export const noSnapshots = (): Pick<FakeVolume, "snapshots" | "at" | "layers" | "files" | "fromSnapshot"> => ({
	...{ snapshots: [], at: null, layers: [], files: 1, fromSnapshot: null },
});
export type FakeImage = ImageInfo & { sha256: string; content: SparseBytes };

/** What is stored, apart from the driver: two drivers on one world are one pool before and after a restart. */
export class FakePool {
	readonly volumes = new Map<string, FakeVolume>();
	readonly images = new Map<string, FakeImage>();
	readonly uploads = new Map<string, FakeUpload>();
	/** What somebody else has put at the top of the pool, by name. */
	readonly strays = new Map<string, Pick<ContentEntry, "kind" | "nameIsExact">>();
	/** Files of the node, for importFile and adoptVolume. */
	readonly hostFiles = new Map<string, Uint8Array>();
	/** Volumes that are open on the node; as they stay when the daemon ends. */
	readonly open = new Set<string>();
	totalBytes = 100 * GiB;
	/** What the paths of its files begin with; nothing is there. */
	readonly folder: string;
	/** How its volumes can get their space. */
	provisioning: Provisioning[] = ["thin", "thick"];
	/** Whether its volumes can have snapshots. */
	makesSnapshots = true;
	/** False: as RBD, whose snapshots are its own, and the disk stays what it is. */
	snapshotsAreLayers = true;
	/** Whether QEMU has the file open. */
	isHeld: (path: string) => boolean = () => false;
	/** Whether another pool has its marks where this one would be. */
	isTaken = (): boolean => false;
	/** What taking its marks away fails with, whichever driver does. */
	removalError: AppError | null = null;

	/** Names of what is where it is to be. */
	foreign: string[] = [];

	constructor(folder = "/fake") {
		this.folder = folder;
	}

	image(id: string): FakeImage {
		const image = this.images.get(id);
		if (!image) throw new AppError("not-found", `Image ${id} is not in this pool.`);
		return image;
	}

	volume(id: string): FakeVolume {
		const volume = this.volumes.get(id);
		if (!volume) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
		return volume;
	}

	requireConfirmed(overwrite: readonly string[]): void {
		if (this.foreign.every((name) => overwrite.includes(name))) return;
		throw new AppError("wrong-state", `It is not empty: ${this.foreign.join(", ")} is on it.`, {
			context: { found: this.foreign },
		});
	}

	hostFile(path: string): Uint8Array {
		const bytes = this.hostFiles.get(path);
		if (!bytes) throw new AppError("invalid", `The file ${path} cannot be taken: there is no such file.`);
		return bytes;
	}

	/** A file that was taken over may be removed by others. */
	isWhole(volume: FakeVolume | undefined): boolean {
		return volume !== undefined && (!volume.adopted || this.hostFiles.has(volume.path));
	}

	diskIn(path: string, format: VolumeFormat): SparseBytes {
		const bytes = this.hostFile(path);
		if (format === "raw") return fileOf(bytes);
		return new SparseBytes(diskSize(checkImageBytes("qcow2", bytesOf(fileOf(bytes)))));
	}

	adoptable({ path, format }: FileToAdopt): Adoptable {
		try {
			const sizeBytes = this.diskIn(path, format).length;
			const held = [...this.volumes].find(([, volume]) => volume.path === path);
			return held
				? { refusal: `The file ${path} is a volume already.`, heldBy: held[0] }
				: { sizeBytes, fileKey: path };
		} catch (error) {
			return { refusal: toAppError(error).message, heldBy: null };
		}
	}

	requireFree(kind: "volume" | "image", id: string): void {
		const dependants = [...this.volumes]
			.filter(([, volume]) => volume.backing[0]?.kind === kind && volume.backing[0].id === id)
			.map(([other]) => other);
		if (dependants.length > 0)
			throw new AppError("in-use", `Volumes are copy-on-write copies of ${kind} ${id}: ${dependants.join(", ")}.`);
	}

	usage(): PoolUsage {
		const { totalBytes } = this;
		const usedBytes = this.usedBytes();
		return { totalBytes, usedBytes, availableBytes: Math.max(0, totalBytes - usedBytes) };
	}

	usedBytes(): number {
		const others = [this.images, this.uploads].flatMap((map) => [...map.values()]);
		const volumes = [...this.volumes.values()].map(takenBytes);
		return [...volumes, ...others.map(({ content }) => content.allocatedBytes)].reduce((sum, bytes) => sum + bytes, 0);
	}

	/** Whether a volume of this size can be thick now. */
	requireThick(sizeBytes: number): void {
		if (!this.provisioning.includes("thick")) throw new AppError("unsupported", noThick);
		if (this.usage().availableBytes < sizeBytes) throw new AppError("no-space", "There is no room for a thick volume.");
	}
}

export const noThick = "Volumes here are thin: the fake was told so.";
const takenBytes = ({ isThick, content }: FakeVolume): number =>
	isThick ? Math.max(content.length, content.allocatedBytes) : content.allocatedBytes;

export const volumeInfo = (id: string, volume: FakeVolume): VolumeInfo => ({
	...{ id, format: volume.format, ...volume.content.figures },
	...{ allocatedBytes: takenBytes(volume), backing: [...volume.backing] },
	...(volume.isThick === true ? { provisioning: "thick" } : {}),
});

export const imageInfo = ({ id, format, fileSizeBytes, virtualSizeBytes }: FakeImage): ImageInfo => ({
	...{ id, format, fileSizeBytes, virtualSizeBytes },
});
