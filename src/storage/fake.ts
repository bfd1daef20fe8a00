/**
 * A storage driver in memory, for tests of what stands above: same rules, same errors (conformance.ts runs on it). What
 * it does not do: the content of qcow2 images is not decoded, a volume made of one reads as zeroes, and exports in
 * qcow2 are an empty qcow2 file of the right size. Its paths exist nowhere.
 */

import { AppError } from "../lib/errors.ts";
import { type DiskSource, fileSource, type HostSecret } from "../model/disk-source.ts";
import type { PoolCapabilities, VolumeFormat } from "../model/storage.ts";
import type {
	Adoptable,
	CreateSource,
	FileToAdopt,
	ImageInfo,
	LongOptions,
	MakingOptions,
	OverwriteOptions,
	PoolUsage,
	StorageDriver,
	UploadFile,
	UploadOptions,
	UploadStatus,
	VolumeContent,
	VolumeDamage,
	VolumeInfo,
	VolumeSnapshots,
} from "./driver.ts";
import { FakeCalls, type FakeMethod } from "./fake-calls.ts";
import { bytesOf, fileOf } from "./fake-content.ts";
import { flatten } from "./fake-flatten.ts";
import { fakeContent } from "./fake-listing.ts";
import { type FakeImage, FakePool, type FakeVolume, imageInfo, noSnapshots, noThick, volumeInfo } from "./fake-pool.ts";
import { fakeSnapshots } from "./fake-snapshots.ts";
import { fromSource } from "./fake-sources.ts";
import { contentOf, receive } from "./fake-transfer.ts";
import { type FakeUpload, openUpload } from "./fake-upload.ts";
import { checkImageBytes } from "./inspect/image-rules.ts";
import { qcow2Sample } from "./inspect/qcow2-sample.ts";
import { diskSize, requireId } from "./names.ts";

export { FakePool } from "./fake-pool.ts";

