/**
 * The driver of a pool on this node, for the settings that the state has of it: opened once, activated before use, exchanged when the
 * settings change and nothing uses the pool: a driver refuses to let go of it while a VM has files of it open, or it works on something itself,
 * and goes on as if it had not been asked. That a VM is about to open something, no driver knows.
 */
import { isAppError, toErrorInfo } from "../lib/errors.ts";
import type { PoolCredentials } from "../model/pool-config.ts";
import type { Pool } from "../model/storage.ts";
import type { PoolPlace, StorageDriver } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { intervals, limits, settleLimitOf } from "./limits.ts";
import { endDriver, type PoolPlaces } from "./pool-places.ts";
import { VolumeCheck } from "./volume-check.ts";
import { VolumeUsage } from "./volume-usage.ts";

export type PoolEntry = {
	driver: StorageDriver;
	volumes: VolumeCheck;
	usage: VolumeUsage;
	/** Configuration and credentials that the driver was opened with. */
	settings: string;
	/** Being made usable, or usable. Null: not tried, or failed. */
	active: Promise<void> | null;
	/** It can be used, as far as is known. */
	works: boolean;
	/** Why it does not work; null when it does, and before it was tried. `late`: that was found after a while only. */
	failure: { error: unknown; late: boolean } | null;
	/** Why the driver still has settings of before; null when it has not. */
	outdated: string | null;
	/** With what settings it was to be exchanged last, and when. */
	asked: { settings: string; atMonotonicMs: number } | null;
};

type Parts = {
	places: PoolPlaces;
	otherPools(poolId: string): PoolPlace[];
	/** Name of a VM that is about to have something of a pool open; null for none. */
	userOf(poolId: string): string | null;
};

export class PoolEntries {
	readonly #context: NodeContext;
	readonly #parts: Parts;
	readonly #entries = new Map<string, PoolEntry>();
	/** One after another for each pool. */
	readonly #opening = new Map<string, Promise<PoolEntry>>();

	constructor(context: NodeContext, parts: Parts) {
		this.#context = context;
		this.#parts = parts;
	}

