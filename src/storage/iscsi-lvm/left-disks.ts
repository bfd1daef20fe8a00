/**
 * Disks that an earlier run has left to be taken away. Where they are overwritten, that takes hours: it is done one after the other while the
 * pool is used, and who deletes or makes a volume of the same name meanwhile waits for it (remove-disk.ts).
 */
import { AppError, isAppError } from "../../lib/errors.ts";
import { type IscsiContext, readIndex } from "./context.ts";
import type { Lv } from "./records.ts";
import { beginOrJoin, removeDisk, wipes } from "./remove-disk.ts";

export class LeftDisks {
	readonly #context: IscsiContext;
	/** In this order; the first one is being taken away, unless that is paused. */
	#waiting: readonly Lv[] = [];
	/** Ends what is being done now; null when that is nothing. */
	#abort: AbortController | null = null;
	#work: Promise<void> = Promise.resolve();
	#isPaused = false;
	/** Keys of the locks that it has now. */
	lockKeys: readonly string[] = [];

	constructor(context: IscsiContext) {
		this.#context = context;
	}

	/** The one that is being taken away now. */
	get current(): string | null {
		return this.#abort === null ? null : (this.#waiting[0]?.lv ?? null);
	}

	/** Returns when it is gone, or will go. */
	async remove(lv: Lv): Promise<void> {
		if (!wipes(this.#context)) return removeDisk(this.#context, lv);
		this.#waiting = [...this.#waiting, lv];
		this.resume();
	}

	/** Goes on where it was. */
	resume(): void {
		this.#isPaused = false;
		if (this.#abort !== null || this.#waiting.length === 0) return;
		const abort = new AbortController();
		this.#abort = abort;
		this.#work = this.#removeAll(abort.signal).finally(() => {
			this.#abort = null;
			if (!this.#isPaused) this.resume();
		});
	}

	/** Nothing is done any more when it returns, which takes one step of overwriting; what is not done waits for `resume`. */
	async pause(): Promise<void> {
		this.#isPaused = true;
		this.#abort?.abort(new AppError("canceled", "The pool is let go of."));
		await this.#work;
	}

	/** As `pause`, for good: what is not done is planned anew when the pool is activated again. */
	stop(): Promise<void> {
		this.#waiting = [];
		return this.pause();
	}

	async #removeAll(signal: AbortSignal): Promise<void> {
		for (let [lv] = this.#waiting; lv && !signal.aborted; [lv] = this.#waiting) {
			const { lv: name } = lv;
			try {
				await this.#removeLater(lv, signal);
			} catch (error) {
				if (signal.aborted) return;
				this.#context.log.warn("What an operation left behind could not be tidied up", { lv: name, error });
			}
			this.#waiting = this.#waiting.filter((one) => one !== lv);
		}
	}

	/** By now it may be gone, and another one have its name: that is held against it while nobody can make or remove one. */
	async #removeLater(lv: Lv, signal: AbortSignal): Promise<void> {
		if (signal.aborted) return;
		const { locks } = this.#context;
		const { kind, id } = lv.name;
		const busyMessage = `The ${kind} ${id} is busy with another operation.`;
		const key = `${kind}:${id}`;
		const held = await locks.all([{ key, how: "exclusive", busyMessage }], { signal });
		this.lockKeys = [key];
		let removal: Promise<void> | null = null;
		try {
			const now = (await readIndex(this.#context)).get(lv.lv);
			// It may have come further than when it was planned.
			if (now?.uuid === lv.uuid) removal = beginOrJoin(this.#context, now, { signal });
		} finally {
			this.lockKeys = [];
			held[Symbol.dispose]();
		}
		await removal?.catch((error: unknown) => {
			// It was somebody else's, who was told to end.
			if (!isAppError(error, "canceled") || signal.aborted) throw error;
			return this.#removeLater(lv, signal);
		});
	}

	/** Before the pool goes for good. */
	requireDone(): void {
		if (this.#waiting.length > 0)
			throw new AppError(
				"in-use",
				"What was deleted from the pool is being overwritten still. Try again when that is done.",
				{ context: { isAtWork: true } },
			);
	}
}
