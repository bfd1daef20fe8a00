/**
 * What is on its way into the pool, in a folder of the node (StorageContext.stagingFolder): uploads, which come in parts and
 * go on after a restart (they are those of the local pool), files that are to be imported, by name, and copies of volumes in a
 * format that only a file has.
 */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import type { Random } from "../../lib/random.ts";
import type { UploadFile, UploadOptions, UploadStatus } from "../driver.ts";
import { writeFileDurably } from "../durable.ts";
import { errnoOf, withFileErrors } from "../file-errors.ts";
import type { LocalContext } from "../local/context.ts";
import { type HostFile, openHostFile } from "../local/host-file.ts";
import { PoolFolder } from "../local/pool-folder.ts";
import { LocalUploads } from "../local/uploads.ts";
import { requireId } from "../names.ts";

/** A file of this node that was named for import. It is read where it lies, and must still be what it was then. */
const FileReference = Type.Object({
	path: Type.String(),
	sizeBytes: Type.Integer({ minimum: 0 }),
	inode: Type.String(),
	changedMs: Type.Number(),
});
type FileReference = Static<typeof FileReference>;

type StagingOptions = Pick<LocalContext, "locks" | "log" | "inspectLimits" | "protectedPaths"> & {
	root: string;
	random: Random;
};

export class Staging {
	readonly #root: string;
	readonly #folder: PoolFolder;
	readonly #uploads: LocalUploads;
	readonly #options: StagingOptions;

	constructor(options: StagingOptions) {
		this.#root = options.root;
		this.#options = options;
		this.#folder = new PoolFolder(options.root, options.random);
		// A folder of this node alone, and no pool.
		const alone = { otherPools: () => [], sharesBlocks: () => false };
		this.#uploads = new LocalUploads({ ...options, ...alone, folder: this.#folder });
	}

	/** Makes the folders, and removes what was half done. Uploads stay. */
	async prepare(): Promise<void> {
		await withFileErrors("preparing the staging folder", async () => {
			for (const part of ["uploads", "images", "volumes", "references"])
				await mkdir(join(this.#root, part), { recursive: true, mode: 0o700 });
			await this.#folder.removeLeftovers();
			await this.#uploads.removeLeftovers();
			for (const name of await readdir(join(this.#root, "references")))
				if (!isUuid(name)) await rm(join(this.#root, "references", name), { force: true });
		});
	}

	async open(id: string, totalBytes: number | null, options?: UploadOptions): Promise<UploadFile> {
		await this.#forget(id);
		return this.#uploads.open(id, totalBytes, options);
	}

	async status(id: string): Promise<UploadStatus | null> {
		const reference = await this.#reference(id);
		if (reference === null) return this.#uploads.status(id);
		return { receivedBytes: reference.sizeBytes, totalBytes: reference.sizeBytes, validator: null };
	}

	async remove(id: string): Promise<void> {
		await this.#forget(id);
		await this.#uploads.remove(id);
	}

	/** Takes the file as what the upload of this image has received. */
	async refer(id: string, path: string): Promise<void> {
		const host = await this.#openHostFile(path);
		try {
			const { mtimeMs } = await host.file.stat();
			const reference = { path: host.realPath, sizeBytes: host.sizeBytes, inode: host.inode, changedMs: mtimeMs };
			await this.#uploads.remove(id);
			await withFileErrors("noting the file", () =>
				writeFileDurably(this.#referencePath(id), JSON.stringify(reference satisfies FileReference)),
			);
		} finally {
			await host.file.close();
		}
	}

	/** Calls `work` with the whole received file while nobody writes to it; what was received goes when that is done well. */
	async withComplete<T>(
		id: string,
		work: (path: string, sizeBytes: number, sha256: string | null) => Promise<T>,
	): Promise<T> {
		const reference = await this.#reference(id);
		if (reference !== null) {
			const result = await this.#withReference(reference, work);
			await this.#forget(id);
			return result;
		}
		return this.#uploads.withComplete(id, async (path, sizeBytes, sha256) => {
			const result = await work(path, sizeBytes, sha256);
			await this.#uploads.discard(id);
			return result;
		});
	}

	/** Takes the finished file `path`, made in `withTemporary`, as a complete upload. */
	async place(id: string, path: string, totalBytes: number): Promise<void> {
		await this.#forget(id);
		await this.#uploads.place(id, path, totalBytes);
	}

	/** A path for a file; what is left there afterwards is removed. */
	withTemporary<T>(work: (path: string) => Promise<T>): Promise<T> {
		return this.#folder.withTemporary("uploads", work);
	}

	async #withReference<T>(
		{ path, sizeBytes, inode, changedMs }: FileReference,
		work: (path: string, sizeBytes: number, sha256: null) => Promise<T>,
	): Promise<T> {
		const host = await this.#openHostFile(path);
		try {
			const requireSame = async () => {
				const { size, mtimeMs } = await host.file.stat();
				if (host.inode !== inode || size !== sizeBytes || mtimeMs !== changedMs)
					throw new AppError("wrong-state", `The file ${path} was changed while it was being imported.`);
			};
			await requireSame();
			// The open file, whatever gets its name meanwhile.
			const result = await work(`/proc/${process.pid}/fd/${host.file.fd}`, sizeBytes, null);
			await requireSame();
			return result;
		} finally {
			await host.file.close();
		}
	}

	#openHostFile(path: string): Promise<HostFile> {
		return openHostFile(path, [...this.#options.protectedPaths, this.#root]);
	}

	#referencePath(id: string): string {
		requireId(id, "image");
		return join(this.#root, "references", id);
	}

	async #reference(id: string): Promise<FileReference | null> {
		try {
			const value: unknown = JSON.parse(await readFile(this.#referencePath(id), "utf8"));
			if (Value.Check(FileReference, value)) return value;
		} catch (error) {
			if (error instanceof AppError) throw error;
			if (errnoOf(error) === "ENOENT") return null;
		}
		throw new AppError("corrupt", `What is noted of the file to import as image ${id} is damaged.`);
	}

	async #forget(id: string): Promise<void> {
		await withFileErrors("forgetting the file", () => rm(this.#referencePath(id), { force: true }));
	}
}
