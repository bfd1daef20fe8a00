/**
 * What is half done in the pool, by which node, and how it is tidied up after that node's daemon has ended. Images that
 * are made or deleted have a name with the node's id meanwhile. What happens inside of a volume is listed in an object: a snapshot that
 * an operation needs for a while, and a revert, which is not one change but many. A node tidies its own things only.
 */
import { type Clock, delay, type Timer } from "../../lib/clock.ts";
import { isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { type Random, randomHex } from "../../lib/random.ts";
import type { LongOptions } from "../driver.ts";
import { temporaryPrefix, volumeName, workObject } from "./names.ts";
import type { RbdImages } from "./rbd-images.ts";
import { Retries } from "./retries.ts";
import { type CephRunner, orMissing, requireNotCanceled } from "./runner.ts";

/** The cluster takes a client that was killed for alive so long (30 s by default): until then its image cannot go. */
const firstRetryMs = 15_000;
/** An hour in all: each waits twice as long as the one before. */
const maxRetries = 8;
/** Longer than a program that is ended takes. */
const stopWaitMs = 5000;
/** For the retries: nothing of it answers. No image is called that. */
const wholePool = "the pool";

type WorkEntry = { kind: "snapshot" | "revert"; volumeId: string; name: string };

export class RbdWork {
	readonly #runner: CephRunner;
	readonly #images: RbdImages;
	readonly #options: { nodeId: string; random: Random; clock: Clock; log: Logger };
	/** Names and entries of operations that run now. */
	readonly #live = new Set<string>();
	readonly #retries: Retries;
	#retry: { timer: Timer; dueMs: number } | null = null;
	/** Of tidying up: what is left is found again when the pool is opened the next time. */
	#stopping = new AbortController();
	readonly #tidying = new Set<Promise<void>>();
	/** Finishes a revert that was cut short. */
	finishRevert: (volumeId: string, snapshotId: string) => Promise<void> = async () => {};

	constructor(
		runner: CephRunner,
		images: RbdImages,
		options: { nodeId: string; random: Random; clock: Clock; log: Logger },
	) {
		this.#runner = runner;
		this.#images = images;
		this.#options = options;
		this.#retries = new Retries(options.clock, { firstMs: firstRetryMs, max: maxRetries });
		runner.onRoomAgain = () => this.#tidyAnew();
	}

	/** Runs `make` with the name of an image to be made, which it renames at its end; what has that name after a failure is removed. */
	async withTemporary<T>(make: (name: string) => Promise<T>): Promise<T> {
		const name = this.#newName();
		this.#live.add(name);
		try {
			return await make(name);
		} catch (error) {
			await this.#images.remove(name).catch(() => this.tidyLater());
			throw error;
		} finally {
			this.#live.delete(name);
		}
	}

	/** Takes the image `name` out of sight, then removes it with its snapshots. Aborted, the rest goes later. */
	async discard(
		name: string,
		mayGo: (hidden: string) => Promise<{ snapshots: boolean }>,
		options: LongOptions,
	): Promise<void> {
		const hidden = this.#newName();
		this.#live.add(hidden);
		try {
			if ((await orMissing(this.#images.rename(name, hidden).then(() => true))) === null) return;
			// Nobody finds it by its name any more: what rests on it now, is all that ever will.
			const has = await mayGo(hidden).catch(async (error) => {
				await this.#images.rename(hidden, name);
				throw error;
			});
			await this.#images.remove(hidden, has, options).catch((error) => {
				this.tidyLater();
				throw error;
			});
		} finally {
			this.#live.delete(hidden);
		}
	}

	/** Keeps what the volume holds now, under the name that it gives, until `release`. */
	async holdSnapshot(volumeId: string): Promise<{ snapshot: string; release(): Promise<void> }> {
		const name = this.#newName();
		const entry = await this.note({ kind: "snapshot", volumeId, name });
		const release = async () => {
			try {
				await this.#images.removeSnapshot(volumeName(volumeId), name);
				await entry.end();
			} finally {
				entry.abandon();
			}
		};
		try {
			await this.#images.makeSnapshot(volumeName(volumeId), name);
		} catch (error) {
			await release().catch(() => this.tidyLater());
			throw error;
		}
		return { snapshot: name, release };
	}

	/** Lists the entry; the caller ends it when it is done, or abandons it for `tidy` to finish. */
	async note(entry: WorkEntry): Promise<{ end(): Promise<void>; abandon(): void }> {
		const key = this.#key(entry);
		this.#live.add(key);
		try {
			await this.#runner.changeRados(["setomapval", workObject, key, "1"]);
		} catch (error) {
			this.#live.delete(key);
			throw error;
		}
		const abandon = () => void this.#live.delete(key);
		return { end: () => this.#forget(key).finally(abandon), abandon };
	}

	/** Tidies what former runs of this node left. What cannot go yet is tried again later. `names`: of all images, if known. */
	async tidy(names?: readonly string[]): Promise<void> {
		await this.#tidy(() => true, names);
	}

	/** An operation runs that tells what it does by this. */
	get isBusy(): boolean {
		return this.#live.size > 0;
	}

	/** After something was left: soon, and if need be again. */
	tidyLater(): void {
		this.#wake(firstRetryMs);
	}

	/** What was in the way of everything is over: what was given up is tried again, too. */
	#tidyAnew(): void {
		this.#retries.clear();
		this.#wake(0);
	}

	begin(): void {
		if (this.#stopping.signal.aborted) this.#stopping = new AbortController();
	}

	/** Nothing is tidied up any more until `begin`; resolves when nothing is, or after a while when only questions to the cluster are open. */
	async stop(): Promise<void> {
		this.#stopping.abort();
		this.#retry?.timer.cancel();
		this.#retry = null;
		const done = new AbortController();
		const late = delay(this.#options.clock, stopWaitMs, done.signal).catch(() => {});
		await Promise.race([Promise.allSettled(this.#tidying), late]);
		done.abort();
	}

	async #tidy(isTime: (what: string) => boolean, names?: readonly string[]): Promise<void> {
		const work = this.#tidyUp(isTime, names, this.#stopping.signal);
		this.#tidying.add(work);
		try {
			await work;
		} finally {
			this.#tidying.delete(work);
		}
	}

	async #tidyUp(
		isTime: (what: string) => boolean,
		names: readonly string[] | undefined,
		signal: AbortSignal,
	): Promise<void> {
		const present = new Set<string>();
		const attempt = async (what: string, work: () => Promise<unknown>) => {
			requireNotCanceled({ signal });
			present.add(what);
			// Whoever is at it says when it is left.
			if (this.#live.has(what)) return this.#retries.done(what);
			if (!isTime(what)) return;
			try {
				await work();
				this.#retries.done(what);
			} catch (error) {
				if (signal.aborted || isAppError(error, "timeout") || isAppError(error, "unavailable")) throw error;
				this.#left(what, error);
			}
		};
		for (const name of names ?? (await this.#images.names()))
			if (name.startsWith(temporaryPrefix(this.#options.nodeId)))
				await attempt(name, () => this.#images.remove(name, { snapshots: false }, { signal }));
		for (const entry of await this.#entries()) {
			const key = this.#key(entry);
			await attempt(key, async () => {
				if (entry.kind === "revert") await this.finishRevert(entry.volumeId, entry.name);
				else await this.#images.removeSnapshot(volumeName(entry.volumeId), entry.name);
				await this.#forget(key);
			});
		}
		this.#retries.keep(present);
		this.#wake(this.#retries.nextInMs());
	}

	/** Said when it is given up: a while is nothing unusual. */
	#left(what: string, error: unknown): void {
		const { log } = this.#options;
		const time = this.#retries.fail(what);
		if (time === "first") log.info("something half done could not be tidied up yet", { what, error });
		if (time === "last")
			log.warn("Something half done could not be tidied up, and is left until the pool is opened again", {
				what,
				error,
			});
	}

	#wake(inMs: number | null): void {
		const { clock } = this.#options;
		const { signal } = this.#stopping;
		if (inMs === null || signal.aborted) return;
		const dueMs = clock.monotonicMs() + inMs;
		if (this.#retry !== null && this.#retry.dueMs <= dueMs) return;
		this.#retry?.timer.cancel();
		const timer = clock.schedule(inMs, () => {
			this.#retry = null;
			this.#tidy((what) => this.#retries.isDue(what)).catch((error) => {
				if (signal.aborted) return;
				this.#left(wholePool, error);
				this.#wake(this.#retries.nextInMs(wholePool));
			});
		});
		this.#retry = { timer, dueMs };
	}

	async #entries(): Promise<WorkEntry[]> {
		const text = (await orMissing(this.#runner.rados(["listomapkeys", workObject]))) ?? "";
		const own = `${this.#options.nodeId}.`;
		return text
			.split("\n")
			.filter((key) => key.startsWith(own))
			.flatMap((key): WorkEntry[] => {
				const [kind, volumeId, name] = key.slice(own.length).split(".");
				if ((kind !== "snapshot" && kind !== "revert") || !volumeId || !name) return [];
				return [{ kind, volumeId, name }];
			});
	}

	async #forget(key: string): Promise<void> {
		await orMissing(this.#runner.changeRados(["rmomapkey", workObject, key]));
	}

	#key({ kind, volumeId, name }: WorkEntry): string {
		return `${this.#options.nodeId}.${kind}.${volumeId}.${name}`;
	}

	#newName(): string {
		return `${temporaryPrefix(this.#options.nodeId)}${randomHex(this.#options.random, 12)}`;
	}
}
