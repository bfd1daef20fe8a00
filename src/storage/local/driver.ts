/**
 * The `local` pool: a folder of this node. See pool-folder.ts for what is in it, records.ts for why formats are never
 * guessed. One instance serves one pool; `activate()` comes first. Every change is made aside and appears in one rename,
 * so an operation that is cut short leaves everything or nothing, and can be repeated. The daemon runs it in a storage worker
 * (../worker), never in its own process.
 */
import { realpath, statfs } from "node:fs/promises";
import { isAbsolute, normalize } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Random } from "../../lib/random.ts";
import { fileSource } from "../../model/disk-source.ts";
import { isInside } from "../../model/host-paths.ts";
import type { PoolCapabilities, VolumeFormat } from "../../model/storage.ts";
import type { ContentListing, ContentOptions } from "../content.ts";
import type {
	LongOptions,
	MakingOptions,
	PoolPlace,
	PoolUsage,
	StorageDriver,
	UploadOptions,
	VolumeContent,
} from "../driver.ts";
import type { Step } from "../durable.ts";
import { withFileErrors } from "../file-errors.ts";
import { importHostFile } from "../import-host-file.ts";
import { type InspectLimits, inspectLimits } from "../inspect/inspect-image.ts";
import { requireId } from "../names.ts";
import { OperationLocks } from "../operation-locks.ts";
import { adoptableFiles, adoptVolume, type FileInspected, releaseVolume } from "./adopt-volume.ts";
import { whyOnlyThin } from "./allocation.ts";
import { AnsweringFiles } from "./answering-files.ts";
import { localCapabilities, noReflink, sharedCapabilities, withoutThick } from "./capabilities.ts";
import { checkVolume } from "./check-volume.ts";
import { listContent } from "./content.ts";
import type { LocalContext } from "./context.ts";
import { canShareBlocks } from "./copy-whole.ts";
import { exportVolume } from "./export-volume.ts";
import { flattenVolume } from "./flatten.ts";
import { tidyVolumes } from "./half-done.ts";
import { hostFileHere } from "./host-file-here.ts";
import { LocalImages } from "./images.ts";
import { PoolFolder } from "./pool-folder.ts";
import { isUnseen, realPlace } from "./pool-place.ts";
import { probeFolder } from "./probe-folder.ts";
import type { PoolRecord } from "./records.ts";
import { LocalSnapshots } from "./snapshots.ts";
import { readVolume, receiveVolume } from "./transfer.ts";
import { LocalUploads } from "./uploads.ts";
import { LocalVolumes } from "./volumes.ts";

export type LocalDriverOptions = {
	poolId: string;
	/** Absolute; made when missing. A new pool's must be empty and where pool-place.ts allows one. */
	path: string;
	random: Random;
	clock: Clock;
	log: Logger;
	/** Folders of the daemon (its data, its keys): nothing below is imported or taken over. The pool itself always is one. */
	protectedPaths: readonly string[];
	/** The other pools of this node, as they are now (default none). */
	otherPools?: () => readonly PoolPlace[];
	/** False once the pool has been ready: then an empty folder is a disk that is not mounted, not a new pool. Default true. */
	mayInitialize?: boolean;
	/**
	 * For a folder that several nodes reach, the id of this one: what it has half done bears it, and it tidies up nothing else. Who
	 * may write to such a folder is up to its server; owners and modes say little there.
	 */
	sharedBy?: string;
	inspectLimits?: Partial<InspectLimits>;
	/** How long one operation waits for another on the same object (default 10 s). */
	lockWaitMs?: number;
	/** Called before each change on the disk; for tests that end the process there. */
	onStep?: Step;
};

/** Health is asked for every few seconds, and an answer must come before the next question. */
const lookLimitMs = 4500;

export class LocalDriver implements StorageDriver {
	readonly type = "local";
	readonly hostSecrets = [];
	readonly snapshots: LocalSnapshots;
	readonly #options: LocalDriverOptions;
	readonly #context: LocalContext;
	readonly #volumes: LocalVolumes;
	readonly #uploads: LocalUploads;
	readonly #images: LocalImages;
	#tidied = false;
	/** Its folder holds a pool: found empty from now on, it is a disk that is not mounted. */
	#prepared = false;
	/** Null until the pool's folder has been tried, both; a full one is tried again. */
	#sharesBlocks: boolean | null = null;
	#thin: { why: string | null } | null = null;
	/** One at a time: on a disk that hangs, each would hold a thread of this process. */
	#looking: Promise<PoolUsage> | null = null;

