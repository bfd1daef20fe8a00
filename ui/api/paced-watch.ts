/**
 * Has something read while somebody looks: at once, and then as often as the one who wants it most often. While the page is
 * hidden nothing is read; when it is shown again, at once. Knows neither what is read nor the page: both are given.
 */
export type PacedWatchDeps = {
	read: () => void;
	hidden: () => boolean;
	every: (ms: number, run: () => void) => { cancel(): void };
};

export class PacedWatch {
	private readonly watchers = new Set<{ everyMs: number }>();
	private pace: { everyMs: number; timer: { cancel(): void } } | null = null;

	constructor(private readonly deps: PacedWatchDeps) {}

	/** Until the returned function is called. */
	watch(everyMs: number): () => void {
		const watcher = { everyMs };
		this.watchers.add(watcher);
		this.deps.read();
		this.setPace();
		return () => {
			this.watchers.delete(watcher);
			this.setPace();
		};
	}

	shown(): void {
		if (this.watchers.size > 0) this.deps.read();
	}

	private setPace(): void {
		const everyMs = Math.min(...[...this.watchers].map((watcher) => watcher.everyMs));
		if (everyMs === this.pace?.everyMs) return;
		this.pace?.timer.cancel();
		const run = () => {
			if (!this.deps.hidden()) this.deps.read();
		};
		this.pace = this.watchers.size === 0 ? null : { everyMs, timer: this.deps.every(everyMs, run) };
	}
}
