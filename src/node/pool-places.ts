/**
 * Where this node has had a part of a pool, `<dataDir>/pool-places.json`, written before the pool's folder is first touched. When a
 * pool is gone from the state, or is not for this node any more, nothing else says where its marks are, which keep the folder from
 * any other pool: each node takes its own away, also one that was away then. Of a pool that nodes share, which whoever deletes it
 * clears, each lets go (unmounts, logs out): when it is gone, or, of a volume group, whose locks have to be left by all others before one can
 * take it away, as soon as another node deletes it.
 *
 * A place counts only for the node and the cluster in which it was written: that this state has no such pool then proves that it
 * was deleted. After a join or a restore it proves nothing.
 */

import { type Static, Type } from "@sinclair/typebox";
import { isAppError } from "../lib/errors.ts";
import { poolConfigs } from "../model/pool-config.ts";
import { Id, Strict } from "../model/schema.ts";
import { type Pool, PoolType } from "../model/storage.ts";
import { localPath } from "../model/storage-rules.ts";
import type { RemovalOptions, StorageDriver } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { leftOfPool } from "./left-in-pools.ts";
import { deletionIdleOf, limits, settleLimitOf } from "./limits.ts";
import { longStep } from "./long-step.ts";
import { RecordFile } from "./record-file.ts";

const Place = Strict({
	...{ nodeId: Id, clusterId: Id, name: Type.String(), type: PoolType },
	/** Of a pool of type local. */
	path: Type.Optional(Type.String()),
	/** Of any other. Not by reference: what is read again is checked against nothing but this. */
	config: Type.Optional(Type.Union(Object.values(poolConfigs))),
});
type Place = Static<typeof Place>;
export const placeRecords = { name: "pool-places", schema: Place };
/** What is needed to reach a pool that the state does not know any more. */
export type FormerPool = Pick<Pool, "id" | "name" | "type" | "config">;
type DriverOf = (pool: FormerPool) => Promise<StorageDriver>;

export class PoolPlaces {
	readonly #context: NodeContext;
	readonly #records: RecordFile<typeof Place>;
	/** Being given free, by the pool's id. */
	readonly #leaving = new Map<string, Promise<void>>();

	constructor(context: NodeContext) {
		this.#context = context;
		this.#records = new RecordFile(context, placeRecords);
	}

