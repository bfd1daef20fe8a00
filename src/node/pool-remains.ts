/**
 * What this node could not take away when it deleted a pool that nodes share, `<dataDir>/pool-remains.json`: the server was away, say. The
 * marks keep the place from any other pool, and nobody else in the cluster knows of them any more, so this node goes on trying, less and less
 * often, with the credentials that the pool had, sealed as they were in the state. Folders of local pools are pool-places.ts's.
 *
 * It is written before the pool is gone from the state, and counts only in the cluster in which it was written: that a state has no such
 * pool then proves that it was deleted. A driver removes nothing that is not the pool's own by its mark: who has the place meanwhile is
 * left alone.
 */
import { type Static, Type } from "@sinclair/typebox";
import { toRfc3339 } from "../lib/clock.ts";
import { toErrorInfo } from "../lib/errors.ts";
import { poolConfigs } from "../model/pool-config.ts";
import { Id, Strict } from "../model/schema.ts";
import { type Pool, PoolType } from "../model/storage.ts";
import { isSamePlace } from "../model/storage-rules.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { markOfPool } from "../storage/pool-marks.ts";
import type { NodeContext } from "./context.ts";
import { endDriver, takeMarksAway } from "./pool-places.ts";
import { RecordFile } from "./record-file.ts";

const Remains = Strict({
	...{ nodeId: Id, clusterId: Id, name: Type.String(), type: PoolType },
	config: Type.Union(Object.values(poolConfigs)),
	sealedCredentials: Type.Optional(Type.String()),
	/** RFC 3339. */
	since: Type.String(),
	/** Why it could not be taken away then. */
	reason: Type.String(),
});
type Remains = Static<typeof Remains>;
export const remainsRecords = { name: "pool-remains", schema: Remains };

const firstWaitMs = 60_000;
const longestWaitMs = 3_600_000;
const triedForDays = 30;
const triedForMs = triedForDays * 24 * 3_600_000;

type Attempt = { dueMonotonicMs: number; waitMs: number };

export class PoolRemains {
	readonly #context: NodeContext;
	readonly #records: RecordFile<typeof Remains>;
	/** By pool, when it is tried again; since the start of the node. */
	readonly #attempts = new Map<string, Attempt>();
	readonly #drivers = new Map<string, StorageDriver>();
	/** Being tried, by pool. */
	readonly #underWay = new Map<string, { remains: Remains; done: Promise<void> }>();

	constructor(context: NodeContext) {
		this.#context = context;
		this.#records = new RecordFile(context, remainsRecords);
	}

	/** Before the pool is gone from the state. */
	async note(pool: Pool, error: unknown): Promise<void> {
		const { store, nodeId, clock } = this.#context;
		const clusterId = store.all("cluster")[0]?.id;
		if (clusterId === undefined) return;
		const { id, name, type, config } = pool;
		const sealed = store.sealedCredentials(id);
		const credentials = sealed === null ? {} : { sealedCredentials: sealed };
		const since = toRfc3339(clock.nowMs());
		const { message: reason } = toErrorInfo(error);
		await this.#records.set(id, { nodeId, clusterId, name, type, config, ...credentials, since, reason });
		this.#attempts.set(id, { dueMonotonicMs: clock.monotonicMs() + firstWaitMs, waitMs: firstWaitMs });
	}

