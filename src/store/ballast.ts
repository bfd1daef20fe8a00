/**
 * Keeps the ballast (ballast-file.ts): makes it, gives it up for the database, and makes it anew when there is space again.
 * The log gives it up by itself, in its own thread.
 *
 * It is made by a program: to reserve blocks may wait for the disk, and neither the event loop nor the log's thread should. How
 * much is decided by ballastToAdd (disk-reserve.ts).
 */
import { closeSync, openSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock, Timer } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { run } from "../lib/run.ts";
import { type BallastFile, ballastFile } from "./ballast-file.ts";
import { ballastToAdd, isWhole, keptFreeBytes } from "./disk-reserve.ts";

/** A start has better things to do. */
const firstMs = 1_000;
const everyMs = 10_000;
const afterFailureMs = 600_000;
const limitMs = 60_000;
/** What a start writes before there is a log that could ask for it. */
const toStartBytes = 1024 * 1024;

export type BallastParts = { path: string; reserveBytes: number; clock: Clock; logger: Logger };

export class Ballast {
	readonly #parts: BallastParts;
	readonly #file: BallastFile;
	readonly #stopping = new AbortController();
	#timer: Timer | null = null;
	#looking: Promise<void> | null = null;
	/** Null before the first look. */
	#wasWhole: boolean | null = null;

	constructor(parts: BallastParts) {
		this.#parts = parts;
		this.#file = ballastFile(parts.path, dirname(parts.path));
	}

	/** On a full disk, a step of it for what is opened before the log. */
	makeRoomToStart(): void {
		this.#file.makeFree(toStartBytes);
	}

	/** The database's disk is full: there is a step more of it now. False when there is nothing left to give up. */
	makeRoom(): boolean {
		return this.#file.shorten();
	}

	/**
	 * For what comes from others and is needed to go on. Whether so much is free now: a part of the ballast is given up for it, but not
	 * what the log leaves even then.
	 */
	makeFree(bytes: number): boolean {
		const { ownBytes } = this.#file.free();
		if (ownBytes >= bytes) return true;
		const kept = keptFreeBytes("essential", this.#parts.reserveBytes);
		if (ownBytes + this.#file.heldBytes() < bytes + kept) return false;
		this.#file.makeFree(bytes);
		return this.#file.free().ownBytes >= bytes;
	}

	/** Without the ballast: for what can wait until there is space. */
	fits(bytes: number): boolean {
		return this.#file.free().ownBytes >= bytes;
	}

	start(): void {
		this.#schedule(firstMs);
	}

	async stop(): Promise<void> {
		this.#timer?.cancel();
		this.#stopping.abort();
		await this.#looking;
	}

	#schedule(delayMs: number): void {
		if (this.#stopping.signal.aborted) return;
		this.#timer = this.#parts.clock.schedule(delayMs, () => {
			this.#looking = this.#look().then(
				() => this.#schedule(everyMs),
				(error) => this.#failed(error),
			);
		});
	}

	#failed(error: unknown): void {
		if (isAppError(error, "canceled")) return;
		this.#parts.logger.warn("the ballast cannot be made; it is tried again", { path: this.#parts.path, error });
		this.#schedule(afterFailureMs);
	}

	async #look(): Promise<void> {
		const { path, reserveBytes } = this.#parts;
		const { stepBytes } = this.#file;
		const heldBytes = this.#file.heldBytes();
		const state = { othersBytes: this.#file.free().othersBytes, heldBytes, reserveBytes, stepBytes };
		const bytes = ballastToAdd(state);
		if (bytes > 0) {
			this.#removeHollow(heldBytes);
			await this.#make(path, heldBytes + bytes);
		}
		this.#tell(isWhole({ heldBytes: this.#file.heldBytes(), reserveBytes, stepBytes }), state.othersBytes);
	}

	/** A copy may have holes where it held something: it is made anew, and not filled at places that are hard to find. */
	#removeHollow(heldBytes: number): void {
		const { path } = this.#parts;
		const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
		if (sizeBytes - heldBytes >= this.#file.stepBytes) rmSync(path);
	}

	async #make(path: string, sizeBytes: number): Promise<void> {
		closeSync(openSync(path, "a", 0o600));
		// Writes where the file system cannot reserve: a file that is only said to be long would hold nothing.
		const reserve = ["--posix", "--length", String(sizeBytes), path];
		await run("fallocate", reserve, { timeoutMs: limitMs, signal: this.#stopping.signal });
	}

	#tell(whole: boolean, othersBytes: number): void {
		const { path, logger } = this.#parts;
		if (whole === this.#wasWhole) return;
		const context = { path, heldBytes: this.#file.heldBytes(), freeBytes: othersBytes };
		if (whole) logger.info("what is kept of the disk for changes that make room is held", context);
		else logger.warn("the disk is nearly full: what is kept for changes that make room is not held, or used", context);
		this.#wasWhole = whole;
	}
}
