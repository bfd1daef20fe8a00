/**
 * Where things are in a local pool:
 *
 *   limiquantix-pool.json            whose pool it is
 *   volumes/<id>/record.json         VolumeRecord; with disk-1.qcow2, disk-2.qcow2 … (the highest is written to)
 *   images/<id>/record.json          ImageRecord; with image.qcow2, image.raw or image.iso, read-only
 *   uploads/<id>.part, <id>.json     what has been received of an image, UploadRecord
 *   …/.tmp-*                         work in progress; removed by activate()
 *   …/.trash-*                       what was deleted; removed by activate(), with the file that the volume took over
 *
 * A volume or image is a folder so that file and record appear, and disappear, in one rename. Folders are 0711: QEMU's
 * user passes through to the files that libvirt gives it, and lists nothing.
 */
import { chmod, mkdir, readdir, rename, rm } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import { type Random, randomHex } from "../../lib/random.ts";
import { type Step, syncFolder, writeFileDurably } from "../durable.ts";
import { errnoOf } from "../file-errors.ts";
import { requireId } from "../names.ts";
import { ImageRecord, PoolRecord, readRecord, recordText, UploadRecord, VolumeRecord } from "./records.ts";

const temporaryPrefix = ".tmp-";
const trashPrefix = ".trash-";
export type PoolPart = "volumes" | "images" | "uploads";
const parts: { name: PoolPart; mode: number }[] = [
	{ name: "volumes", mode: 0o711 },
	{ name: "images", mode: 0o711 },
	{ name: "uploads", mode: 0o700 },
];

export class PoolFolder {
	readonly root: string;
	readonly step: Step;
	readonly #random: Random;
	/** Temporary files of operations that run now: activate() leaves them alone. */
	readonly #live = new Set<string>();

	constructor(root: string, random: Random, step: Step = () => {}) {
		this.root = root;
		this.step = step;
		this.#random = random;
	}

	part = (name: PoolPart): string => join(this.root, name);
	marker = (): string => join(this.root, "limiquantix-pool.json");
	volume = (id: string): string => this.#entry("volumes", id, "volume");
	image = (id: string): string => this.#entry("images", id, "image");
	imageFile = (id: string, format: ImageRecord["format"]): string => join(this.image(id), `image.${format}`);
	uploadFile = (id: string): string => `${this.#entry("uploads", id, "image")}.part`;
	uploadRecord = (id: string): string => `${this.#entry("uploads", id, "image")}.json`;

	#entry(part: PoolPart, id: string, what: "volume" | "image"): string {
		requireId(id, what);
		return join(this.root, part, id);
	}

	#temporary(part: PoolPart, prefix: string): { path: string; done: () => void } {
		const name = `${prefix}${randomHex(this.#random, 12)}`;
		this.#live.add(name);
		return { path: join(this.root, part, name), done: () => this.#live.delete(name) };
	}

	/** Runs `work` with a temporary path; whatever is left there afterwards is removed. */
	async withTemporary<T>(part: PoolPart, work: (path: string) => Promise<T>): Promise<T> {
		const { path, done } = this.#temporary(part, temporaryPrefix);
		try {
			return await work(path);
		} finally {
			await rm(path, { recursive: true, force: true }).finally(done);
		}
	}

	writeRecord(path: string, record: VolumeRecord | ImageRecord | UploadRecord | PoolRecord): Promise<void> {
		return writeFileDurably(path, recordText(record), this.step);
	}

	readVolume = (id: string): Promise<VolumeRecord | null> =>
		this.#read(VolumeRecord, join(this.volume(id), "record.json"), id);
	readImage = (id: string): Promise<ImageRecord | null> =>
		this.#read(ImageRecord, join(this.image(id), "record.json"), id);
	readUpload = (id: string): Promise<UploadRecord | null> => this.#read(UploadRecord, this.uploadRecord(id), id);

	async #read<T extends typeof VolumeRecord | typeof ImageRecord | typeof UploadRecord>(
		schema: T,
		path: string,
		id: string,
	) {
		const record = await readRecord(schema, path);
		if (record !== null && record.id !== id)
			throw new AppError("corrupt", `The pool's record ${path} belongs to something else.`);
		return record;
	}

	/** Ids of the volumes or images. */
	async ids(part: "volumes" | "images"): Promise<string[]> {
		return (await readdir(this.part(part))).filter(isUuid).sort();
	}

	/** Makes the folders and the marker. `in-use` when the folder belongs to another pool. */
	async prepare(poolId: string, mayInitialize: boolean): Promise<void> {
		const marker = await this.readMarker();
		if (marker !== null && marker.poolId !== poolId)
			throw new AppError(
				"in-use",
				`The folder ${this.root} belongs to another storage pool (${marker.poolId}). Choose another folder; if that pool is gone for good, remove ${this.marker()} first.`,
			);
		if (marker === null && !mayInitialize)
			throw new AppError("storage", `The folder ${this.root} holds no pool. Is its disk mounted?`);
		if ((await mkdir(this.root, { recursive: true })) !== undefined) await chmod(this.root, 0o711);
		for (const { name, mode } of parts) await makeFolder(this.part(name), mode);
		if (marker === null) await this.writeRecord(this.marker(), { version: 1, poolId });
		await syncFolder(this.root);
	}

	readMarker(): Promise<PoolRecord | null> {
		return readRecord(PoolRecord, this.marker());
	}

	/** Makes the folder of a volume or image disappear at once, then removes it and the files that the volume took over. */
	async discard(part: "volumes" | "images", path: string): Promise<void> {
		const trash = this.#temporary(part, trashPrefix);
		try {
			await this.step("rename the folder to the trash");
			await rename(path, trash.path);
			await this.step("sync the parent of the folder");
			await syncFolder(this.part(part));
			await this.#emptyTrash(trash.path);
		} finally {
			trash.done();
		}
	}

	async #emptyTrash(path: string): Promise<void> {
		const record = await readRecord(VolumeRecord, join(path, "record.json")).catch(() => null);
		for (const { file } of record ? [record, ...record.layers] : [])
			if (isAbsolute(file)) {
				await this.step("remove a file that was taken over");
				await rm(file, { force: true });
			}
		await this.step("remove the folder");
		await rm(path, { recursive: true, force: true });
	}

	/** Finishes deletions that were cut short. */
	async removeTrash(part: PoolPart): Promise<void> {
		for (const entry of await readdir(this.part(part)))
			if (entry.startsWith(trashPrefix) && !this.#live.has(entry)) await this.#emptyTrash(join(this.part(part), entry));
	}

	async removeLeftovers(): Promise<void> {
		for (const { name } of parts) {
			await this.removeTrash(name);
			for (const entry of await readdir(this.part(name)))
				if (entry.startsWith(temporaryPrefix) && !this.#live.has(entry))
					await rm(join(this.part(name), entry), { recursive: true, force: true });
		}
	}
}

async function makeFolder(path: string, mode: number): Promise<void> {
	try {
		await mkdir(path, { mode });
		await chmod(path, mode);
	} catch (error) {
		if (errnoOf(error) !== "EEXIST") throw error;
	}
}
