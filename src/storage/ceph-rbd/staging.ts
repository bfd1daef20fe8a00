/**
 * What is on its way into the pool, in a folder of the node (StorageContext.stagingFolder): uploads, which come in parts and
 * go on after a restart (they are those of the local pool), files that are to be imported, by name, and copies of volumes in a
 * format that only a file has.
 */
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import type { Random } from "../../lib/random.ts";
import type { LongOptions, UploadFile, UploadOptions, UploadStatus } from "../driver.ts";
import { type Step, writeFileDurably } from "../durable.ts";
import { errnoOf, withFileErrors } from "../file-errors.ts";
import { type HostFileReader, sameState } from "../host-file-reader.ts";
import { readImageBytes } from "../inspect/inspect-image.ts";
import type { LocalContext } from "../local/context.ts";
import { hashFile } from "../local/host-file-here.ts";
import { PoolFolder } from "../local/pool-folder.ts";
import { LocalUploads } from "../local/uploads.ts";
import { requireId } from "../names.ts";
import { workerCommand } from "../worker/command.ts";
import { hostFileApart } from "../worker/host-file.ts";
import { whileAnswering } from "./while-answering.ts";

/** A file of this node that was named for import. It is read when the image is finished, and must still be what it was then. */
const FileReference = Type.Object({
	path: Type.String(),
	sizeBytes: Type.Integer({ minimum: 0 }),
	inode: Type.String(),
	changedMs: Type.Number(),
	statusChangedMs: Type.Number(),
});
type FileReference = Static<typeof FileReference>;

/** A whole file, by a path for other programs: this process opens it only by what is here, for it may lie where nothing answers. */
export type Received = {
	path: string;
	sizeBytes: number;
	/** For what other programs do with `path`: fails, and does not wait for them, when the file does not answer. */
	whileAnswering<T>(work: (signal: AbortSignal | undefined) => Promise<T>): Promise<T>;
	/** Fails with `wrong-state` when somebody wrote to it meanwhile. */
	requireUnchanged(): Promise<void>;
} & Pick<HostFileReader, "sha256" | "imageBytes">;

type StagingOptions = Pick<LocalContext, "locks" | "log" | "inspectLimits" | "protectedPaths"> & {
	clock: Clock;
	root: string;
	random: Random;
	step?: Step;
};

export class Staging {
	readonly #root: string;
	readonly #folder: PoolFolder;
	readonly #uploads: LocalUploads;
	readonly #options: StagingOptions;

	constructor(options: StagingOptions) {
		this.#root = options.root;
		this.#options = options;
		this.#folder = new PoolFolder(options.root, options.random, options.step);
		// A folder of this node alone, and no pool.
		const alone = { otherPools: () => [], sharesBlocks: () => false, allocates: () => false };
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
		await using host = await this.#openHostFile(path);
		const reference = { path: host.realPath, inode: host.inode, ...(await host.stat()) };
		await this.#uploads.remove(id);
		await withFileErrors("noting the file", () =>
			writeFileDurably(this.#referencePath(id), JSON.stringify(reference satisfies FileReference)),
		);
	}

	/**
	 * Calls `work` with the whole received file while nobody writes to it; what was received goes when that is done well. A file that was
	 * named may be written to all the same, by whose it is: `work` asks about that when it has read it. `mayRefer`: then it would be too
	 * late, since programs that read the file follow what it says of other files. It is copied first.
	 */
	async withComplete<T>(
		id: string,
		options: LongOptions & { mayRefer: boolean },
		work: (received: Received) => Promise<T>,
	): Promise<T> {
		const reference = await this.#reference(id);
		if (reference !== null) {
			const result = options.mayRefer
				? await this.#withCopy(reference, options, work)
				: await this.#withReference(reference, work);
			await this.#forget(id);
			return result;
		}
		return this.#uploads.withComplete(id, async (path, sizeBytes, sha256) => {
			const result = await work({
				...ownFile(path, sizeBytes),
				async sha256(options) {
					if (sha256 !== null) return sha256;
					const file = await withFileErrors("reading the received file", () => open(path, "r"));
					return hashFile(file, sizeBytes, options).finally(() => file.close());
				},
			});
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

	async #withReference<T>(reference: FileReference, work: (received: Received) => Promise<T>): Promise<T> {
		await using host = await this.#openHostFile(reference.path);
		await requireSame(host, reference);
		// The open file, whatever gets its name meanwhile.
		const { programPath, sizeBytes, sha256, imageBytes } = host;
		return await work({
			...{ path: programPath, sizeBytes, sha256, imageBytes },
			whileAnswering: (of) => whileAnswering(this.#options.clock, () => host.stat(), of),
			requireUnchanged: () => requireSame(host, reference),
		});
	}

	/** What is inspected is then what is read. */
	async #withCopy<T>(
		reference: FileReference,
		options: LongOptions,
		work: (received: Received) => Promise<T>,
	): Promise<T> {
		return this.withTemporary(async (path) => {
			const sha256 = await this.#copy(reference, path, options);
			return work({ ...ownFile(path, reference.sizeBytes), sha256: async () => sha256 });
		});
	}

	async #copy(reference: FileReference, path: string, options: LongOptions): Promise<string> {
		await using host = await this.#openHostFile(reference.path);
		await requireSame(host, reference);
		await withFileErrors("making room for the file", async () => (await open(path, "wx", 0o600)).close());
		const sha256 = await host.copyTo(path, options);
		await requireSame(host, reference);
		return sha256;
	}

	#openHostFile(path: string): Promise<HostFileReader> {
		const { clock, log, protectedPaths } = this.#options;
		return hostFileApart({ command: workerCommand(), clock, log }, path, [...protectedPaths, this.#root]);
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

/** In the staging folder, which nobody else writes to. */
const ownFile = (path: string, sizeBytes: number) => ({
	...{ path, sizeBytes },
	whileAnswering: <T>(work: (signal: undefined) => Promise<T>) => work(undefined),
	requireUnchanged: async () => {},
	imageBytes: () => readImageBytes(path),
});

async function requireSame(host: HostFileReader, reference: FileReference): Promise<void> {
	if (host.inode !== reference.inode || !sameState(await host.stat(), reference))
		throw new AppError("wrong-state", `The file ${reference.path} was changed while it was being imported.`);
}
