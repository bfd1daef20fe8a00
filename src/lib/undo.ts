/**
 * Undo collected as a multi-step host operation goes: register the undo of each step as it succeeds, `clear()` at the
 * end. With `await using`, whatever was not cleared is undone in reverse order when the block is left.
 */
export class UndoStack implements AsyncDisposable {
	#steps: { what: string; undo: () => Promise<void> | void }[] = [];
	readonly #onFailure: (what: string, error: unknown) => void;

	constructor(onFailure: (what: string, error: unknown) => void) {
		this.#onFailure = onFailure;
	}

	add(what: string, undo: () => Promise<void> | void): void {
		this.#steps.push({ what, undo });
	}

	clear(): void {
		this.#steps = [];
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const step of this.#steps.splice(0).reverse()) {
			try {
				await step.undo();
			} catch (error) {
				this.#onFailure(step.what, error);
			}
		}
	}
}