	/** There is nothing of it any more. */
	async forget(poolId: string): Promise<void> {
		if ((await this.#records.get(poolId)) !== null) await this.#records.delete(poolId);
		this.#attempts.delete(poolId);
	}

	/** For the task that deletes the pool; null when nothing of it stays. */
	async message(poolId: string): Promise<string | null> {
		const remains = await this.#records.get(poolId);
		if (remains === null) return null;
		const said = messageOf(this.#context, poolId, remains.config, remains.reason);
		return `${said}, for ${triedForDays} days.`;
	}

	async configs(): Promise<{ id: string; config: Pool["config"] }[]> {
		return (await this.#records.entries()).map(([id, { config }]) => ({ id, config }));
	}

	/** Begins with what is due, and waits for none of it. Never fails. */
	retry(): void {
		void this.#tryAll(([id]) => this.#isDue(id) && !this.#underWay.has(id));
	}

	/** Of pools that were where this one is to be: now, whenever they are due. False when there is none. Never fails. */
	clear(wanted: Pick<Pool, "type" | "config">): Promise<boolean> {
		return this.#tryAll(([, { type, config }]) => type === wanted.type && isSamePlace(config, wanted.config));
	}

	/** The node's service ends. */
	async end(): Promise<void> {
		await Promise.all([...this.#drivers].map(([id, driver]) => endDriver(this.#context, id, driver)));
	}

	/** Each on its own, as one may hang or be overwritten for hours; those in one place one after another. False when none is wanted. Never fails. */
	async #tryAll(isWanted: (entry: [string, Remains]) => boolean): Promise<boolean> {
		const wanted = (await this.#entries()).filter(isWanted);
		await Promise.all(wanted.map(([id, remains]) => this.#underWay.get(id)?.done ?? this.#begin(id, remains)));
		return wanted.length > 0;
	}

	#begin(id: string, remains: Remains): Promise<void> {
		const { locks, stopping, logger } = this.#context;
		const before = [...this.#underWay.values()].filter((one) => isSamePlace(one.remains.config, remains.config));
		const done = Promise.all(before.map((one) => one.done))
			.then(() => locks.run(`pool:${id}`, () => this.#try(id), stopping))
			.catch((error) => {
				if (!stopping.aborted) logger.debug("what a deleted pool has left was not looked at", { poolId: id, error });
			})
			.finally(() => this.#underWay.delete(id));
		this.#underWay.set(id, { remains, done });
		return done;
	}

	async #entries(): Promise<[string, Remains][]> {
		try {
			return await this.#records.entries();
		} catch (error) {
			this.#context.logger.warn("what deleted pools have left is not known now", { error });
			return [];
		}
	}

	#isDue(poolId: string): boolean {
		const known = this.#attempts.get(poolId);
		return known === undefined || this.#context.clock.monotonicMs() >= known.dueMonotonicMs;
	}

	async #try(id: string): Promise<void> {
		const { store, nodeId, stopping, logger } = this.#context;
		// A copy of the state that is behind may not know whose it is.
		await store.readIndex();
		const remains = await this.#records.get(id);
		// While the state has the pool, its deletion is not over, and says itself what stays.
		if (remains === null || store.get("pool", id) !== null) return;
		if (remains.nodeId !== nodeId || remains.clusterId !== store.all("cluster")[0]?.id) return this.forget(id);
		try {
			await this.#takeAway(id, remains);
			logger.info("what a deleted pool had left in its place is gone", { poolId: id, name: remains.name });
			await this.forget(id);
		} catch (error) {
			if (!stopping.aborted) await this.#postpone(id, remains, error);
		}
	}

	async #takeAway(id: string, { name, type, config, sealedCredentials }: Remains): Promise<void> {
		const { storage, credentials } = this.#context;
		const opened = sealedCredentials === undefined ? null : await credentials(id, sealedCredentials);
		const pool = { id, name, type, config, credentials: opened };
		const driver = storage.open({ ...pool, wasReady: true, otherPools: () => [] });
		this.#drivers.set(id, driver);
		try {
			await takeMarksAway(this.#context, id, driver);
		} finally {
			this.#drivers.delete(id);
			await endDriver(this.#context, id, driver);
		}
	}

	async #postpone(id: string, { name, config, since }: Remains, error: unknown): Promise<void> {
		const { clock, logger } = this.#context;
		const about = { poolId: id, name, mark: markOfPool(id, config), error };
		if (clock.nowMs() - Date.parse(since) > triedForMs) {
			logger.warn("what a deleted pool has left in its place stays there: it is tried no longer", about);
			return this.forget(id);
		}
		const before = this.#attempts.get(id);
		const waitMs = before ? Math.min(longestWaitMs, before.waitMs * 2) : firstWaitMs;
		this.#attempts.set(id, { dueMonotonicMs: clock.monotonicMs() + waitMs, waitMs });
		logger.info("what a deleted pool has left in its place stays for now", about);
	}
}

/** Without the end of its last sentence. */
export function messageOf(
	{ store, nodeId }: Pick<NodeContext, "store" | "nodeId">,
	poolId: string,
	config: Pool["config"],
	reason: string,
): string {
	const name = store.get("node", nodeId)?.name ?? "The node";
	return `The pool is deleted, but its place could not be cleared: ${reason} ${markOfPool(poolId, config)} ${name} goes on trying to remove it`;
}
