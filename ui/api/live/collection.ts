/**
 * One kind of object, kept in memory and fresh: loaded page by page once, then changed by events. Readers get
 * signals: `one(id)` changes only with that object; `items` at most once a frame, however many events come.
 * Events that arrive while the list loads are kept and applied after it, in order, so nothing is lost in between.
 */
import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { type ApiError, toApiError } from "../errors.ts";

export type LoadState = "idle" | "loading" | "ready" | "error";
export type Change<T> = { id: string; object: T | null };
export type PageLoader<T> = (pageToken: string | null) => Promise<{ items: T[]; nextPageToken: string | null }>;

export type CollectionOptions<T> = {
	load: PageLoader<T>;
	/** More objects than this are not kept; `prune` chooses which go. */
	limit?: number;
	prune?: (items: T[]) => T[];
	/** When changes become visible; a frame in the browser. */
	schedule?: (flush: () => void) => void;
};

const maxPages = 1000;

export class Collection<T extends { id: string }> {
	readonly state: Signal<LoadState> = signal("idle");
	readonly error: Signal<ApiError | null> = signal(null);
	/** True while further pages of the first load are still coming. */
	readonly partial = signal(false);
	private readonly version = signal(0);
	private readonly objects = new Map<string, T>();
	private readonly signals = new Map<string, Signal<T | undefined>>();
	private waiting: Change<T>[] | null = null;
	private readonly touched = new Set<string>();
	private scheduled = false;
	private loadNumber = 0;
	private loading: Promise<void> | null = null;

	/** All objects, in no particular order. */
	readonly items: ReadonlySignal<readonly T[]> = computed(() => {
		this.version.value;
		return [...this.objects.values()];
	});
	readonly count: ReadonlySignal<number> = computed(() => {
		this.version.value;
		return this.objects.size;
	});

	constructor(private readonly options: CollectionOptions<T>) {}

	/** The object with this id; undefined while unknown or when it is gone. */
	one(id: string): ReadonlySignal<T | undefined> {
		let known = this.signals.get(id);
		if (!known) {
			known = signal(this.objects.get(id));
			this.signals.set(id, known);
		}
		return known;
	}

	/** What is known now, without subscribing. */
	peek(id: string): T | undefined {
		return this.objects.get(id);
	}

	/** Loads the list unless that was done or is under way. Never rejects: see `state` and `error`. */
	ensure(): Promise<void> {
		if (this.state.peek() === "ready") return Promise.resolve();
		return this.loading ?? this.reload();
	}

	/** Reads everything anew, keeping what is shown until the answer is there. */
	reload(): Promise<void> {
		this.loadNumber += 1;
		const number = this.loadNumber;
		this.loading = this.load(number).finally(() => {
			if (this.loadNumber === number) this.loading = null;
		});
		return this.loading;
	}

	/** Events, in order. Ignored when nobody has asked for this kind yet. */
	apply(changes: readonly Change<T>[]): void {
		if (this.state.peek() === "idle") return;
		if (this.waiting) this.waiting.push(...changes);
		else this.put(changes);
	}

	/** An object from an answer, shown before its event arrives. */
	upsert(object: T): void {
		this.put([{ id: object.id, object }]);
	}

	clear(): void {
		this.loadNumber += 1;
		this.loading = null;
		this.waiting = null;
		batch(() => {
			this.put([...this.objects.keys()].map((id) => ({ id, object: null })));
			this.state.value = "idle";
			this.error.value = null;
		});
		this.flush();
	}

	private async load(number: number): Promise<void> {
		this.waiting ??= [];
		const first = this.state.peek() !== "ready";
		if (first) this.state.value = "loading";
		const seen = new Set<string>();
		try {
			let pageToken: string | null = null;
			for (let page = 0; page < maxPages; page++) {
				const answer = await this.options.load(pageToken);
				if (this.loadNumber !== number) return;
				for (const item of answer.items) seen.add(item.id);
				this.put(answer.items.map((object) => ({ id: object.id, object })));
				pageToken = answer.nextPageToken;
				if (pageToken === null) break;
				if (first) {
					this.partial.value = true;
					this.state.value = "ready";
				}
			}
			const gone = [...this.objects.keys()].filter((id) => !seen.has(id));
			this.put(gone.map((id) => ({ id, object: null })));
			this.put(this.waiting ?? []);
			this.finishLoad("ready", null);
		} catch (error) {
			if (this.loadNumber !== number) return;
			this.put(this.waiting ?? []);
			this.finishLoad(this.objects.size > 0 && !first ? "ready" : "error", toApiError(error));
		}
	}

	private finishLoad(state: LoadState, error: ApiError | null): void {
		this.waiting = null;
		this.flush();
		batch(() => {
			this.partial.value = false;
			this.state.value = state;
			this.error.value = error;
		});
	}

	private put(changes: readonly Change<T>[]): void {
		for (const { id, object } of changes) {
			if (object === null) this.objects.delete(id);
			else this.objects.set(id, object);
			this.touched.add(id);
		}
		const { limit, prune } = this.options;
		if (limit !== undefined && prune && this.objects.size > limit) {
			const kept = new Set(prune([...this.objects.values()]).map(({ id }) => id));
			for (const id of this.objects.keys()) {
				if (kept.has(id)) continue;
				this.objects.delete(id);
				this.touched.add(id);
			}
		}
		if (this.touched.size === 0 || this.scheduled) return;
		this.scheduled = true;
		(this.options.schedule ?? nextFrame)(() => this.flush());
	}

	private flush(): void {
		this.scheduled = false;
		if (this.touched.size === 0) return;
		batch(() => {
			for (const id of this.touched) {
				const known = this.signals.get(id);
				if (known) known.value = this.objects.get(id);
			}
			this.touched.clear();
			this.version.value += 1;
		});
	}
}

/** A frame while the page is visible; hidden pages get no frames, so a timer then. */
function nextFrame(flush: () => void): void {
	if (typeof document !== "undefined" && !document.hidden) requestAnimationFrame(flush);
	else setTimeout(flush, 100);
}
