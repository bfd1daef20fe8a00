/** What a volume of the fake driver is made of. */
import { AppError } from "../lib/errors.ts";
import type { VolumeFormat } from "../model/storage.ts";
import type { CreateSource } from "./driver.ts";
import { SparseBytes } from "./fake-content.ts";
import type { FakePool, FakeVolume } from "./fake-pool.ts";
import { snapshotOf } from "./fake-snapshots.ts";
import { diskSize, requireId } from "./names.ts";

type Origin = Pick<FakeVolume, "format" | "content" | "backing">;

export function fromSource(
	pool: FakePool,
	source: CreateSource,
	format: VolumeFormat,
	sizeBytes: number,
): Pick<FakeVolume, "content" | "backing"> & Partial<FakeVolume> {
	if (source.kind === "empty") return { content: new SparseBytes(sizeBytes), backing: [] };
	requireId(source.id, source.kind === "image" ? "image" : "volume");
	const from: Origin = source.kind === "image" ? imageOrigin(pool, source.id) : { ...pool.volume(source.id) };
	if (source.kind === "snapshot")
		from.content = snapshotOf(pool.volume(source.id), source.id, source.snapshotId).content;
	if (sizeBytes < from.content.length)
		throw new AppError("invalid", "The volume would be smaller than what it is made of.");
	const content = from.content.copy(sizeBytes, !source.fullCopy);
	if (source.fullCopy) return { content, backing: [] };
	if (format === "raw") throw new AppError("invalid", "A copy-on-write copy is always qcow2.");
	if (source.kind === "volume" && from.format === "raw")
		throw new AppError("invalid", "A raw volume cannot be copied copy-on-write. Ask for a full copy.");
	const kind = source.kind === "image" ? "image" : "volume";
	const backing: FakeVolume["backing"] = [{ kind, id: source.id, format: from.format }, ...from.backing];
	return { content, backing, fromSnapshot: source.kind === "snapshot" ? source.snapshotId : null };
}

function imageOrigin(pool: FakePool, id: string): Origin {
	const image = pool.image(id);
	if (image.format === "iso") throw new AppError("invalid", "An ISO image is for CD-ROM drives, not for volumes.");
	const size = diskSize(image.virtualSizeBytes);
	const content = image.format === "raw" ? image.content.copy(size) : new SparseBytes(size);
	return { format: image.format, content, backing: [] };
}
