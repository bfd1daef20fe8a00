/**
 * Where things are in a local pool:
 *
 *   limiquantix-pool.json            whose pool it is
 *   volumes/<id>/record.json         VolumeRecord; with disk-1.qcow2, disk-2.qcow2 … (the record says which is written to)
 *   images/<id>/record.json          ImageRecord; with image.qcow2, image.raw or image.iso, read-only
 *   uploads/<id>.part, <id>.json     what has been received of an image, UploadRecord
 *   …/.tmp-*                         work in progress; removed by activate()
 *   …/.trash-*                       what was deleted; removed by activate(), with the file that the volume took over
 *
 * In a folder that several nodes reach, the last two begin with .tmp-<node>- and .trash-<node>-, and a node removes its own only;
 * see half-done.ts for the volumes.
 *
 * A volume or image is a folder so that file and record appear, and disappear, in one rename. Folders are 0711: QEMU's
 * user passes through to the files that libvirt gives it, and lists nothing.
 */
import { chmod, type FileHandle, lstat, mkdir, open, readdir, realpath, rename, rm, rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { AppError, isAppError } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import { type Random, randomHex } from "../../lib/random.ts";
import { poolPathRefusal } from "../../model/host-paths.ts";
import { type Step, syncFolder, writeFileDurably } from "../durable.ts";
import { errnoOf, withFileErrors } from "../file-errors.ts";
import { requireId } from "../names.ts";
import { mergedByQemu } from "./chain.ts";
import {
	type ForbiddenPlaces,
	isOwnFile,
	makeFolders,
	markerName,
	requireAllowedPlace,
	requireEmpty,
	requireNoPoolAbove,
	requireOwnFolder,
} from "./pool-place.ts";
import { ImageRecord, PoolRecord, parseRecord, readRecord, recordText, UploadRecord, VolumeRecord } from "./records.ts";
import { removeTree } from "./remove-tree.ts";

const notOurs = { isOurs: false };
/** Whether the folder was looked at, and is another pool's or nobody's: nothing of this one is in it. */
export const isNotOurs = (error: unknown): boolean => isAppError(error) && error.context.isOurs === false;
const temporaryPrefix = ".tmp-";
const trashPrefix = ".trash-";
/** See half-done.ts. */
export const workPrefix = ".work-";
/** Fails with `timeout` when the file system that this path lies on does not answer. */
export type MayLook = (path: string) => Promise<void>;
export type PoolPart = "volumes" | "images" | "uploads";
const parts: { name: PoolPart; mode: number }[] = [
	{ name: "volumes", mode: 0o711 },
	{ name: "images", mode: 0o711 },
	{ name: "uploads", mode: 0o700 },
];
export const poolParts: readonly string[] = parts.map(({ name }) => name);

/** Whether something in one of the parts is half made, or on its way out. */
export const isWorkInProgress = (name: string): boolean =>
	[temporaryPrefix, trashPrefix, workPrefix].some((prefix) => name.startsWith(prefix));

export class PoolFolder {
	readonly root: string;
	readonly step: Step;
	/** This node, when others reach the folder too. */
	readonly sharedBy: string | null;
	readonly #random: Random;
	/** Before a file outside of the pool is looked at. */
	readonly #mayLook: MayLook;
	/** Temporary files of operations that run now: activate() leaves them alone. */
	readonly #live = new Set<string>();

	constructor(
		root: string,
		random: Random,
		step: Step = () => {},
		sharedBy: string | null = null,
		mayLook: MayLook = async () => {},
	) {
		this.root = root;
		this.#mayLook = mayLook;
		this.sharedBy = sharedBy;
		this.step = step;
		this.#random = random;
	}

	part = (name: PoolPart): string => join(this.root, name);
	marker = (): string => join(this.root, markerName);
	volume = (id: string): string => this.#entry("volumes", id, "volume");
	image = (id: string): string => this.#entry("images", id, "image");
	imageFile = (id: string, format: ImageRecord["format"]): string => join(this.image(id), `image.${format}`);
	uploadFile = (id: string): string => `${this.#entry("uploads", id, "image")}.part`;
	uploadRecord = (id: string): string => `${this.#entry("uploads", id, "image")}.json`;

	/** Another pool's folder, to be read. */
	sibling = (root: string): PoolFolder => new PoolFolder(root, this.#random, undefined, null, this.#mayLook);

	#entry(part: PoolPart, id: string, what: "volume" | "image"): string {
		requireId(id, what);
		return join(this.root, part, id);
	}

	#temporary(part: PoolPart, prefix: string): { path: string; done: () => void } {
		const name = `${this.#own(prefix)}${randomHex(this.#random, 12)}`;
		this.#live.add(name);
		return { path: join(this.root, part, name), done: () => this.#live.delete(name) };
	}

	#own = (prefix: string): string => (this.sharedBy === null ? prefix : `${prefix}${this.sharedBy}-`);

	/** Runs `work` with a temporary path; whatever is left there afterwards is removed, or, after a failure, at the next start at the latest. */
	async withTemporary<T>(part: PoolPart, work: (path: string) => Promise<T>): Promise<T> {
		const { path, done } = this.#temporary(part, temporaryPrefix);
		try {
			const result = await work(path);
			await removeTree(path);
			return result;
		} catch (error) {
			await removeTree(path).catch(() => {});
			throw error;
		} finally {
			done();
		}
	}

	writeRecord(path: string, record: VolumeRecord | ImageRecord | UploadRecord | PoolRecord): Promise<void> {
		return withFileErrors("writing a record of the pool", () => writeFileDurably(path, recordText(record), this.step));
	}

	/** With what QEMU has merged meanwhile (chain.ts). `timeout` when it has a file outside of the pool that does not answer. */
	async readVolume(id: string): Promise<VolumeRecord | null> {
		const record = await this.readVolumeRecord(id);
		return record?.merging?.live ? ((await mergedByQemu(this, record)) ?? record) : record;
	}
	/** As it is written down; `timeout` as above. */
	async readVolumeRecord(id: string): Promise<VolumeRecord | null> {
		const record = await this.volumeRecord(id);
		if (record?.adopted) await this.#mayLook(record.adopted.path);
		return record;
	}
	/** As it is written down, for who looks at none of the volume's files: where they lie may hang. */
	volumeRecord = (id: string): Promise<VolumeRecord | null> =>
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

	/**
	 * Makes the folders and the marker. `in-use` when the folder belongs to another pool, `wrong-state` when a new pool's is
	 * not empty, `invalid` for places and owners that pool-place.ts refuses. Places are judged for new pools only.
	 */
	async prepare(poolId: string, mayInitialize: boolean, places: ForbiddenPlaces): Promise<void> {
		const marker = await this.readMarker();
		this.#requireOurs(marker, poolId, mayInitialize);
		if (marker === null) await this.#makeRoot(places);
		else await requireOwnFolder(this.root, true);
		await this.#makeParts();
		if (marker === null) await this.writeRecord(this.marker(), { version: 1, poolId });
		await syncFolder(this.root);
	}

	/** The same where other nodes may be doing it too, and its server says who may write. The folder is no link: it would lead to this node. */
	async prepareShared(poolId: string, mayInitialize: boolean): Promise<void> {
		const marker = await this.readMarker();
		this.#requireOurs(marker, poolId, mayInitialize);
		if (marker === null) {
			await requireNoPoolAbove(this.root);
			await makeFolders(this.root);
		}
		if ((await realpath(this.root)) !== this.root)
			throw new AppError("invalid", `The folder ${this.root} is a link. A pool's folder must be one.`);
		if (marker === null) {
			try {
				const ours = [...parts.map(({ name }) => name), `${basename(this.marker())}.new`];
				await requireEmpty(this.root, ours, false);
				await this.#makeParts();
				await this.writeRecord(this.marker(), { version: 1, poolId });
			} catch (error) {
				// Another node has been faster.
				if ((await this.readMarker()) === null) throw error;
			}
			this.#requireOurs(await this.readMarker(), poolId, false);
		}
		await this.#makeParts();
		await syncFolder(this.root);
	}

	#requireOurs(marker: PoolRecord | null, poolId: string, mayInitialize: boolean): void {
		if (marker !== null && marker.poolId !== poolId)
			throw new AppError(
				"in-use",
				`The folder ${this.root} belongs to another storage pool (${marker.poolId}). Choose another folder; if that pool is gone for good, remove ${this.marker()} first.`,
				{ context: notOurs },
			);
		if (marker === null && !mayInitialize)
			throw new AppError("storage", `The folder ${this.root} holds no pool. Is its disk mounted?`, {
				context: notOurs,
			});
	}

	async #makeParts(): Promise<void> {
		for (const { name, mode } of parts) {
			await makeFolder(this.part(name), mode);
			if (this.sharedBy === null) await requireOwnFolder(this.part(name));
			else if (!(await lstat(this.part(name))).isDirectory())
				throw new AppError("invalid", `${this.part(name)} is no folder.`);
		}
	}

	async #makeRoot(places: ForbiddenPlaces): Promise<void> {
		const real = await requireAllowedPlace(this.root, places);
		await makeFolders(real);
		if ((await realpath(this.root)) !== real)
			throw new AppError("invalid", `The folder ${this.root} became another one meanwhile.`);
		await requireOwnFolder(this.root);
		await requireEmpty(this.root, [...parts.map(({ name }) => name), `${basename(this.marker())}.new`]);
	}

	/**
	 * Takes the pool's marks away: what was left half done, the folders that are empty, the marker, and the root when
	 * nothing is left in it. Whatever else is there stays. Nothing to do when the folder does not bear this pool's marker.
	 */
	async remove(poolId: string): Promise<void> {
		if ((await this.readMarker())?.poolId !== poolId) return;
		if (this.sharedBy === null) await requireOwnFolder(this.root, true);
		await this.#makeParts();
		await this.removeLeftovers(true);
		for (const { name } of parts) {
			await this.step("remove an empty folder of the pool");
			await removeIfEmpty(this.part(name));
		}
		// Last: while it is there, a repetition goes on.
		await this.step("remove the marker");
		await rm(this.marker(), { force: true });
		await syncFolder(this.root);
		// In a shared folder this is a place on a server, wherever it is mounted here.
		if (this.sharedBy !== null || poolPathRefusal(await realpath(this.root)) === null) await removeIfEmpty(this.root);
	}

	/** The pool has another id from now on: its node has become another one. Nothing to do when the marker is not that of `from`. */
	async handOver(from: string, to: string): Promise<void> {
		if ((await this.readMarker())?.poolId !== from) return;
		await requireOwnFolder(this.root, true);
		await this.writeRecord(this.marker(), { version: 1, poolId: to });
		await syncFolder(this.root);
	}

	/**
	 * Has the disk take a small write, once `requireOurs` has seen whose pool it is. Reading does not tell that it takes none any more: what
	 * was read before is in memory. A full one does take it, or is none that fails. By one open file: where the server is far away, each
	 * question takes its time.
	 */
	async tryWriting(nowMs: number, requireOurs: (marker: PoolRecord | null) => void): Promise<void> {
		let file: FileHandle;
		try {
			file = await open(this.marker(), "r+");
		} catch (error) {
			if (errnoOf(error) !== "ENOENT") throw error;
			return requireOurs(null);
		}
		try {
			requireOurs(parseRecord(PoolRecord, await file.readFile("utf8"), this.marker()));
			const now = new Date(nowMs);
			await file.utimes(now, now);
			await file.sync();
		} catch (error) {
			if (!["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "")) throw error;
		} finally {
			await file.close();
		}
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

	/** Removes the folder of a volume, and not the file outside of the pool that it took over. */
	forgetVolume(id: string): Promise<void> {
		// Not to the trash: what is in there takes the file along.
		return this.withTemporary("volumes", async (path) => {
			await this.step("rename the folder away");
			await rename(this.volume(id), path);
			await this.step("sync the parent of the folder");
			await syncFolder(this.part("volumes"));
		});
	}

	async #emptyTrash(path: string): Promise<void> {
		const adopted = await this.#adoptedFile(path);
		if (adopted !== null) {
			await this.step("remove a file that was taken over");
			await rm(adopted, { force: true });
		}
		await this.step("remove the folder");
		await removeTree(path);
	}

	/**
	 * The file outside of the pool that goes with a deleted volume. Null unless the record is ours alone and the file is
	 * still the one that was taken over: a path on its own proves nothing.
	 */
	async #adoptedFile(trash: string): Promise<string | null> {
		const path = join(trash, "record.json");
		try {
			await requireOwnFolder(trash);
			if (!(await isOwnFile(path))) return null;
			const { adopted } = (await readRecord(VolumeRecord, path)) ?? {};
			if (!adopted) return null;
			await this.#mayLook(adopted.path);
			if ((await realpath(adopted.path)) !== adopted.path) return null;
			const found = await lstat(adopted.path, { bigint: true });
			return found.isFile() && `${found.ino}` === adopted.inode ? adopted.path : null;
		} catch (error) {
			if (isAppError(error, "timeout")) throw error;
			if (error instanceof AppError || errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return null;
			throw error;
		}
	}

	/** Finishes deletions that were cut short. One whose file does not answer waits for the next time. */
	async removeTrash(part: PoolPart, prefix = this.#own(trashPrefix)): Promise<void> {
		for (const entry of await readdir(this.part(part)))
			if (entry.startsWith(prefix) && !this.#live.has(entry))
				await this.#emptyTrash(join(this.part(part), entry)).catch((error) => {
					if (!isAppError(error, "timeout")) throw error;
				});
	}

	/** `everybodys`: the pool is nobody's any more. */
	async removeLeftovers(everybodys = false): Promise<void> {
		const own = (prefix: string) => (everybodys ? prefix : this.#own(prefix));
		const prefixes = [own(temporaryPrefix), ...(everybodys ? [workPrefix] : [])];
		for (const { name } of parts) {
			await this.removeTrash(name, own(trashPrefix));
			for (const entry of await readdir(this.part(name)))
				if (prefixes.some((prefix) => entry.startsWith(prefix)) && !this.#live.has(entry))
					await removeTree(join(this.part(name), entry));
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

/** Leaves it when something is in it, when it is a mount point, or when it is a link. */
async function removeIfEmpty(path: string): Promise<void> {
	try {
		await rmdir(path);
	} catch (error) {
		if (!["ENOTEMPTY", "EEXIST", "EBUSY", "ENOTDIR", "ENOENT"].includes(errnoOf(error) ?? "")) throw error;
	}
}