	/** Call before the pool is activated. */
	async note(pool: Pool): Promise<void> {
		const { id, name, type } = pool;
		const path = localPath(pool);
		const clusterId = this.#clusterId();
		if (clusterId === null) return;
		const where = path === undefined ? { config: pool.config } : { path };
		const place: Place = { nodeId: this.#context.nodeId, clusterId, name, type, ...where };
		if (JSON.stringify(await this.#records.get(id)) !== JSON.stringify(place)) await this.#records.set(id, place);
	}

	/** Its marks are still to be taken away here. */
	has = async (poolId: string): Promise<boolean> => (await this.#records.get(poolId)) !== null;

	/** Of all that have a part here. */
	async configs(): Promise<{ id: string; config: Pool["config"] }[]> {
		return [...(await this.#records.entries())].flatMap(([id, { config }]) => (config ? [{ id, config }] : []));
	}

	/**
	 * Gives free what was pools' that are gone, each on its own: one may hang, or be overwritten for hours. Resolves when all that it has
	 * begun is over. Never fails; what fails is tried again.
	 */
	async sweep(driverOf: DriverOf): Promise<void> {
		const begun: Promise<void>[] = [];
		for (const [id, place] of await this.#records.entries()) {
			if (this.#isInUse(id) || this.isBeingLeft(id)) continue;
			const leaving = this.#leave(id, place, driverOf).finally(() => this.#leaving.delete(id));
			this.#leaving.set(id, leaving);
			begun.push(leaving);
		}
		await Promise.all(begun);
	}

	isBeingLeft = (poolId: string): boolean => this.#leaving.has(poolId);

	/** What is being given free now is, or cannot be. Never fails. */
	async settled(): Promise<void> {
		await Promise.all(this.#leaving.values());
	}

	async #leave(id: string, place: Place, driverOf: DriverOf): Promise<void> {
		const { locks, logger, stopping, nodeId } = this.#context;
		try {
			if (place.nodeId === nodeId && place.clusterId === this.#clusterId())
				await locks.run(`pool:${id}`, () => this.#giveFree(id, place, driverOf), stopping);
			else await this.#records.delete(id);
		} catch (error) {
			if (!stopping.aborted) logger.warn("the marks of a deleted pool stay for now", { poolId: id, error });
		}
	}

	async #giveFree(id: string, place: Place, driverOf: DriverOf): Promise<void> {
		const { store } = this.#context;
		// A copy of the state that is behind may not know the pool yet.
		await store.readIndex();
		if (this.#isInUse(id) || !(await this.has(id))) return;
		const { name, type, path, config } = place;
		const driver = await driverOf({ id, name, type, config: config ?? { path: path ?? "" } });
		try {
			if (type === "local") await takeMarksAway(this.#context, id, driver);
			else {
				// Whoever deletes it finds nothing of this node in it, and else would leave it where it is.
				if (this.#isDeletedElsewhere(id)) await removeLeft(this.#context, id, driver);
				await letGo(this.#context, driver);
			}
		} finally {
			await endDriver(this.#context, id, driver);
		}
		await this.#records.delete(id);
	}

	#isInUse(poolId: string): boolean {
		const { store, nodeId } = this.#context;
		const isHere = store.get("pool", poolId)?.nodeIds.includes(nodeId) === true;
		return isHere && !this.#isDeletedElsewhere(poolId);
	}

	/** A volume group that another node is taking away, and waits for this one to leave. */
	#isDeletedElsewhere(poolId: string): boolean {
		const { store, nodeId } = this.#context;
		const pool = store.get("pool", poolId);
		if (pool?.type !== "iscsi-lvm" || pool.phase !== "deleting") return false;
		const [task] = store.all("task", { kind: "pool.delete", targetId: poolId, state: ["pending", "running"] });
		return task !== undefined && task.nodeId !== nodeId;
	}

	#clusterId(): string | null {
		return this.#context.store.all("cluster")[0]?.id ?? null;
	}
}

/**
 * With what no record of the state says that it is there. The pool holds nothing else: else it is not deleted. What fails is tried
 * with another driver: this one lets go in any case.
 */
export async function takeMarksAway(
	context: NodeContext,
	poolId: string,
	driver: StorageDriver,
	options: Pick<RemovalOptions, "ifIdle"> = {},
): Promise<void> {
	try {
		await removeLeft(context, poolId, driver);
		await removeMarks(context, driver, options);
	} catch (error) {
		if (isAtWork(error)) throw error;
		await letGo(context, driver).catch((cause) =>
			context.logger.debug("a pool that cannot be removed is not let go of", { poolId, error: cause }),
		);
		throw error;
	}
	await letGo(context, driver);
}

/** The driver overwrites what was deleted from the pool: it is to go on with that, and the pool to stay until then. */
export const isAtWork = (error: unknown): boolean => isAppError(error, "in-use") && error.context.isAtWork === true;

async function removeMarks(
	context: NodeContext,
	driver: StorageDriver,
	asked: Pick<RemovalOptions, "ifIdle">,
): Promise<void> {
	const settleMs = settleLimitOf(driver);
	// Where it takes long to leave, what was deleted may have to be overwritten first, which is told of.
	const idleMs = driver.settleLimitMs === undefined ? settleMs : Math.max(settleMs, limits.copyIdleMs);
	await longStep(context, "Removing the pool's marks", { idleMs }, (options) =>
		driver.remove({ ...options, ...asked }),
	);
}

async function removeLeft(context: NodeContext, poolId: string, driver: StorageDriver): Promise<void> {
	const { volumes, images } = await leftOfPool(context, poolId);
	// Files are there without that.
	if (volumes.length + images.length > 0 && driver.type !== "local")
		await limited(context, "Activating the pool", settleLimitOf(driver), () => driver.activate());
	const idleMs = deletionIdleOf(driver);
	for (const id of volumes)
		await longStep(context, "Deleting a volume", { idleMs }, (options) => driver.deleteVolume(id, options));
	for (const id of images)
		await longStep(context, "Deleting the copy of an image", { idleMs }, (options) => driver.deleteImage(id, options));
}

async function letGo(context: NodeContext, driver: StorageDriver): Promise<void> {
	await limited(context, "Deactivating the pool", settleLimitOf(driver), () => driver.deactivate());
	for (const { id } of driver.hostSecrets)
		await limited(context, "Removing the pool's key", limits.controlMs, () => context.hypervisor.removeSecret(id));
}

/** Never fails: what cannot be ended is of no use any more either. */
export async function endDriver(context: NodeContext, poolId: string, driver: StorageDriver): Promise<void> {
	try {
		await limited(context, "Ending the pool's driver", settleLimitOf(driver), async () => driver.end?.());
	} catch (error) {
		context.logger.debug("the driver of a pool was not ended", { poolId, error });
	}
}
