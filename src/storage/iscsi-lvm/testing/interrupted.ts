/** An operation is ended at each of its steps: the process that did it never goes on, and a new driver finds what it left. */
import { expect } from "bun:test";
import { diskContent, expectSame, pattern } from "../../conformance.ts";
import type { Step } from "../../durable.ts";
import { writeDisk } from "../../local/testing/local-pool.ts";
import type { IscsiLvmDriver } from "../driver.ts";

/** A pool that nobody else has, on an empty LUN. */
export type CutPool = AsyncDisposable & {
	/** Of a process of its own, as it were; not active yet. */
	driver(more?: { onStep?: Step; wipeOnDelete?: boolean }): IscsiLvmDriver;
	/** Logical volumes as LVM lists them; of ours all. */
	lvNames(): Promise<string[]>;
};

export type Work = (driver: IscsiLvmDriver) => Promise<unknown>;

const mostSteps = 80;
/** What is written at once, in bytes. */
export const block = 65_536;

/** Runs `work` on a driver that never goes on at step `at`; true when it was done before that. `whole`: it activates the pool itself. */
export async function endedAt(
	pool: CutPool,
	at: number,
	work: Work,
	{ whole = false, ...more }: { wipeOnDelete?: boolean; whole?: boolean } = {},
): Promise<boolean> {
	const ended = Promise.withResolvers<false>();
	let steps = Number.NEGATIVE_INFINITY;
	const driver = pool.driver({
		...more,
		onStep: () => {
			steps += 1;
			if (steps !== at) return;
			ended.resolve(false);
			return new Promise<void>(() => {});
		},
	});
	if (!whole) await driver.activate();
	steps = 0;
	return Promise.race([work(driver).then(() => true as const), ended.promise]);
}

export type Cut = {
	work: Work;
	/** On a new driver, each time. */
	afterwards(driver: IscsiLvmDriver): Promise<void>;
	/** It has so many steps, or more: else the list of them has a gap. */
	least: number;
};

export async function everyStep(pool: CutPool, { work, afterwards, least }: Cut): Promise<void> {
	for (let at = 1; at < mostSteps; at++) {
		const done = await endedAt(pool, at, work);
		const driver = await restarted(pool);
		await afterwards(driver);
		expect(await driver.openVolumes()).toEqual([]);
		if (!done) continue;
		expect(at - 1).toBeGreaterThanOrEqual(least);
		return;
	}
	throw new Error(`more than ${mostSteps} steps`);
}

/** As on a node that has just started, and has no VMs. */
export async function restarted(pool: CutPool, more: { wipeOnDelete?: boolean } = {}): Promise<IscsiLvmDriver> {
	const driver = pool.driver(more);
	await driver.activate();
	for (const id of await driver.openVolumes()) await driver.closeVolume(id);
	return driver;
}

export async function write(driver: IscsiLvmDriver, id: string, at: number, seed: number): Promise<void> {
	await driver.openVolume(id);
	await writeDisk(driver, id, at * block, pattern(block, seed));
	await driver.closeVolume(id);
}

/** By seed, from the beginning on; 0: nothing was written there. */
export async function holds(driver: IscsiLvmDriver, id: string, seeds: number[]): Promise<void> {
	const found = await diskContent(driver, id);
	for (const [at, seed] of seeds.entries())
		expectSame(found.subarray(at * block, (at + 1) * block), seed === 0 ? new Uint8Array(block) : pattern(block, seed));
}