	constructor(options: LocalDriverOptions) {
		requireId(options.poolId, "pool");
		this.#options = options;
		this.#context = {
			folder: new PoolFolder(
				...([poolRoot(options.path), options.random, options.onStep, options.sharedBy ?? null] as const),
				new AnsweringFiles(options.clock).require,
			),
			locks: new OperationLocks(options.lockWaitMs, options.clock),
			log: options.log.with({ poolId: options.poolId }),
			inspectLimits: { ...inspectLimits, ...options.inspectLimits },
			protectedPaths: [...options.protectedPaths],
			otherPools: options.otherPools ?? (() => []),
			sharesBlocks: () => this.#sharesBlocks ?? false,
			allocates: () => (this.#thin?.why ?? null) === null,
			whyThin: () => this.#thin?.why ?? null,
		};
		this.snapshots = new LocalSnapshots(this.#context);
		this.#volumes = new LocalVolumes(this.#context);
		this.#uploads = new LocalUploads(this.#context);
		this.#images = new LocalImages(this.#context, this.#uploads, this.#volumes);
	}

	get capabilities(): PoolCapabilities {
		const all = this.#options.sharedBy === undefined ? localCapabilities : sharedCapabilities;
		const why = this.#thin?.why ?? null;
		const capabilities = why === null ? all : withoutThick(all, why);
		if (this.#sharesBlocks !== false) return capabilities;
		return { ...capabilities, reasons: { ...capabilities.reasons, ...noReflink } };
	}

	async activate(): Promise<void> {
		const { folder, otherPools, protectedPaths, log } = this.#context;
		const { poolId } = this.#options;
		const mayInitialize = (this.#options.mayInitialize ?? true) && !this.#prepared;
		await withFileErrors("preparing the pool's folder", async () => {
			const places = { protectedPaths, otherPools: otherPools() };
			await (folder.sharedBy === null
				? folder.prepare(poolId, mayInitialize, places)
				: folder.prepareShared(poolId, mayInitialize));
			this.#prepared = true;
			this.#sharesBlocks ??= await folder.withTemporary("uploads", canShareBlocks);
			this.#thin ??= { why: await folder.withTemporary("uploads", whyOnlyThin) };
			if (this.#tidied) return;
			const guest = await this.#poolInside();
			// Links may have been changed since the pools were made.
			if (guest !== null) return log.warn("Another pool is inside this one: nothing is tidied up", { other: guest });
			const unseen = otherPools().find(isUnseen);
			if (unseen)
				log.warn("Another pool does not answer: what may be leftovers stays until this one starts again", {
					other: unseen.name,
				});
			else {
				await folder.removeLeftovers();
				await this.#uploads.removeLeftovers();
			}
			await tidyVolumes(this.#context);
		});
		this.#tidied = true;
	}

	async #poolInside(): Promise<string | null> {
		const root = await realpath(this.#context.folder.root);
		for (const place of this.#context.otherPools()) if (isInside(await realPlace(place), root)) return place.name;
		return null;
	}

	/** Nothing is to be let go of. */
	async deactivate(): Promise<void> {
		using free = this.#context.locks.close([]);
		if (free === null) throw new AppError("in-use", "Something is being done in the pool on this node.");
	}

	async remove(): Promise<void> {
		const { folder } = this.#context;
		await withFileErrors("removing the pool's marks", () => folder.remove(this.#options.poolId));
		this.#prepared = false;
	}

	async check(): Promise<PoolUsage> {
		// A look that has not come back: whoever asks has a limit, and ends this process when that is over.
		const isOld = this.#looking !== null;
		this.#looking ??= this.#look().finally(() => {
			this.#looking = null;
		});
		this.#looking.catch(() => {});
		const late = Promise.withResolvers<never>();
		const timer = this.#options.clock.schedule(lookLimitMs, () => {
			if (isOld) return;
			const message = "The pool's disk does not answer: a small write to it has not ended.";
			late.reject(new AppError("timeout", message, { context: { health: "error" } }));
		});
		try {
			return await Promise.race([this.#looking, late.promise]);
		} finally {
			timer.cancel();
		}
	}

	async #look(): Promise<PoolUsage> {
		const { folder } = this.#context;
		const measuring = withFileErrors("measuring the pool", () => statfs(folder.root));
		// Whose pool it is, and whether it takes anything, is what is told first.
		measuring.catch(() => {});
		const now = this.#options.clock.nowMs();
		await withFileErrors("writing to the pool", () => folder.tryWriting(now, this.#requireMarker));
		const space = await measuring;
		return {
			totalBytes: space.blocks * space.bsize,
			usedBytes: (space.blocks - space.bfree) * space.bsize,
			availableBytes: space.bavail * space.bsize,
		};
	}

	async #requireOurs(): Promise<void> {
		this.#requireMarker(await this.#context.folder.readMarker());
	}

	#requireMarker = (marker: PoolRecord | null): void => {
		const { folder } = this.#context;
		if (marker === null) throw new AppError("storage", `The folder ${folder.root} holds no pool. Is its disk mounted?`);
		if (marker.poolId !== this.#options.poolId)
			throw new AppError("storage", `The folder ${folder.root} belongs to another storage pool (${marker.poolId}).`);
	};

	async listContent(folder: string, options?: ContentOptions): Promise<ContentListing> {
		await this.#requireOurs();
		return listContent(this.#context, this.#options.poolId, folder, options);
	}

	async probe(): Promise<PoolUsage> {
		const { folder, otherPools, protectedPaths } = this.#context;
		return withFileErrors("trying the pool's folder", () =>
			probeFolder(
				folder.root,
				this.#options.poolId,
				folder.sharedBy === null ? { protectedPaths, otherPools: otherPools() } : null,
			),
		);
	}

	async openVolume(id: string): Promise<void> {
		requireId(id, "volume");
	}
	async closeVolume(id: string): Promise<void> {
		requireId(id, "volume");
	}
	openVolumes = async (): Promise<string[]> => [];

	createVolume: StorageDriver["createVolume"] = (id, options) => this.#volumes.create(id, options);
	deleteVolume = (id: string) => this.#volumes.delete(id);
	resizeVolume = (id: string, sizeBytes: number, options: LongOptions = {}) =>
		this.#volumes.resize(id, sizeBytes, options);
	fillVolume = (id: string, options: LongOptions) => this.#volumes.fill(id, options);
	flattenVolume = (id: string, options: LongOptions) => flattenVolume(this.#context, id, options);
	getVolume = (id: string) => this.#volumes.get(id);
	listVolumes = () => this.#volumes.list();
	attachInfo = (id: string) => this.#volumes.attachInfo(id);
	exportVolume = (id: string, format: VolumeFormat, options: LongOptions) =>
		exportVolume(this.#context, id, format, options);
	readVolume = (id: string, options: LongOptions) => readVolume(this.#context, id, options);
	receiveVolume = (id: string, content: VolumeContent, options: MakingOptions) =>
		receiveVolume(this.#context, id, content, options);
	checkVolume: StorageDriver["checkVolume"] = (id, options) => checkVolume(this.#context, id, options);
	damagedVolumes = (ids: readonly string[]) => this.#volumes.damaged(ids);
	adoptVolume = (id: string, options: FileInspected) => adoptVolume(this.#context, id, options);
	adoptableFiles = (files: readonly FileInspected[]) => adoptableFiles(this.#context, files);
	releaseVolume = (id: string) => releaseVolume(this.#context, id);

	openUpload = (id: string, totalBytes: number | null, options?: UploadOptions) =>
		this.#uploads.open(id, totalBytes, options);
	getUpload = (id: string) => this.#uploads.status(id);
	finishImage: StorageDriver["finishImage"] = (id, options) => this.#images.finish(id, options);
	importFile = (id: string, path: string, options: LongOptions) =>
		importHostFile(
			this,
			() => hostFileHere(path, [...this.#context.protectedPaths, this.#context.folder.root]),
			...([id, path, options] as const),
		);
	imageFromVolume: StorageDriver["imageFromVolume"] = (id, volumeId, options) =>
		this.#images.fromVolume(id, volumeId, options);
	getImage = (id: string) => this.#images.get(id);
	imageSource = async (id: string) => fileSource(await this.#images.path(id));
	listImages = () => this.#context.folder.ids("images");
	deleteImage = (id: string) => this.#images.delete(id);
	openImage = (id: string) => this.#images.open(id);
}

/** Where the pool is; `invalid` when that can be no folder. */
export function poolRoot(path: string): string {
	const root = normalize(path).replace(/\/+$/, "");
	const unfit = !isAbsolute(path) || root === "" || /[\u0000-\u001f]/.test(path);
	if (unfit || ["/proc", "/sys", "/dev"].some((kernel) => isInside(root, kernel)))
		throw new AppError("invalid", `The folder ${path} cannot hold a storage pool.`);
	return root;
}
