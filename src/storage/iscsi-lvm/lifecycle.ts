/** A pool on this node from connecting to the LUN to leaving it: making the group, taking part in its locks, tidying up. */
import { basename } from "node:path";
import { AppError, isAppError } from "../../lib/errors.ts";
import { GiB, MiB } from "../../lib/units.ts";
import type { OverwriteOptions, PoolUsage, RemovalOptions } from "../driver.ts";
import type { Connection } from "./connection.ts";
import { type IscsiContext, readIndex } from "./context.ts";
import { isReadable, zeroDevice } from "./device-io.ts";
import { settleGrowth } from "./grow-raw.ts";
import { Initializing } from "./initializing.ts";
import { LeftDisks } from "./left-disks.ts";
import { removeGroup } from "./lifecycle-remove.ts";
import { leasesName } from "./mapped-devices.ts";
import type { OpenVolumes } from "./open-volumes.ts";
import { type PoolIndex, tidyPlan } from "./pool-index.ts";
import { keepSnapshot, settleRebase } from "./settle.ts";
import { requireConfirmed, requireUnused } from "./signatures.ts";
import { Sysfs } from "./sysfs.ts";

type LifecycleOptions = {
	poolId: string;
	mayInitialize: boolean;
	connection: Connection;
	shared: boolean;
	/** Images that nothing here reads any more are not open any more either. */
	releaseIdleImages: () => Promise<void>;
	/** How long `remove` waits for other nodes to leave a shared group. */
	othersLeaveMs?: number | undefined;
};

/** Health is asked for every few seconds. It ends before whoever asks gives up (5 s), so that it says what is wrong. */
const checkLimits = { timeoutMs: 3500, graceMs: 300 };
/** Asked when LVM has failed, which it does at once. */
const readLimitMs = 2000;
const unreadable = () =>
	new AppError("storage", "The LUN cannot be read: the target has taken it away, or its disk fails.", {
		context: { health: "unmounted" },
	});
/** Less than this at the end of the LUN is not worth a change of the group. */
const worthGrowingBytes = 16 * MiB;
/** A LUN that was enlarged is noticed within this. */
const growthEveryMs = 60_000;

export class PoolLifecycle {
	readonly #context: IscsiContext;
	readonly #open: OpenVolumes;
	readonly #options: LifecycleOptions;
	readonly #left: LeftDisks;
	readonly #initializing: Initializing;
	#isTidy = false;
	/** Another pool, or whoever, has the LUN by now. */
	#isOthers = false;
	#growth: Promise<void> | null = null;
	#lowering: Promise<void> | null = null;
	#lookedMs = Number.NEGATIVE_INFINITY;

	constructor(context: IscsiContext, open: OpenVolumes, options: LifecycleOptions) {
		this.#context = context;
		this.#open = open;
		this.#options = options;
		this.#left = new LeftDisks(context);
		this.#initializing = new Initializing(context, options);
	}

