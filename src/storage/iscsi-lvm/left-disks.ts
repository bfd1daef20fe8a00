/**
 * Disks that an earlier run has left to be taken away. Where they are overwritten, that takes hours: it is done one after the other while the
 * pool is used, and who deletes or makes a volume of the same name meanwhile waits for it (remove-disk.ts).
 */
import { AppError, isAppError } from "../../lib/errors.ts";
import { type IscsiContext, readIndex } from "./context.ts";
import type { Lv } from "./records.ts";
import { removeDisk, wipes } from "./remove-disk.ts";

export class LeftDisks {
	readonly #context: IscsiContext;
	#abort = new AbortController();
	#last: Promise<void> = Promise.resolve();
	#waiting = 0;

	constructor(context: IscsiContext) {
		this.#context = context;
	}

	/** Returns when it is gone, or will go. */
	async remove(lv: Lv): Promise<void> {
		if (!wipes(this.#context)) return removeDisk(this.#context, lv);
		const { signal } = this.#abort;
		this.#waiting += 1;
		this.#last = this.#last
			.then(() => this.#removeLater(lv, signal))
			.catch((error) => {
				if (!signal.aborted)
					this.#context.log.warn("What an operation left behind could not be tidied up", { lv: lv.lv, error });
			})
			.finally(() => {
				this.#waiting -= 1;
			});
	}

	/** By now it may be gone, and another one have its name: that is held against it while nobody can make or remove one. */
	async #removeLater(lv: Lv, signal: AbortSignal): Promise<void> {
		if (signal.aborted) return;
		const { locks } = this.#context;
		const { kind, id } = lv.name;
		const busyMessage = `The ${kind} ${id} is busy with another operation.`;
		const held = await locks.all([{ key: `${kind}:${id}`, how: "exclusive", busyMessage }], { signal });
		let removal: Promise<void> | null = null;
		try {
			const isThere = (await readIndex(this.#context)).get(lv.lv)?.uuid === lv.uuid;
			if (isThere) removal = removeDisk(this.#context, lv, { signal });
		} finally {
			held[Symbol.dispose]();
		}
		await removal?.catch((error: unknown) => {
			// It was somebody else's, who was told to end.
			if (!isAppError(error, "canceled") || signal.aborted) throw error;
			return this.#removeLater(lv, signal);
		});
	}

	/** What is not done is planned anew when the pool is activated again. */
	async stop(): Promise<void> {
		this.#abort.abort(new AppError("canceled", "The pool is let go of."));
		this.#abort = new AbortController();
		await this.#last;
	}

	/** Before the pool goes for good. */
	requireDone(): void {
		if (this.#waiting > 0)
			throw new AppError(
				"in-use",
				"What was deleted from the pool is being overwritten still. Try again when that is done.",
			);
	}
}
