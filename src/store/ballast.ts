/**
 * Keeps the ballast (ballast-file.ts): makes it, gives it up for the database, and makes it anew when there is space again.
 * The log gives it up by itself, in its own thread.
 *
 * It is made by a program, and shortened beside the event loop: both may wait for the disk. How much of it is made is decided by
 * ballastToAdd (disk-reserve.ts).
 */
import { closeSync, constants, fstatSync, openSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock, Timer } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
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

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
/** Never what a link in its place says, and nobody is waited for. */
const flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK;

/** "hollow": it was made, and the file system keeps nothing for it. */
type Condition = "whole" | "short" | "hollow";

export type BallastParts = { path: string; reserveBytes: number; clock: Clock; logger: Logger };

export class Ballast {
	readonly #parts: BallastParts;
	readonly #file: BallastFile;
	readonly #stopping = new AbortController();
	#timer: Timer | null = null;
	#looking: Promise<void> | null = null;
	/** Null before the first look. */
	#was: Condition | null = null;
	/** For what arrives: it is not taken back for the ballast. */
	#lentBytes = 0;

	constructor(parts: BallastParts) {
		this.#parts = parts;
		this.#file = ballastFile(parts, dirname(parts.path));
	}

	/** On a full disk, a step of it for what is opened before the log. */
	makeRoomToStart(): void {
		this.#file.makeFree(toStartBytes);
	}

	/** The database's disk is full: there is a step more of it now. False when there is nothing left to give up. */
	makeRoom(): Promise<boolean> {
		return this.#shorten(0);
	}

	/** The same for what can be done later: what votes, and whatever frees the disk, need in the end is left. */
	makeRoomForUpkeep(): Promise<boolean> {
		return this.#shorten(this.#essentialBytes);
	}

	/**
	 * For what comes from others and is needed to go on. Whether so much is free now: a part of the ballast is given up for it, but not
	 * what the log leaves even then. None of it is taken back for the ballast before `giveRoomBack`.
	 */
	async takeRoom(bytes: number): Promise<boolean> {
		this.#lentBytes = bytes;
		await this.#looking;
		const hasRoom = await this.#makeFree(bytes);
		if (!hasRoom) this.giveRoomBack();
		return hasRoom;
	}

	giveRoomBack(): void {
		this.#lentBytes = 0;
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
				(condition) => this.#schedule(condition === "hollow" ? afterFailureMs : everyMs),
				(error) => this.#failed(error),
			);
		});
	}

	#failed(error: unknown): void {
		if (isAppError(error, "canceled")) return;
		this.#parts.logger.warn("the ballast cannot be made; it is tried again", { path: this.#parts.path, error });
		this.#schedule(afterFailureMs);
	}

	get #essentialBytes(): number {
		return keptFreeBytes("essential", this.#parts.reserveBytes);
	}

	async #makeFree(bytes: number): Promise<boolean> {
		const { stepBytes } = this.#file;
		const { ownBytes } = this.#file.free();
		const sparableSteps = Math.floor((this.#file.heldBytes() - this.#essentialBytes) / stepBytes);
		if (ownBytes + Math.max(0, sparableSteps) * stepBytes < bytes) return false;
		for (let steps = Math.ceil((bytes - ownBytes) / stepBytes); steps > 0; steps--)
			if (!(await this.#shorten(this.#essentialBytes))) break;
		return this.#file.free().ownBytes >= bytes;
	}

	/** As BallastFile.shorten, for the event loop, and only down to `leftBytes`. */
	async #shorten(leftBytes: number): Promise<boolean> {
		const { stepBytes } = this.#file;
		const isLeft = (held: number) => held === 0 || (leftBytes > 0 && held - stepBytes < leftBytes);
		if (isLeft(this.#file.heldBytes())) return false;
		try {
			const file = await open(this.#parts.path, flags);
			try {
				const held = this.#file.heldOf(await file.stat());
				if (isLeft(held)) return false;
				await file.truncate(Math.max(0, held - stepBytes));
				await file.sync();
			} finally {
				await file.close();
			}
			return true;
		} catch {
			return false;
		}
	}

	async #look(): Promise<Condition | null> {
		const { reserveBytes } = this.#parts;
		const { stepBytes } = this.#file;
		const heldBytes = this.#file.heldBytes();
		const othersBytes = this.#file.free().othersBytes - this.#lentBytes;
		const bytes = ballastToAdd({ othersBytes, heldBytes, reserveBytes, stepBytes });
		if (bytes > 0) {
			// A copy may have holes where it held something: it is made anew, and not filled at places that are hard to find.
			if (this.#file.isHollow()) rmSync(this.#parts.path, { force: true });
			await this.#make(heldBytes + bytes);
		}
		const isHeld = (held: number) => isWhole({ heldBytes: held, reserveBytes, stepBytes });
		const condition = (): Condition | null => {
			if (bytes > 0 && this.#file.isHollow()) return "hollow";
			if (isHeld(this.#file.heldBytes())) return "whole";
			// Somebody has taken of it while it was made: the next look says what has become of it.
			return isHeld(heldBytes + bytes) ? this.#was : "short";
		};
		return this.#tell(condition(), othersBytes);
	}

	async #make(sizeBytes: number): Promise<void> {
		const handle = openSync(this.#parts.path, flags | O_CREAT, 0o600);
		try {
			if (!this.#file.isOurs(fstatSync(handle)))
				throw new AppError("storage", "In the place of the ballast is something else, which is left alone.");
			// Writes where the file system cannot reserve: a file that is only said to be long would hold nothing.
			const reserve = ["--posix", "--length", String(sizeBytes), `/proc/${process.pid}/fd/${handle}`];
			await run("fallocate", reserve, { timeoutMs: limitMs, signal: this.#stopping.signal });
		} finally {
			closeSync(handle);
		}
	}

	#tell(condition: Condition | null, othersBytes: number): Condition | null {
		if (condition === this.#was) return condition;
		this.#was = condition;
		const { path, logger } = this.#parts;
		const context = { path, heldBytes: this.#file.heldBytes(), freeBytes: othersBytes };
		if (condition === "whole") logger.info("what is kept of the disk for changes that make room is held", context);
		else if (condition === "hollow")
			logger.warn("the file system keeps no space for a file: nothing is held for changes that make room", context);
		else logger.warn("the disk is nearly full: what is kept for changes that make room is not held, or used", context);
		return condition;
	}
}
