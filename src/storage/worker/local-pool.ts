/**
 * The `local` pool as the daemon has it: LocalDriver (../local) in a storage worker. Its folder may lie on any mount that somebody made on
 * this node, and what it takes over anywhere, so nothing of it is touched in the daemon's own process.
 */
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { doesNotAnswer, HangingPaths } from "../../lib/hanging-paths.ts";
import type { Logger } from "../../lib/log.ts";
import type { Adoptable, FileToAdopt, PoolPlace, PoolUsage, VolumeInfo } from "../driver.ts";
import { type FileInspected, refusalOf } from "../local/adopt-volume.ts";
import { localCapabilities } from "../local/capabilities.ts";
import { poolRoot } from "../local/driver.ts";
import { requireAnswering } from "../local/held-files.ts";
import { requireId } from "../names.ts";
import type { WorkerPool } from "./child.ts";
import { workerCommand } from "./command.ts";
import { WorkerDriver } from "./driver.ts";
import { type HostFileOptions, inspectApart } from "./host-file.ts";
import { PoolWorker, type WorkerOptions } from "./worker-pool.ts";
import type { WorkerCommand, WorkerLimits } from "./worker-process.ts";

export type LocalPoolOptions = {
	poolId: string;
	/** As LocalDriver has it. */
	path: string;
	mayInitialize: boolean;
	protectedPaths: readonly string[];
	/** The other pools of this node, as they are now. */
	otherPools: () => readonly PoolPlace[];
	clock: Clock;
	log: Logger;
	limits?: Partial<WorkerLimits>;
	/** Default: this very program. */
	worker?: WorkerCommand;
};

/** Deleting a large file on a slow disk; a file system that hangs is seen by `check` long before. */
const slowDiskLimits = { changeMs: 600_000 };

export class LocalPoolDriver extends WorkerDriver {
	readonly #paths: HangingPaths;
	readonly #options: LocalPoolOptions;
	readonly #workers: WorkerOptions;
	readonly #root: string;
	/** Its folder holds a pool: found empty from now on, it is a disk that is not mounted. */
	#wasActive = false;

	constructor(options: LocalPoolOptions) {
		requireId(options.poolId, "pool");
		const root = poolRoot(options.path);
		const paths = new HangingPaths(options.clock);
		const workers: WorkerOptions = {
			command: options.worker ?? workerCommand(),
			...{ clock: options.clock, log: options.log, limits: { ...slowDiskLimits, ...options.limits } },
			pool: async (): Promise<WorkerPool> => ({
				...{ poolId: options.poolId, path: root, mayInitialize: options.mayInitialize && !this.#wasActive },
				...{ protectedPaths: [...options.protectedPaths], otherPools: await placed(paths, options.otherPools()) },
				...{ sharedBy: null, lockWaitMs: null },
			}),
		};
		super("local", { ...workers, notImported: [...options.protectedPaths, root] }, localCapabilities);
		this.#options = options;
		this.#workers = workers;
		this.#paths = paths;
		this.#root = root;
	}

	override async activate(): Promise<void> {
		const [[root], otherPools] = await Promise.all([this.#paths.realPaths([this.#root]), this.#otherPools()]);
		// Known at once, not when preparing the pool has taken too long.
		if (root === null) throw doesNotAnswer(`The folder ${this.#root}`);
		await this.ask("otherPools", [otherPools], this.worker.limits.lookMs);
		await super.activate();
		this.#wasActive = true;
	}

	override async remove(): Promise<void> {
		await super.remove();
		this.#wasActive = false;
	}

	/** In a process of its own, which ends: a pool that works is left alone, and one that is not made has none. */
	override async probe(): Promise<PoolUsage> {
		const worker = new PoolWorker(this.#workers);
		try {
			const { value } = await (await worker.get()).call("probe", [], { limitMs: worker.limits.lookMs });
			return value as PoolUsage;
		} finally {
			await worker.end("was ended");
		}
	}

	override async adoptVolume(id: string, file: FileToAdopt): Promise<VolumeInfo> {
		requireId(id, "volume");
		const [inspected] = await this.#inspect([file]);
		if (inspected instanceof AppError) throw inspected;
		return this.ask("adoptVolume", [id, inspected], this.worker.limits.changeMs);
	}

	override async adoptableFiles(files: readonly FileToAdopt[]): Promise<Adoptable[]> {
		if (files.length === 0) return [];
		const inspected = await this.#inspect(files);
		const good = inspected.filter((one) => !(one instanceof AppError));
		const answers = await this.ask<Adoptable[]>("adoptableFiles", [good], this.worker.limits.listMs);
		return inspected.flatMap((one) => (one instanceof AppError ? refusalOf(one) : answers.splice(0, 1)));
	}

	/** Told anew where the other pools are: a file that was taken over may be one of theirs, also of one that was made since. */
	override deleteVolume = async (id: string): Promise<void> => {
		await this.#tellOtherPools();
		return this.ask("deleteVolume", [id], this.worker.limits.changeMs);
	};

	/** Each as it is to be taken over, or what speaks against it. */
	async #inspect(files: readonly FileToAdopt[]): Promise<(FileInspected | AppError)[]> {
		const otherPools = await this.#tellOtherPools();
		requireAnswering(otherPools);
		const pools = [this.#root, ...otherPools.flatMap(({ path, realPath }) => [path, realPath ?? path])];
		const { command, clock, log } = this.#workers;
		const options: HostFileOptions = { command, clock, log };
		const found = await inspectApart(options, files, this.#options.protectedPaths, pools);
		return files.map(({ path, format }, index) => {
			const one = found[index];
			if (one === undefined) throw new AppError("internal", "A file was not looked at.");
			return one instanceof AppError ? one : { path, format, found: one };
		});
	}

	async #tellOtherPools(): Promise<PoolPlace[]> {
		const otherPools = await this.#otherPools();
		await this.ask("otherPools", [otherPools], this.worker.limits.lookMs);
		return otherPools;
	}

	#otherPools = (): Promise<PoolPlace[]> => placed(this.#paths, this.#options.otherPools());
}

/** With where they are: who looks at one that does not answer would hang with it. */
async function placed(paths: HangingPaths, pools: readonly PoolPlace[]): Promise<PoolPlace[]> {
	const written = pools.map(({ path }) => path);
	const real = await paths.realPaths(written);
	const last = paths.lastKnown(written);
	return pools.map((pool, index) => ({
		...pool,
		realPath: real[index] ?? null,
		...(real[index] ? {} : { lastRealPath: last[index] ?? null }),
	}));
}