	/** As it is now, be it with settings of before. */
	known = (poolId: string): PoolEntry | undefined => this.#entries.get(poolId);
	ids = (): string[] => [...this.#entries.keys()];

	/** Its driver is not used again: a call that is under way still starts no process that nobody owns. */
	async forget(poolId: string): Promise<void> {
		const entry = this.#entries.get(poolId);
		this.#entries.delete(poolId);
		if (entry) await endDriver(this.#context, poolId, entry.driver);
	}

	/** As forget, for a driver that goes on: whoever has it then ends it. */
	take(poolId: string): PoolEntry | undefined {
		const entry = this.#entries.get(poolId);
		this.#entries.delete(poolId);
		return entry;
	}

	/** With the settings of now, unless those of before are in use. Fails with what opening the driver fails with. */
	async get(pool: Pool, wasReady: boolean): Promise<PoolEntry> {
		const before = this.#opening.get(pool.id) ?? Promise.resolve();
		const mine = before.catch(() => {}).then(() => this.#current(pool, wasReady));
		this.#opening.set(pool.id, mine);
		try {
			return await mine;
		} finally {
			if (this.#opening.get(pool.id) === mine) this.#opening.delete(pool.id);
		}
	}

	async #current(pool: Pool, wasReady: boolean): Promise<PoolEntry> {
		const settings = this.#settingsOf(pool);
		const known = this.#entries.get(pool.id);
		if (known?.settings === settings) {
			Object.assign(known, { outdated: null, asked: null });
			return known;
		}
		if (known && this.#wasAsked(known, settings)) return known;
		let credentials: PoolCredentials | null;
		try {
			// Before anything is left that could not be opened again then.
			credentials = await this.#context.credentials(pool.id);
		} catch (error) {
			if (!known?.works) throw error;
			known.outdated = `The changed settings do not take effect here yet: ${toErrorInfo(error).message}`;
			return known;
		}
		if (known) {
			const refusal = await this.#letGo(pool, known);
			if (refusal !== null) {
				known.outdated = `The changed settings take effect here when nothing uses the pool: ${refusal}`;
				return known;
			}
			// Whatever becomes of the new one, this one is of no use any more.
			if (this.#entries.get(pool.id) === known) this.#entries.delete(pool.id);
			await endDriver(this.#context, pool.id, known.driver);
		}
		const otherPools = () => this.#parts.otherPools(pool.id);
		const driver = this.#context.storage.open({ ...pool, credentials, wasReady, otherPools });
		const volumes = new VolumeCheck(this.#context, pool.id, driver);
		const usage = new VolumeUsage(this.#context, pool.id, driver);
		const entry: PoolEntry = {
			...{ driver, volumes, usage, settings, active: null, works: false, failure: null },
			...{ outdated: null, asked: null },
		};
		this.#entries.set(pool.id, entry);
		return entry;
	}

	/** Just now, in vain: who uses the pool is not disturbed by every look at it. */
	#wasAsked(entry: PoolEntry, settings: string): boolean {
		const now = this.#context.clock.monotonicMs();
		const { asked } = entry;
		if (asked?.settings === settings && now - asked.atMonotonicMs < intervals.poolLetGoMs) return true;
		entry.asked = { settings, atMonotonicMs: now };
		return false;
	}

	/** What another node is called in it makes no difference here. */
	#settingsOf({ id, config }: Pool): string {
		const { store, nodeId } = this.#context;
		const own = "hostIds" in config ? { ...config, hostIds: config.hostIds[nodeId] ?? null } : config;
		return JSON.stringify([own, store.sealedCredentials(id)]);
	}

	/** Why the pool cannot be let go of; null when it was, or cannot be reached anyhow. */
	async #letGo(pool: Pool, { active, driver }: PoolEntry): Promise<string | null> {
		const works = active !== null && (await isSettledWell(active));
		// The driver knows of what QEMU has open, and not of what it is about to; whether the pool works at this moment makes no difference.
		const user = this.#parts.userOf(pool.id);
		if (user !== null) return `VM "${user}" is about to use it.`;
		try {
			await limited(this.#context, `Letting go of pool "${pool.name}"`, settleLimitOf(driver), () =>
				driver.deactivate(),
			);
			return null;
		} catch (error) {
			// Settings are also changed because those of before do not work.
			return works || isAppError(error, "in-use") ? toErrorInfo(error).message : null;
		}
	}

	/** `overwrite`: names of what may be where it is to be, and goes. */
	async activate(pool: Pool, entry: PoolEntry, overwrite: readonly string[] = []): Promise<void> {
		// What was begun without this leave fails, perhaps, for want of it.
		while (overwrite.length > 0 && entry.active !== null) if (await isSettledWell(entry.active)) return;
		entry.active ??= this.#activate(pool, entry, overwrite);
		await entry.active;
	}

	async #activate(pool: Pool, entry: PoolEntry, overwrite: readonly string[]): Promise<void> {
		const sinceMs = this.#context.clock.monotonicMs();
		try {
			await limited(this.#context, `Activating pool "${pool.name}"`, settleLimitOf(entry.driver), async () => {
				await this.#parts.places.note(pool);
				await entry.driver.activate({ overwrite });
			});
			entry.works = true;
			entry.failure = null;
		} catch (error) {
			this.failed(entry, error, this.#context.clock.monotonicMs() - sinceMs);
			throw error;
		}
	}

	/** An activation that worked once is void: it is done again. `afterMs`: how long it took until that was known. */
	failed(entry: PoolEntry, error: unknown, afterMs: number): void {
		entry.active = null;
		entry.works = false;
		entry.failure = { error, late: isAppError(error, "timeout") || afterMs >= limits.poolCheckMs };
	}

	/**
	 * Makes the pool usable, as activate does, for who cannot wait for what is known not to work: the first time it is waited for, but
	 * what does not answer is left to the looks at the pool, which try it again.
	 */
	async use(pool: Pool, entry: PoolEntry): Promise<void> {
		const { works, failure } = entry;
		if (works) return;
		if (failure === null) return this.activate(pool, entry);
		if (failure.late) throw failure.error;
		const activated = limited(this.#context, `Activating pool "${pool.name}"`, limits.poolCheckMs, () =>
			this.activate(pool, entry),
		);
		await activated.catch((error) => {
			// It goes on: what is known is why it did not work the last time.
			throw isAppError(error, "timeout") && entry.failure === failure ? failure.error : error;
		});
	}
}

const isSettledWell = (work: Promise<void>): Promise<boolean> =>
	work.then(
		() => true,
		() => false,
	);
