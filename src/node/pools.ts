/**
 * Storage pools on this node: one driver each, activated at start and before use, checked every ten seconds. Health is
 * written only when it changes; usage when it moved by more than 1 % of the pool, or changed at all a minute after the
 * last report.
 */

import { toRfc3339 } from "../lib/clock.ts";
import { AppError, toErrorInfo } from "../lib/errors.ts";
import type { Pool, PoolNodeStatus } from "../model/storage.ts";
import { localPath } from "../model/storage-rules.ts";
import type { PoolPlace, PoolUsage, StorageDriver } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { intervals, limits } from "./limits.ts";
import { type FormerPool, PoolPlaces, takeMarksAway } from "./pool-places.ts";
import { VolumeCheck } from "./volume-check.ts";

type Entry = {
	driver: StorageDriver;
	volumes: VolumeCheck;
	/** Settled well: the pool can be used. Null: not tried, or failed. */
	active: Promise<void> | null;
	checking: boolean;
	reportedMonotonicMs: number;
};

export class Pools {
	readonly #context: NodeContext;
	readonly #entries = new Map<string, Entry>();
	readonly #places: PoolPlaces;

	constructor(context: NodeContext) {
		this.#context = context;
		this.#places = new PoolPlaces(context);
	}

	/** It is gone from the state, and its folder here is not free yet. */
	isLeaving = (poolId: string): Promise<boolean> => this.#places.has(poolId);

	/** The driver of a pool, activated. Fails with what activating it fails with. */
	async driver(poolId: string): Promise<StorageDriver> {
		const pool = this.#context.store.get("pool", poolId);
		if (!pool) throw new AppError("not-found", "The storage pool does not exist any more.");
		const entry = this.#entry(pool);
		await this.#activate(pool, entry);
		return entry.driver;
	}

	/** One round of checks over all pools of this node; never fails. A pool that is still being checked is left out. */
	async checkAll(): Promise<void> {
		await Promise.all(
			this.#context.store
				.all("pool")
				.filter((pool) => isHere(pool, this.#context.nodeId) && pool.phase !== "deleting")
				.map((pool) =>
					this.#checkWhole(pool).catch((error) =>
						this.#context.logger.debug("a pool was not checked", { poolId: pool.id, error }),
					),
				),
		);
	}

	/** The pool, and then what the records of some of its volumes claim of it. */
	async #checkWhole(pool: Pool): Promise<void> {
		const entry = this.#entry(pool);
		if (entry.checking) return;
		await this.#check(pool);
		await entry.volumes.next();
	}

