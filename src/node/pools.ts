/**
 * Storage pools on this node: one driver each, activated at start and before use, checked every five seconds. Health is
 * written only when it changes; usage when it moved by more than 1 % of the pool, or changed at all a minute after the
 * last report.
 */

import { toRfc3339 } from "../lib/clock.ts";
import { AppError, isAppError, toErrorInfo } from "../lib/errors.ts";
import type { PoolCredentials } from "../model/pool-config.ts";
import type { Pool, PoolCapabilities, PoolNodeStatus } from "../model/storage.ts";
import { isShared, localPath } from "../model/storage-rules.ts";
import type { PoolPlace, PoolUsage, StorageDriver } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { keptCredentials } from "./kept-credentials.ts";
import { intervals, limits } from "./limits.ts";
import { PoolEntries, type PoolEntry } from "./pool-entry.ts";
import { type FormerPool, isAtWork, PoolPlaces, takeMarksAway } from "./pool-places.ts";
import { messageOf, PoolRemains } from "./pool-remains.ts";

export type PoolToProbe = FormerPool & { credentials: PoolCredentials | null; overwrite?: readonly string[] };

export class Pools {
	readonly #context: NodeContext;
	readonly #places: PoolPlaces;
	readonly #remains: PoolRemains;
	readonly #entries: PoolEntries;
	readonly #checking = new Set<string>();
	/** Looked at, or used, since this process began. */
	readonly #tried = new Set<string>();
	/** When the health of a pool was last reported, by its id. */
	readonly #reportedMonotonicMs = new Map<string, number>();

	/** `userOf`: name of a VM that is about to have something of a pool open; null for none. */
	constructor(context: NodeContext, userOf: (poolId: string) => string | null) {
		this.#context = context;
		this.#places = new PoolPlaces(context);
		this.#remains = new PoolRemains(context);
		const otherPools = (poolId: string) => this.#otherPools(poolId);
		this.#entries = new PoolEntries(context, { places: this.#places, otherPools, userOf });
	}

	/** It is gone from the state, and its folder here is not free yet. */
	isLeaving = (poolId: string): Promise<boolean> => this.#places.has(poolId);

	/** It is on its way out of the state, or is gone from it. */
	isDeleted(poolId: string): boolean {
		const pool = this.#context.store.get("pool", poolId);
		return pool === null || pool.phase === "deleting";
	}

	/** The driver of a pool, activated. Fails with what activating it fails with, and at once while it is known not to answer. */
	async driver(poolId: string): Promise<StorageDriver> {
		const pool = this.#context.store.get("pool", poolId);
		if (!pool) throw new AppError("not-found", "The storage pool does not exist any more.");
		const known = this.#entries.known(poolId)?.failure;
		if (known?.late) throw known.error;
		const entry = await this.#entry(pool);
		await this.#entries.use(pool, entry);
		return entry.driver;
	}

	works = (poolId: string): boolean => this.#entries.known(poolId)?.works === true;

	/** It is being made usable for the first time since this process began, so nobody knows whether it works. */
	isAwaited(poolId: string): boolean {
		const pool = this.#context.store.get("pool", poolId);
		if (!pool || pool.phase === "deleting" || !isHere(pool, this.#context.nodeId)) return false;
		return !this.#tried.has(poolId) && !this.works(poolId);
	}

	/** Of one that may not be there yet. Its driver is nobody else's. */
	async probe(pool: PoolToProbe): Promise<PoolUsage> {
		return limited(this.#context, "Trying the storage pool", limits.poolProbeMs, async () => {
			try {
				return await this.#probe(pool);
			} catch (error) {
				// By a pool that is gone from the state, perhaps, and has not left its place yet.
				const isInUse = isAppError(error, "in-use");
				if (!isInUse && !(isAppError(error) && error.context.found !== undefined)) throw error;
				if (isInUse) {
					await this.#context.store.readIndex();
					await this.#untilLeft();
				}
				if (!(await this.#remains.clear(pool)) && !isInUse) throw error;
				return this.#probe(pool);
			}
		});
	}

	/** Others may take hours to be left: that is not waited for. */
	async #untilLeft(): Promise<void> {
		const { stopping } = this.#context;
		await limited(this.#context, "Letting go of deleted pools", limits.poolLeaveMs, async () => {
			await this.sweep();
			await this.#places.settled();
		}).catch(() => stopping.throwIfAborted());
	}

	async #probe({ overwrite = [], ...pool }: PoolToProbe): Promise<PoolUsage> {
		const known = this.#context.store.get("pool", pool.id);
		const credentials = pool.credentials ?? (known ? await keptCredentials(this.#context, known, pool.config) : null);
		const wasReady = known !== null && this.#wasReady(known);
		const otherPools = () => this.#otherPools(pool.id);
		return this.#context.storage.open({ ...pool, credentials, wasReady, otherPools }).probe({ overwrite });
	}

	/** The drivers of pools that work on this node now. */
	activeDrivers(): { poolId: string; driver: StorageDriver }[] {
		return this.#entries.ids().flatMap((poolId) => {
			const entry = this.#entries.known(poolId);
			return entry?.works ? [{ poolId, driver: entry.driver }] : [];
		});
	}