	async activate({ overwrite = [] }: OverwriteOptions): Promise<void> {
		using _pool = await this.#context.locks.exclusive("pool", "The pool is busy.");
		const { group, staging, log } = this.#context;
		this.#isOthers = false;
		await staging.prepare(!this.#isTidy);
		const lun = await this.#options.connection.connect();
		group.device = lun.device;
		let isDead = false;
		try {
			// A pool whose LUN is away is activated again and again: no command of LVM waits for the device each time.
			const { dead } = await this.#options.connection.trouble();
			isDead = dead !== null;
			if (dead !== null) throw new AppError("storage", dead, { context: { health: "unmounted" } });
			const found = await this.#initializing.groupOn(lun, overwrite);
			await group.startLocks();
			await this.#growTo(lun.sizeBytes);
			await group.ensureThinPool(found);
			if (await group.reviveThinPool(() => this.#isAnyUsed()))
				log.info("A thin pool that had failed was started again");
			if (this.#isTidy) return;
			const index = await readIndex(this.#context);
			this.#open.find(index);
			await this.#tidy(index);
			this.#isTidy = true;
		} catch (error) {
			// A group that takes part in the locks is in use: its LUN must not be taken away under it.
			await (isDead ? Promise.resolve() : group.stopLocks())
				.then(lun.undo)
				.catch((failure) => log.warn("A pool was left connected", { failure }));
			throw error;
		}
	}

	async #isAnyUsed(): Promise<boolean> {
		const { group, activation } = this.#context;
		return (await group.lvs()).lvs.some(({ lv, open }) => open || activation.inUse(lv));
	}

	async #tidy(index: PoolIndex): Promise<void> {
		const { activation, log, nodeId } = this.#context;
		for (const { lv, active, name } of index.lvs) {
			if (!active || activation.inUse(lv) || name.kind === "image") continue;
			// Of an operation that was cut short: nobody has it open.
			await activation.release(lv).catch((error) => log.warn("A logical volume stays active", { lv, error }));
		}
		for (const step of tidyPlan(index, nodeId)) {
			const lv = step.kind === "remove" ? step.lv : step.disk;
			try {
				if (step.kind === "settle") await settleRebase(this.#context, lv.lv);
				else if (step.kind === "shrink") {
					// Of a VM that runs, which may be growing it: then that is done once more.
					if (!activation.inUse(lv.lv)) await settleGrowth(this.#context, lv.lv);
				} else if (step.kind === "moveSnapshot")
					await keepSnapshot(this.#context, await readIndex(this.#context), step.disk);
				else {
					log.info("A logical volume is removed", { lv: lv.lv, why: step.why });
					await this.#left.remove(lv);
				}
			} catch (error) {
				if (!isAppError(error)) throw error;
				log.warn("What an operation left behind could not be tidied up", { lv: lv.lv, error });
			}
		}
	}

	/** Another driver of this process may take over: from then on nothing is taken away here any more. */
	end(): Promise<void> {
		return this.#left.stop();
	}

	async deactivate(): Promise<void> {
		using _pool = await this.#context.locks.exclusive("pool", "The pool is busy.");
		const { dead } = await this.#options.connection.trouble();
		// It may be so by the settings that are to be changed, or for a moment, under VMs that go on afterwards.
		const isAway = dead !== null;
		const { group } = this.#context;
		// A try may have found another way to it, while the one that it was activated by is dead.
		if (group.device !== null) group.device = (await this.#options.connection.current())?.device ?? group.device;
		if (!isAway) await this.#releaseIdleImages();
		this.#closeUnused(isAway)[Symbol.dispose]();
		try {
			// Long, perhaps: meanwhile the pool is used. What waits for a LUN that is away has the disk open, which is seen.
			const paused = this.#left.pause();
			if (!isAway) await paused;
			using _unused = this.#closeUnused(isAway);
			await this.#letGo(isAway);
		} catch (error) {
			this.#left.resume();
			throw error;
		}
	}

	async #releaseIdleImages(): Promise<void> {
		if (this.#context.group.device === null) return;
		await this.#options
			.releaseIdleImages()
			.catch((error) => this.#context.log.debug("Whether images are idle is not known", { error }));
	}

	/**
	 * Until disposed, nobody begins anything with the pool. `in-use` when somebody uses it: what a VM is about to start with is not open to any
	 * process yet, and neither is, between two steps, what is overwritten. What is left to be overwritten keeps nobody: it goes on later.
	 */
	#closeUnused(isAway: boolean): Disposable {
		const { activation, locks } = this.#context;
		const used = activation.isUsed(this.#left.current, { isAway });
		if (used === "open") throw new AppError("in-use", "A VM of this node uses disks or images of the pool.");
		const closed = used === null ? locks.close(["pool", ...this.#left.lockKeys]) : null;
		if (closed === null) throw new AppError("in-use", "Something is being done in the pool on this node.");
		return closed;
	}

	async #letGo(isAway: boolean): Promise<void> {
		const { group, activation } = this.#context;
		if (group.device === null) group.device = (await this.#options.connection.current())?.device ?? null;
		if (isAway) await group.dropDevices();
		else if (group.device !== null && !this.#isOthers) {
			try {
				await group.deactivateAll();
				await group.stopLocks();
			} catch (error) {
				// Somebody has taken the group away: the session must not stay for that, unless something of it is active still.
				if (!isAppError(error) || error.context.noGroup !== true) throw error;
				this.#isOthers = (await group.otherGroup()) !== null;
				if (!this.#isOthers && (await new Sysfs().holders(basename(group.device))).length > 0) throw error;
			}
		}
		void this.#left.stop();
		activation.forget();
		group.device = null;
		this.#isTidy = false;
		await this.#options.connection.disconnect({ isOthers: this.#isOthers, leases: leasesName(group.name) });
	}

	async remove({ ifIdle = false, ...options }: RemovalOptions = {}): Promise<void> {
		const { group, staging, locks } = this.#context;
		// Nothing that makes the pool ready, or looks whether it grew, may put anything there afterwards.
		using _pool = await locks.all([{ key: "pool", how: "exclusive", busyMessage: "The pool is busy." }], options);
		if (ifIdle) this.#left.requireDone();
		// It is done here, with all else that is left.
		else await this.#left.stop();
		const { connection, poolId, othersLeaveMs } = this.#options;
		group.device ??= (await connection.connect()).device;
		const { dead } = await connection.trouble();
		const lun = await connection.current();
		if (dead !== null || lun === null) throw new AppError("storage", dead ?? "The LUN is not there any more.");
		group.device = lun.device;
		await this.#initializing.clear(lun);
		const removed = await removeGroup(this.#context, connection, { ...options, poolId, othersLeaveMs });
		this.#isOthers = removed === "others";
		await this.#letGo(false);
		await staging.remove();
	}

	async check(): Promise<PoolUsage> {
		const { dead, weak } = await this.#options.connection.trouble();
		if (dead !== null) throw new AppError("storage", dead, { context: { health: "unmounted" } });
		if (this.#context.group.device === null)
			throw new AppError("storage", "The pool is not connected on this node.", { context: { health: "unmounted" } });
		const { device } = this.#context.group;
		const usage = await this.#context.group.usage(checkLimits).catch(async (error: unknown) => {
			// LVM does not say why it finds nothing.
			if (isAppError(error, "timeout")) throw new AppError("timeout", "The LUN does not answer.", { cause: error });
			if (isAppError(error) && device !== null && !(await isReadable(device, readLimitMs))) throw unreadable();
			throw error;
		});
		this.#lookForGrowth();
		this.#lowering ??= this.#open
			.lowerLayers()
			.catch((error) => this.#context.log.warn("Layers were not given to other nodes", { error }))
			.finally(() => {
				this.#lowering = null;
			});
		return weak === null ? usage : { ...usage, warning: weak };
	}

	/** Now and then, and beside what is asked: the kernel asks the target for new sizes. */
	#lookForGrowth(): void {
		const { clock, log, group } = this.#context;
		if (this.#growth !== null || clock.monotonicMs() - this.#lookedMs < growthEveryMs) return;
		this.#lookedMs = clock.monotonicMs();
		this.#growth = (async () => {
			const { device, sizeBytes } = await this.#options.connection.rescan();
			using _pool = await this.#context.locks.exclusive("pool", "The pool is busy.");
			// Let go of meanwhile, or reached by another path: that is the next activation's.
			if (group.device !== device) return;
			if (await this.#growTo(sizeBytes)) {
				log.info("The LUN of a pool was enlarged, and so was its volume group", { sizeBytes });
				const found = await group.find();
				if (found !== null) await group.ensureThinPool(found);
			}
			if (await group.growThinMetadata()) log.info("The metadata of a thin pool was made larger");
		})()
			.catch((error) =>
				log.warn("Whether the LUN of a pool grew is not known, or the pool could not follow", { error }),
			)
			.finally(() => {
				this.#growth = null;
			});
	}

	async #growTo(sizeBytes: number): Promise<boolean> {
		const { group } = this.#context;
		const covered = await group.coveredBytes();
		// Not ours, it is nobody's to enlarge.
		if (covered === 0 || sizeBytes - covered <= worthGrowingBytes) return false;
		await group.grow();
		return true;
	}

	async probe({ overwrite = [] }: OverwriteOptions): Promise<PoolUsage> {
		const { group } = this.#context;
		const before = group.device;
		const lun = await this.#options.connection.connect({ trial: true });
		group.device = lun.device;
		try {
			if ((await group.find(overwrite)) !== null) return await group.usageWithoutLocks();
			const found = await this.#initializing.contents(lun);
			requireConfirmed(found, overwrite);
			if (found.length > 0) await requireUnused(lun.device);
			// It is zero there: writing zeroes shows that writing works, and changes nothing.
			else await zeroDevice(lun.device, 0, 4096, { alone: true });
			if (this.#options.shared) await group.requireLockManager();
			if (lun.sizeBytes < GiB / 2) throw new AppError("invalid", "The LUN is too small for a pool.");
			return { totalBytes: lun.sizeBytes, usedBytes: 0, availableBytes: lun.sizeBytes };
		} finally {
			group.device = before;
			await lun.undo();
		}
	}
}
