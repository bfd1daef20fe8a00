/** Bounds on what goes on at once: a counting semaphore, and the same for each key. First come, first served. */

export class Semaphore {
	#free: number;
	readonly #waiting: (() => void)[] = [];

	constructor(count: number) {
		this.#free = count;
	}

	/** Runs `work` once a slot is free. A `signal` ends only the waiting, with its reason. */
	async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
		await this.#acquire(signal);
		try {
			return await work();
		} finally {
			this.#release();
		}
	}

	#acquire(signal: AbortSignal | undefined): Promise<void> {
		if (signal?.aborted) return Promise.reject(signal.reason);
		if (this.#free > 0) {
			this.#free -= 1;
			return Promise.resolve();
		}
		return new Promise((resolve, reject) => {
			const go = () => {
				signal?.removeEventListener("abort", onAbort);
				resolve();
			};
			const onAbort = () => {
				this.#waiting.splice(this.#waiting.indexOf(go), 1);
				reject(signal?.reason);
			};
			this.#waiting.push(go);
			signal?.addEventListener("abort", onAbort, { once: true });
		});
	}

	#release(): void {
		const next = this.#waiting.shift();
		if (next) next();
		else this.#free += 1;
	}
}

/** So many holders at a time for each key; a key costs nothing while nobody holds it. */
export class KeyedSemaphore {
	readonly #count: number;
	readonly #keys = new Map<string, { gate: Semaphore; users: number }>();

	constructor(count: number) {
		this.#count = count;
	}

	async run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
		const entry = this.#keys.get(key) ?? { gate: new Semaphore(this.#count), users: 0 };
		this.#keys.set(key, entry);
		entry.users += 1;
		try {
			return await entry.gate.run(work, signal);
		} finally {
			entry.users -= 1;
			if (entry.users === 0) this.#keys.delete(key);
		}
	}
}

/** One holder at a time for each key. */
export class KeyedMutex extends KeyedSemaphore {
	constructor() {
		super(1);
	}
}