	async create(poolId: string): Promise<string | null> {
		const pool = this.#context.store.get("pool", poolId);
		if (!pool) throw new AppError("not-found", "The storage pool does not exist any more.");
		if (!isHere(pool, this.#context.nodeId)) return null;
		await this.#check(pool);
		return null;
	}

	async delete(poolId: string): Promise<string | null> {
		const pool = this.#context.store.get("pool", poolId);
		if (!pool) return null;
		const volumes = this.#context.store.count("volume", { poolId });
		const images = this.#context.store.count("image", { poolId });
		if (volumes + images > 0)
			throw new AppError("in-use", `Pool "${pool.name}" still holds ${volumes} volumes and ${images} images.`);
		if (isHere(pool, this.#context.nodeId)) await this.#leave(pool);
		this.#entries.delete(poolId);
		await this.#context.propose({ kind: "poolGone", id: poolId });
		return null;
	}

	/** Marks that cannot be taken off (the disk is gone, say) do not keep a pool from being deleted. */
	async #leave(pool: Pool): Promise<void> {
		const { logger } = this.#context;
		try {
			await takeMarksAway(this.#context, pool.id, this.#entry(pool).driver);
		} catch (error) {
			if (this.#context.stopping.aborted) throw error;
			logger.warn("the marks of a deleted pool stay where it was", { poolId: pool.id, error });
		}
	}

	/** Of pools that are gone: nothing of them stays here. Never fails. */
	async sweep(): Promise<void> {
		await this.#places.sweep((pool) => this.#formerDriver(pool));
		for (const id of this.#entries.keys()) if (this.#context.store.get("pool", id) === null) this.#entries.delete(id);
	}

	async #formerDriver(pool: FormerPool): Promise<StorageDriver> {
		const entry = this.#entries.get(pool.id);
		// It would put its marks there afterwards.
		await entry?.active?.catch(() => {});
		if (entry) return entry.driver;
		return this.#context.storage.open({ ...pool, wasReady: true, otherPools: () => this.#otherPools(pool.id) });
	}

	#entry(pool: Pool): Entry {
		let entry = this.#entries.get(pool.id);
		if (!entry) {
			if (!isHere(pool, this.#context.nodeId))
				throw new AppError("unsupported", `Storage pool "${pool.name}" is not on this node.`);
			const wasReady = this.#wasReady(pool);
			const driver = this.#context.storage.open({ ...pool, wasReady, otherPools: () => this.#otherPools(pool.id) });
			const volumes = new VolumeCheck(this.#context, pool.id, driver);
			entry = { driver, volumes, active: null, checking: false, reportedMonotonicMs: Number.NEGATIVE_INFINITY };
			this.#entries.set(pool.id, entry);
		}
		return entry;
	}

	#wasReady(pool: Pool): boolean {
		const known = pool.nodes.find((node) => node.nodeId === this.#context.nodeId);
		return known !== undefined && known.totalBytes !== null;
	}

	/** Those that are being deleted too: until they are gone, their files are theirs. */
	#otherPools(poolId: string): PoolPlace[] {
		return this.#context.store.all("pool").flatMap((pool): PoolPlace[] => {
			const path = localPath(pool);
			if (pool.id === poolId || path === undefined || !isHere(pool, this.#context.nodeId)) return [];
			return [{ poolId: pool.id, name: pool.name, path, wasReady: this.#wasReady(pool) }];
		});
	}

	async #activate(pool: Pool, entry: Entry): Promise<void> {
		entry.active ??= limited(this.#context, `Activating pool "${pool.name}"`, limits.poolActivateMs, async () => {
			await this.#places.note(pool);
			await entry.driver.activate();
		}).catch((error) => {
			entry.active = null;
			throw error;
		});
		await entry.active;
	}

	/** Fails when the pool does not work. */
	async #check(pool: Pool): Promise<void> {
		const entry = this.#entry(pool);
		entry.checking = true;
		try {
			await this.#activate(pool, entry);
			const usage = await limited(this.#context, `Checking pool "${pool.name}"`, limits.poolCheckMs, () =>
				entry.driver.check(),
			);
			await this.#report(pool.id, entry, { health: "healthy", reason: null }, usage);
		} catch (error) {
			// An activation that worked once may be void by now (a disk unmounted): do it again next time.
			entry.active = null;
			if (!this.#context.stopping.aborted)
				await this.#report(pool.id, entry, { health: "error", reason: toErrorInfo(error).message }, null);
			throw error;
		} finally {
			entry.checking = false;
		}
	}

	async #report(
		id: string,
		entry: Entry,
		health: Pick<PoolNodeStatus, "health" | "reason">,
		usage: PoolUsage | null,
	): Promise<void> {
		const { nodeId, clock, store } = this.#context;
		const pool = store.get("pool", id);
		if (!pool) return;
		const known = pool.nodes.find((node) => node.nodeId === nodeId) ?? null;
		const sinceMs = clock.monotonicMs() - entry.reportedMonotonicMs;
		if (known && !isWorthReporting(known, health, usage, sinceMs)) return;
		entry.reportedMonotonicMs = clock.monotonicMs();
		await this.#context.propose({
			kind: "poolNodeStatus",
			id,
			status: {
				nodeId,
				...health,
				totalBytes: usage?.totalBytes ?? known?.totalBytes ?? null,
				usedBytes: usage?.usedBytes ?? known?.usedBytes ?? null,
				availableBytes: usage?.availableBytes ?? known?.availableBytes ?? null,
				capabilities: entry.driver.capabilities,
				updatedAt: toRfc3339(clock.nowMs()),
			},
		});
	}
}

export const isHere = (pool: Pool, nodeId: string): boolean => pool.nodeIds.includes(nodeId);

export function isWorthReporting(
	known: PoolNodeStatus,
	health: Pick<PoolNodeStatus, "health" | "reason">,
	usage: PoolUsage | null,
	sinceMs: number,
): boolean {
	if (known.health !== health.health || known.reason !== health.reason) return true;
	if (!usage) return false;
	if (known.totalBytes !== usage.totalBytes) return true;
	const moved = Math.max(
		Math.abs((known.usedBytes ?? 0) - usage.usedBytes),
		Math.abs((known.availableBytes ?? 0) - usage.availableBytes),
	);
	return moved > usage.totalBytes / 100 || (moved > 0 && sinceMs >= intervals.poolUsageMs);
}