	/** After all that uses them. Never fails, and waits only a moment for what hangs: it ends with the process. */
	async end(): Promise<void> {
		const drivers = this.#entries.ids().flatMap((id) => this.#entries.known(id)?.driver ?? []);
		const all = () => Promise.all([...drivers.map((driver) => driver.end?.().catch(() => {})), this.#remains.end()]);
		const { logger } = this.#context;
		await limited(this.#context, "Ending the drivers of the storage pools", limits.endPoolsMs, all).catch((error) =>
			logger.warn("the node ends although drivers of storage pools do not", { error }),
		);
	}

	/** One look at a pool of this node, and a report of it. Null when it is being looked at, or is gone. Fails when it does not work. */
	async check(poolId: string): Promise<StorageDriver | null> {
		const pool = this.#context.store.get("pool", poolId);
		if (!pool || this.#checking.has(poolId)) return null;
		return this.#check(pool);
	}

	/** What the records of some of its volumes claim of it, after a look at the pool, and what those take up that VMs write to. */
	async checkVolumes(poolId: string): Promise<void> {
		const entry = this.#entries.known(poolId);
		await entry?.volumes.next();
		await entry?.usage.next();
	}

	/** `overwrite`: names of what may be where it is to be, and goes. */
	async create(poolId: string, overwrite: readonly string[] = []): Promise<string | null> {
		const pool = this.#context.store.get("pool", poolId);
		if (!pool) throw new AppError("not-found", "The storage pool does not exist any more.");
		if (!isHere(pool, this.#context.nodeId)) return null;
		// Of a pool that was there, perhaps: two that clear the place at once would be in each other's way.
		if (overwrite.length > 0) await this.#remains.clear(pool);
		await this.#check(pool, overwrite);
		return null;
	}

	/** Resolves with what of it stays, for people. */
	async delete(poolId: string): Promise<string | null> {
		const pool = this.#context.store.get("pool", poolId);
		if (!pool) return this.#remains.message(poolId);
		const volumes = this.#context.store.count("volume", { poolId });
		const images = this.#context.store.count("image", { poolId });
		if (volumes + images > 0)
			throw new AppError("in-use", `Pool "${pool.name}" still holds ${volumes} volumes and ${images} images.`);
		const left = isHere(pool, this.#context.nodeId) ? await this.#leave(pool) : null;
		await this.#entries.forget(poolId);
		await this.#context.propose({ kind: "poolGone", id: poolId });
		return left;
	}

	/** Marks that cannot be taken off (the disk is gone, say) do not keep a pool from being deleted. Resolves with what is said of them. */
	async #leave(pool: Pool): Promise<string | null> {
		const { logger } = this.#context;
		try {
			const entry = await this.#entry(pool);
			// It would put its marks there afterwards.
			await entry.active?.catch(() => {});
			await takeMarksAway(this.#context, pool.id, entry.driver, { ifIdle: true });
			await this.#remains.forget(pool.id);
			return null;
		} catch (error) {
			if (this.#context.stopping.aborted || isAtWork(error)) throw error;
			logger.warn("the marks of a deleted pool stay where it was", { poolId: pool.id, error });
			// The folder of a local one is left by each node in its own time.
			if (!isShared(pool)) return `${messageOf(this.#context, pool.id, pool.config, toErrorInfo(error).message)}.`;
			await this.#remains.note(pool, error);
			return this.#remains.message(pool.id);
		}
	}

	/** Of pools that are gone, or not for this node any more: nothing of them stays here. Each goes on its own. Never fails. */
	async sweep(): Promise<void> {
		this.#remains.retry();
		await this.#places.sweep((pool) => this.#formerDriver(pool));
		const { store, nodeId } = this.#context;
		const isGone = (id: string) => store.get("pool", id)?.nodeIds.includes(nodeId) !== true;
		const gone = this.#entries.ids().filter((id) => isGone(id) && !this.#places.isBeingLeft(id));
		await Promise.all(gone.map((id) => this.#entries.forget(id)));
	}

	/** Once, at the start: what tries of pools have left on this host. Never fails. */
	async tidy(): Promise<void> {
		const { storage, logger, store, nodeId } = this.#context;
		const tidy = storage.tidy;
		if (!tidy) return;
		try {
			const here = store.all("pool").filter((pool) => isHere(pool, nodeId));
			// Those that are gone from the state, and have not left this host yet, leave by themselves.
			const pools = [...here, ...(await this.#places.configs()), ...(await this.#remains.configs())];
			await limited(this.#context, "Tidying up after tries of storage pools", limits.poolProbeMs, () => tidy(pools));
		} catch (error) {
			logger.warn("what tries of storage pools have left was not tidied up", { error });
		}
	}

	async #formerDriver(pool: FormerPool): Promise<StorageDriver> {
		// Used again, the pool is opened anew.
		const entry = this.#entries.take(pool.id);
		// It would put its marks there afterwards.
		await entry?.active?.catch(() => {});
		if (entry) return entry.driver;
		const otherPools = () => this.#otherPools(pool.id);
		return this.#context.storage.open({ ...pool, credentials: null, wasReady: true, otherPools });
	}

	async #entry(pool: Pool): Promise<PoolEntry> {
		if (!isHere(pool, this.#context.nodeId))
			throw new AppError("unsupported", `Storage pool "${pool.name}" is not on this node.`);
		return this.#entries.get(pool, this.#wasReady(pool));
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

	/** Fails when the pool does not work. */
	async #check(pool: Pool, overwrite: readonly string[] = []): Promise<StorageDriver> {
		const { id } = pool;
		this.#checking.add(id);
		try {
			const { entry, usage } = await this.#look(pool, overwrite).catch(async (error: unknown) => {
				const [health, reason] = [healthOf(error), toErrorInfo(error).message];
				const driver = this.#entries.known(id)?.driver ?? null;
				if (!this.#context.stopping.aborted) await this.#report(id, driver, { health, reason }, null);
				throw error;
			});
			const reason = entry.outdated ?? usage.warning ?? null;
			const health = reason === null ? ("healthy" as const) : ("degraded" as const);
			await this.#report(id, entry.driver, { health, reason }, usage);
			return entry.driver;
		} finally {
			this.#tried.add(id);
			this.#checking.delete(id);
		}
	}

	async #look(pool: Pool, overwrite: readonly string[]): Promise<{ entry: PoolEntry; usage: PoolUsage }> {
		const { clock } = this.#context;
		const reports: Promise<void>[] = [];
		const timer = clock.schedule(limits.poolCheckMs, () => reports.push(this.#reportLate(pool.id).catch(() => {})));
		let entry: PoolEntry | null = null;
		let sinceMs = clock.monotonicMs();
		try {
			const used = await this.#entry(pool);
			entry = used;
			await this.#entries.activate(pool, used, overwrite);
			timer.cancel();
			sinceMs = clock.monotonicMs();
			const usage = await limited(this.#context, "A look at the storage of the pool", limits.poolCheckMs, () =>
				used.driver.check(),
			);
			return { entry: used, usage };
		} catch (error) {
			// An activation that worked once may be void by now (a disk unmounted): do it again next time.
			if (entry) this.#entries.failed(entry, error, clock.monotonicMs() - sinceMs);
			throw error;
		} finally {
			timer.cancel();
			// It must not come after what is reported next.
			await Promise.all(reports);
		}
	}

	/** It may take minutes until making it ready fails: until then nothing else says that the pool does not work. */
	async #reportLate(id: string): Promise<void> {
		const entry = this.#entries.known(id);
		// What was wrong with it was said, and says more. Of a new one nobody thinks that it works.
		const { store, nodeId } = this.#context;
		if (entry?.failure || !store.get("pool", id)?.nodes.some((part) => part.nodeId === nodeId)) return;
		const seconds = limits.poolCheckMs / 1000;
		const reason = `It is being made ready on this node, which takes more than ${seconds} s: its storage does not answer yet, or is slow.`;
		await this.#report(id, entry?.driver ?? null, { health: "error", reason }, null);
	}

	/** Without what older members of the cluster do not know. */
	#told(capabilities: PoolCapabilities | null): PoolCapabilities | null {
		if (capabilities === null || this.#context.everybodyHas("thick-1")) return capabilities;
		const { provisioning: _new, ...rest } = capabilities;
		return rest;
	}

	async #report(
		id: string,
		driver: StorageDriver | null,
		health: Pick<PoolNodeStatus, "health" | "reason">,
		usage: PoolUsage | null,
	): Promise<void> {
		const { nodeId, clock, store } = this.#context;
		const pool = store.get("pool", id);
		if (!pool) return;
		const known = pool.nodes.find((node) => node.nodeId === nodeId) ?? null;
		const sinceMs = clock.monotonicMs() - (this.#reportedMonotonicMs.get(id) ?? Number.NEGATIVE_INFINITY);
		const capabilities = this.#told(driver?.capabilities ?? known?.capabilities ?? null);
		const isSame = known && JSON.stringify(known.capabilities) === JSON.stringify(capabilities);
		if (isSame && !isWorthReporting(known, health, usage, sinceMs)) return;
		this.#reportedMonotonicMs.set(id, clock.monotonicMs());
		await this.#context.propose({
			kind: "poolNodeStatus",
			id,
			status: {
				nodeId,
				...health,
				totalBytes: usage?.totalBytes ?? known?.totalBytes ?? null,
				usedBytes: usage?.usedBytes ?? known?.usedBytes ?? null,
				availableBytes: usage?.availableBytes ?? known?.availableBytes ?? null,
				capabilities,
				updatedAt: toRfc3339(clock.nowMs()),
			},
		});
	}
}

/** A pool that is not there at all is told from one that does not work. */
const healthOf = (error: unknown): PoolNodeStatus["health"] =>
	isAppError(error) && error.context.health === "unmounted" ? "unmounted" : "error";

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
