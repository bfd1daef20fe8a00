/** Whether the pool can be used, how full it is, and a small trial of writing. */
import { type Clock, delay } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { CephRbdPoolConfig } from "../../model/pool-config.ts";
import type { PoolUsage } from "../driver.ts";
import { DfAnswer, PoolsAnswer, readAnswer } from "./answers.ts";
import { errno, errnoOfCeph } from "./ceph-error.ts";
import { temporaryPrefix } from "./names.ts";
import { placeText, requireFree, requireOwner } from "./pool-marker.ts";
import type { RbdImages } from "./rbd-images.ts";
import type { Asking, CephRunner } from "./runner.ts";

/** A pool that was just made is in no count: the manager counts what the OSDs have told it, every five seconds. */
const uncountedLimitMs = 12_000;
const countEveryMs = 500;

/**
 * A cluster that hangs lets everybody wait. Less than what the node waits for a check (limits.poolCheckMs), so that it hears who does not
 * answer, and that the programs of one check have ended before the next begins. That counts from the start of the programs, which wait for no others.
 */
const checkLimitMs = 4000;

/** The monitors are asked for figures, an OSD for the mark of the pool: either may hang without the other. */
export async function checkPool(runner: CephRunner, poolId: string, dataPool: string | null): Promise<PoolUsage> {
	const limit = { timeoutMs: checkLimitMs, apart: true };
	const [usage, owner] = await Promise.allSettled([
		measurePool(runner, dataPool, limit),
		found(runner, () => requireOwner(runner, poolId, limit)),
	]);
	// What one of them was told says more than that the other heard nothing.
	if (owner.status === "rejected" && !isAppError(owner.reason, "timeout")) throw owner.reason;
	if (usage.status === "rejected") throw usage.reason;
	if (owner.status === "fulfilled") return usage.value;
	throw new AppError("timeout", "The monitors of the Ceph cluster answer, but its OSDs did not answer in time.", {
		cause: owner.reason,
	});
}

/** Of the pool that keeps the data, all its namespaces together: what is stored, and what fits in before it is full or has its quota. */
async function measurePool(runner: CephRunner, dataPool: string | null, limit: Asking = {}): Promise<PoolUsage> {
	const name = dataPool ?? runner.place.cephPool;
	const usage = await countedUsage(runner, name, limit);
	if (usage) return usage;
	throw new AppError(
		"unavailable",
		`The Ceph cluster does not say yet how full the pool "${name}" is. It does so some seconds after a pool was made.`,
	);
}

/** Null as long as the cluster has not counted it. */
async function countedUsage(runner: CephRunner, name: string, limit: Asking = {}): Promise<PoolUsage | null> {
	const { pools } = readAnswer(DfAnswer, await runner.ceph(["df", "detail", "--format", "json"], limit), "ceph df");
	const found = pools.find((pool) => pool.name === name);
	if (!found) {
		await requirePool(runner, name, limit);
		return null;
	}
	const { stored, max_avail, quota_bytes } = found.stats;
	const availableBytes = quota_bytes ? Math.min(max_avail, Math.max(0, quota_bytes - stored)) : max_avail;
	runner.maybeFull = availableBytes === 0;
	return { totalBytes: stored + availableBytes, usedBytes: stored, availableBytes };
}

async function requirePool(runner: CephRunner, name: string, limit: Asking): Promise<void> {
	const text = await runner.ceph(["osd", "pool", "ls", "detail", "--format", "json"], limit);
	if (readAnswer(PoolsAnswer, text, "ceph osd pool ls").some(({ pool_name }) => pool_name === name)) return;
	throw new AppError("storage", `There is no pool "${name}" in the Ceph cluster.`, {
		context: { health: "unmounted" },
	});
}

async function untilCounted(runner: CephRunner, name: string, clock: Clock): Promise<void> {
	const untilMs = clock.monotonicMs() + uncountedLimitMs;
	while (clock.monotonicMs() < untilMs && (await countedUsage(runner, name)) === null) await delay(clock, countEveryMs);
}

type ProbeOptions = { poolId: string; nodeId: string; config: CephRbdPoolConfig; clock: Clock };

/** Reaches the cluster, makes and removes an image (which needs all that a volume needs) and writes where its data would go. */
export async function probePool(
	runner: CephRunner,
	images: RbdImages,
	{ poolId, nodeId, config, clock }: ProbeOptions,
): Promise<PoolUsage> {
	// The same name each time: what a killed trial left, the next one removes.
	const name = `${temporaryPrefix(nodeId)}probe-${poolId}`;
	await found(runner, () => images.names());
	await requireFree(runner, poolId);
	const dataPool = config.dataPool ?? config.cephPool;
	await untilCounted(runner, dataPool, clock);
	const usage = await measurePool(runner, config.dataPool);
	await images.remove(name);
	try {
		await images.create(name, MiB);
		await runner.explained(() => runner.radosOf(dataPool, ["put", name, "-"], { stdin: "LimiQuantix" }));
	} finally {
		await runner.radosOf(dataPool, ["rm", name]).catch(() => {});
		await images.remove(name).catch(() => {});
	}
	return usage;
}

/** A missing pool or namespace in words. */
export async function found<T>(runner: CephRunner, work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		if (errnoOfCeph(error) !== errno.noEntry) throw error;
		throw new AppError("storage", `${placeText(runner)} does not exist.`, {
			...{ cause: error, context: { health: "unmounted" } },
		});
	}
}