export class FakeStorageDriver extends FakeCalls implements StorageDriver {
	readonly type = "local";
	readonly capabilities: PoolCapabilities = {
		...{ formats: ["qcow2", "raw"], provisioning: ["thin", "thick"] },
		...{ copyOnWriteClone: true, fullClone: true, resizeOnline: true, shrink: false },
		...{ snapshots: true, images: true, shared: false },
		reasons: { shrink: "It only grows.", shared: "It is one node's.", flattenOnline: "Only QEMU could." },
	};
	hostSecrets: HostSecret[] = [];
	settleLimitMs = 60_000;
	snapshots: VolumeSnapshots | null;
	/** What checkVolume finds, by volume id. */
	readonly damage = new Map<string, VolumeDamage>();
	readonly pool: FakePool;
	constructor(pool = new FakePool()) {
		super();
		this.pool = pool;
		const enter = (method: FakeMethod) => this.enter(method);
		this.snapshots = pool.makesSnapshots ? fakeSnapshots(pool, enter, (id, volume) => this.#info(id, volume)) : null;
		this.capabilities.provisioning = pool.provisioning;
		if (!pool.provisioning.includes("thick")) this.capabilities.reasons.provisioning = noThick;
		if (this.snapshots) return;
		this.capabilities.snapshots = false;
		this.capabilities.reasons.snapshots = "This one makes none.";
	}

	/** What a guest would write to its disk. */
	writeContent(id: string, position: number, bytes: Uint8Array): void {
		this.#volume(id).content.write(position, bytes);
	}

	async activate({ overwrite = [] }: OverwriteOptions = {}): Promise<void> {
		await this.enter("activate");
		this.pool.requireConfirmed(overwrite);
		this.pool.foreign = [];
	}

	async deactivate(): Promise<void> {
		await this.enter("deactivate");
		if (this.isWorking) throw new AppError("in-use", "Something is being done in the pool.");
	}

	async remove(): Promise<void> {
		await this.enter("remove");
		if (this.pool.removalError !== null) throw this.pool.removalError;
	}

	async probe({ overwrite = [] }: OverwriteOptions = {}): Promise<PoolUsage> {
		await this.enter("probe");
		this.pool.requireConfirmed(overwrite);
		if (this.pool.isTaken()) throw new AppError("in-use", "The folder belongs to another storage pool.");
		return this.pool.usage();
	}

	async check(): Promise<PoolUsage> {
		await this.enter("check");
		return this.pool.usage();
	}

	listContent: StorageDriver["listContent"] = (folder, options = {}) =>
		fakeContent(this.pool, folder, options, this.enter("listContent", options.signal));

	async createVolume(
		id: string,
		options: { format: VolumeFormat; sizeBytes: number; source: CreateSource } & MakingOptions,
	): Promise<VolumeInfo> {
		requireId(id, "volume");
		await this.enter("createVolume", options.signal);
		const sizeBytes = diskSize(options.sizeBytes);
		const existing = this.pool.volumes.get(id);
		if (existing) {
			if (existing.format === options.format && existing.content.length === sizeBytes) return this.#info(id, existing);
			throw new AppError("already-exists", `Volume ${id} exists already, with another size or format.`);
		}
		const isThick = options.provisioning === "thick";
		if (isThick) this.pool.requireThick(sizeBytes);
		const made = fromSource(this.pool, options.source, options.format, sizeBytes);
		if (isThick && made.backing.length > 0) throw new AppError("invalid", "A copy-on-write copy is thin.");
		options.progress?.(1);
		const path = `${this.pool.folder}/volumes/${id}.${options.format}`;
		const volume = { ...noSnapshots(), ...made, format: options.format, path, adopted: false, isThick };
		this.pool.volumes.set(id, volume);
		return this.#info(id, volume);
	}

	async deleteVolume(id: string, { signal }: LongOptions = {}): Promise<void> {
		requireId(id, "volume");
		await this.enter("deleteVolume", signal);
		this.pool.requireFree("volume", id);
		const volume = this.pool.volumes.get(id);
		for (const { path } of volume ? [volume, ...volume.layers] : []) this.pool.hostFiles.delete(path);
		this.pool.volumes.delete(id);
	}

	async resizeVolume(id: string, wantedBytes: number, { signal }: LongOptions = {}): Promise<VolumeInfo> {
		requireId(id, "volume");
		await this.enter("resizeVolume", signal);
		const sizeBytes = diskSize(wantedBytes);
		const volume = this.#volume(id);
		if (sizeBytes < volume.content.length) throw new AppError("invalid", "A volume cannot shrink.");
		if (volume.isThick) this.pool.requireThick(sizeBytes - volume.content.length);
		volume.content.grow(sizeBytes);
		return this.#info(id, volume);
	}

	async growOpenVolume(id: string, _sizeBytes: number, { signal }: LongOptions = {}): Promise<VolumeInfo> {
		requireId(id, "volume");
		await this.enter("growOpenVolume", signal);
		return this.#info(id, this.#volume(id));
	}

	flattenVolume: StorageDriver["flattenVolume"] = async (id, options) =>
		this.#info(id, await flatten(this.pool, id, options, this.enter("flattenVolume", options.signal)));

	async getVolume(id: string): Promise<VolumeInfo | null> {
		requireId(id, "volume");
		await this.enter("getVolume");
		const volume = this.pool.volumes.get(id);
		return volume ? this.#info(id, volume) : null;
	}

	async listVolumes(): Promise<VolumeInfo[]> {
		await this.enter("listVolumes");
		return [...this.pool.volumes].map(([id, volume]) => this.#info(id, volume)).sort((a, b) => (a.id < b.id ? -1 : 1));
	}

	async attachInfo(id: string): ReturnType<StorageDriver["attachInfo"]> {
		requireId(id, "volume");
		await this.enter("attachInfo");
		const { path, format, layers, backing } = this.#volume(id);
		const below = backing.map((file) => ({
			path: `${this.pool.folder}/${file.kind}s/${file.id}.${file.format}`,
			format: file.format,
		}));
		return {
			source: fileSource(path),
			format,
			backing: [...layers, ...below].map((file) => ({ source: fileSource(file.path), format: file.format })),
		};
	}

	async openVolume(id: string): Promise<void> {
		requireId(id, "volume");
		await this.enter("openVolume");
		this.#volume(id);
		this.pool.open.add(id);
	}

	async closeVolume(id: string): Promise<void> {
		requireId(id, "volume");
		await this.enter("closeVolume");
		this.pool.open.delete(id);
	}

	async openVolumes(): Promise<string[]> {
		await this.enter("openVolumes");
		return [...this.pool.open];
	}

	async checkVolume(id: string): Promise<VolumeDamage> {
		requireId(id, "volume");
		await this.enter("checkVolume");
		this.#volume(id);
		return this.damage.get(id) ?? { errors: 0, leakedBytes: 0, repaired: 0 };
	}

	async exportVolume(id: string, format: VolumeFormat, options: LongOptions) {
		requireId(id, "volume");
		await this.enter("exportVolume", options.signal);
		const content = this.#volume(id).content.copy();
		const file = format === "raw" ? content : fileOf(qcow2Sample({ virtualSizeBytes: content.length }));
		return { sizeBytes: file.length, stream: file.stream() };
	}

	async readVolume(id: string, options: LongOptions): Promise<VolumeContent> {
		requireId(id, "volume");
		await this.enter("readVolume", options.signal);
		return this.workingUntilRead(contentOf(this.#volume(id)));
	}

	async fillVolume(id: string): Promise<void> {
		requireId(id, "volume");
		await this.enter("fillVolume");
		this.#volume(id);
	}

	async receiveVolume(id: string, content: VolumeContent, options: MakingOptions): Promise<VolumeInfo> {
		const entered = this.enter("receiveVolume", options.signal);
		return this.#info(id, await this.working(receive(this.pool, id, content, options, entered)));
	}

	async adoptVolume(id: string, options: FileToAdopt): Promise<VolumeInfo> {
		requireId(id, "volume");
		await this.enter("adoptVolume");
		const content = this.pool.diskIn(options.path, options.format);
		const existing = this.pool.volumes.get(id);
		if (existing?.path === options.path && existing.format === options.format) return this.#info(id, existing);
		if (existing) throw new AppError("already-exists", `Volume ${id} exists already and is another one.`);
		if ([...this.pool.volumes.values()].some((other) => other.path === options.path))
			throw new AppError("already-exists", `The file ${options.path} is a volume already.`);
		const { path, format } = options;
		const volume: FakeVolume = { ...noSnapshots(), format, content, backing: [], path, adopted: true };
		this.pool.volumes.set(id, volume);
		return this.#info(id, volume);
	}

	async damagedVolumes(ids: readonly string[]): Promise<{ id: string; error: AppError }[]> {
		await this.enter("damagedVolumes");
		return ids
			.filter((id) => !this.pool.isWhole(this.pool.volumes.get(id)))
			.map((id) => ({ id, error: new AppError("storage", `The file of volume ${id} is missing.`) }));
	}

	async adoptableFiles(files: readonly FileToAdopt[]): Promise<Adoptable[]> {
		await this.enter("adoptableFiles");
		return files.map((file) => this.pool.adoptable(file));
	}

	async releaseVolume(id: string): Promise<void> {
		requireId(id, "volume");
		await this.enter("releaseVolume");
		const volume = this.pool.volumes.get(id);
		if (!volume) return;
		if (!volume.adopted)
			throw new AppError("wrong-state", `Volume ${id} was made in this pool: it can only be deleted.`);
		this.pool.volumes.delete(id);
	}

	async openUpload(id: string, totalBytes: number | null, options: UploadOptions = {}): Promise<UploadFile> {
		requireId(id, "image");
		await this.enter("openUpload");
		return openUpload(this.pool, id, totalBytes, options);
	}

	async getUpload(id: string): Promise<UploadStatus | null> {
		requireId(id, "image");
		await this.enter("getUpload");
		const upload = this.pool.uploads.get(id);
		if (!upload) return null;
		return { receivedBytes: upload.content.length, totalBytes: upload.totalBytes, validator: upload.validator };
	}

	async finishImage(
		id: string,
		options: { format: "qcow2" | "raw" | "iso"; sha256: string | null } & LongOptions,
	): Promise<ImageInfo & { sha256: string }> {
		requireId(id, "image");
		await this.enter("finishImage", options.signal);
		const done = this.pool.images.get(id);
		if (done && done.format !== options.format)
			throw new AppError("already-exists", `Image ${id} is complete already, as ${done.format}.`);
		const sha256 = done?.sha256 ?? this.#complete(id).content.sha256();
		if (options.sha256 !== null && options.sha256 !== sha256)
			throw new AppError("invalid", `The checksum does not match: the file has sha256 ${sha256}.`);
		if (done) return { ...imageInfo(done), sha256 };
		const { content } = this.#complete(id);
		const virtualSizeBytes = checkImageBytes(options.format, bytesOf(content));
		const image = { id, format: options.format, fileSizeBytes: content.length, virtualSizeBytes, sha256, content };
		this.pool.images.set(id, image);
		this.pool.uploads.delete(id);
		return { ...imageInfo(image), sha256 };
	}

	#complete(id: string): FakeUpload {
		const upload = this.pool.uploads.get(id);
		if (!upload) throw new AppError("not-found", `Nothing was received of image ${id}.`);
		if (upload.writer) throw new AppError("in-use", "This upload is busy with another operation.");
		if (upload.totalBytes !== null && upload.content.length !== upload.totalBytes)
			throw new AppError("wrong-state", `${upload.content.length} of ${upload.totalBytes} bytes were received so far.`);
		return upload;
	}

	async importFile(id: string, path: string, options: LongOptions): Promise<void> {
		requireId(id, "image");
		await this.enter("importFile", options.signal);
		const bytes = this.pool.hostFile(path);
		const upload = await this.openUpload(id, bytes.length, { restart: true });
		await upload.write(bytes);
		await upload.close();
		options.progress?.(1);
	}

	async imageFromVolume(id: string, volumeId: string, options: LongOptions & { format?: VolumeFormat }): Promise<void> {
		requireId(id, "image");
		requireId(volumeId, "volume");
		await this.enter("imageFromVolume", options.signal);
		if (this.pool.images.has(id)) throw new AppError("already-exists", `Image ${id} is complete already.`);
		const content = this.#volume(volumeId).content.copy();
		const file = options.format === "raw" ? content : fileOf(qcow2Sample({ virtualSizeBytes: content.length }));
		this.pool.uploads.set(id, { totalBytes: file.length, validator: null, content: file, writer: null });
	}

	async getImage(id: string): Promise<ImageInfo | null> {
		requireId(id, "image");
		await this.enter("getImage");
		const image = this.pool.images.get(id);
		return image ? imageInfo(image) : null;
	}

	async imageSource(id: string): Promise<DiskSource> {
		requireId(id, "image");
		await this.enter("imageSource");
		return fileSource(`${this.pool.folder}/images/${id}.${this.#image(id).format}`);
	}

	async listImages(): Promise<string[]> {
		await this.enter("listImages");
		return [...this.pool.images.keys()].sort();
	}

	async deleteImage(id: string, { signal }: LongOptions = {}): Promise<void> {
		requireId(id, "image");
		await this.enter("deleteImage", signal);
		this.pool.uploads.delete(id);
		this.pool.requireFree("image", id);
		this.pool.images.delete(id);
	}

	async openImage(id: string): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }> {
		requireId(id, "image");
		await this.enter("openImage");
		const { content } = this.#image(id);
		return { sizeBytes: content.length, stream: content.stream() };
	}

	#image = (id: string): FakeImage => this.pool.image(id);
	#volume = (id: string): FakeVolume => this.pool.volume(id);
	#info = volumeInfo;
}
