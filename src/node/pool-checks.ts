/**
 * The looks at the pools of this node: one every five seconds at each of them, whatever the others do. A pool whose last look goes on (it is
 * made ready, or its server hangs) is left out; it has said so itself by then (Pools.check).
 */
import type { StorageDriver } from "../storage/driver.ts";
import type { NodeContext } from "./context.ts";
import { isHere, type Pools } from "./pools.ts";

export type Looked = {
	poolId: string;
	/** Null: it does not work. */
	driver: StorageDriver | null;
	/** It works and did not before, or not with this driver. */
	isBack: boolean;
};

export class PoolChecks {
	readonly #context: NodeContext;
	readonly #pools: Pick<Pools, "check" | "checkVolumes">;
	readonly #looked: (looked: Looked) => void;
	readonly #underWay = new Set<string>();
	/** Pools whose volumes are being looked at: that may take longer, and keeps the pool from no look. */
	readonly #volumesUnderWay = new Set<string>();
	readonly #working = new Map<string, StorageDriver>();

	/** `looked` is called after each look at a pool. */
	constructor(
		context: NodeContext,
		pools: Pick<Pools, "check" | "checkVolumes">,
		looked: (looked: Looked) => void = () => {},
	) {
		this.#context = context;
		this.#pools = pools;
		this.#looked = looked;
	}

	/** One look at each pool. Never fails. Ends when all have ended: who must not be held up by one that hangs does not wait for it. */
	async run(): Promise<void> {
		const { store, nodeId } = this.#context;
		const here = store.all("pool").filter((pool) => isHere(pool, nodeId) && pool.phase !== "deleting");
		const ids = here.map(({ id }) => id);
		for (const id of this.#working.keys()) if (!ids.includes(id)) this.#working.delete(id);
		await Promise.all(ids.map((id) => this.#look(id)));
	}

	async #look(poolId: string): Promise<void> {
		if (this.#underWay.has(poolId)) return;
		this.#underWay.add(poolId);
		let driver: StorageDriver | null = null;
		try {
			driver = await this.#pools.check(poolId);
			// Somebody else looks at it, and says so.
			if (driver === null) return;
		} catch (error) {
			this.#context.logger.debug("a pool does not work", { poolId, error });
		} finally {
			this.#underWay.delete(poolId);
		}
		const isBack = driver !== null && this.#working.get(poolId) !== driver;
		if (driver) this.#working.set(poolId, driver);
		else this.#working.delete(poolId);
		this.#looked({ poolId, driver, isBack });
		if (driver) void this.#lookAtVolumes(poolId);
	}

	async #lookAtVolumes(poolId: string): Promise<void> {
		if (this.#volumesUnderWay.has(poolId)) return;
		this.#volumesUnderWay.add(poolId);
		try {
			await this.#pools.checkVolumes(poolId);
		} catch (error) {
			this.#context.logger.debug("the volumes of a pool were not looked at", { poolId, error });
		} finally {
			this.#volumesUnderWay.delete(poolId);
		}
	}
}
