/**
 * Samples of the last hour of one node or VM, for its charts. The node keeps that hour: it is read when somebody begins
 * to look and whenever there was a hole (the page was hidden, the node away); in between the newest sample is read every
 * few seconds. Knows neither the API nor the page: both are given.
 */
import { type Signal, signal } from "@preact/signals";

const everyMs = 5000;
const keptMs = 3_600_000;
/** Without an answer for so long, the newest sample alone would leave a hole. */
const holeMs = 3 * everyMs;

export type Sampled = { sampledAt: string };
export type Source<Sample extends Sampled> = {
	history(since: string | undefined): Promise<readonly Sample[]>;
	/** Null or a rejection: not there now (stopped, just started, hanging, node away); the charts show the gap. */
	newest(): Promise<Sample | null>;
};
export type SamplerPage = {
	hidden(): boolean;
	/** Monotonic. */
	nowMs(): number;
	schedule(run: () => void, ms: number): { cancel(): void };
};

export class Sampler<Sample extends Sampled> {
	readonly samples: Signal<readonly Sample[]> = signal([]);
	/** What holds now; null when the node has no figures of this moment, however many older ones there are. */
	readonly current: Signal<Sample | null> = signal(null);
	/** What the last attempt to read failed with; null after one that did not. */
	readonly failure: Signal<unknown> = signal(null);
	/** True once the node has said what it knows. */
	readonly loaded = signal(false);
	private watchers = 0;
	private timer: { cancel(): void } | null = null;
	private busy = false;
	private answeredAtMs = Number.NEGATIVE_INFINITY;

	constructor(
		private readonly source: Source<Sample>,
		private readonly page: SamplerPage,
	) {}

	/** Samples until the returned function is called. */
	watch(): () => void {
		this.watchers += 1;
		if (this.watchers === 1) void this.tick();
		return () => {
			this.watchers -= 1;
			if (this.watchers > 0) return;
			this.timer?.cancel();
			this.timer = null;
		};
	}

	/** What was measured until now, once. */
	look(): Promise<void> {
		this.current.value = null;
		return this.readOnce(false);
	}

	private async readOnce(newest: boolean): Promise<void> {
		if (this.busy) return;
		this.busy = true;
		try {
			await this.read(newest);
			this.failure.value = null;
		} catch (error) {
			// The next look fills the hole.
			this.failure.value = error;
			this.current.value = null;
		} finally {
			this.busy = false;
		}
	}

	private async tick(): Promise<void> {
		if (!this.page.hidden()) await this.readOnce(true);
		if (this.watchers > 0 && this.timer === null) {
			this.timer = this.page.schedule(() => {
				this.timer = null;
				void this.tick();
			}, everyMs);
		}
	}

	private async read(newest: boolean): Promise<void> {
		const askedAtMs = this.page.nowMs();
		if (!this.loaded.peek() || askedAtMs - this.answeredAtMs >= holeMs) {
			const found = await this.source.history(this.samples.peek().at(-1)?.sampledAt);
			this.loaded.value = true;
			this.take(found);
			this.answeredAtMs = askedAtMs;
		}
		if (!newest) return;
		const sample = await this.source.newest().catch(() => null);
		this.current.value = sample;
		if (sample === null) return;
		this.take([sample]);
		this.answeredAtMs = askedAtMs;
	}

	private take(found: readonly Sample[]): void {
		const known = this.samples.peek();
		const last = Date.parse(known.at(-1)?.sampledAt ?? "") || 0;
		if (Date.parse(found.at(-1)?.sampledAt ?? "") < last) {
			// The node's clock was set back: what is known lies in its future.
			this.samples.value = [];
			this.loaded.value = false;
			return;
		}
		const fresh = found.filter(({ sampledAt }) => Date.parse(sampledAt) > last);
		const newest = fresh.at(-1);
		if (!newest) return;
		const oldestMs = Date.parse(newest.sampledAt) - keptMs;
		this.samples.value = [...known, ...fresh].filter(({ sampledAt }) => Date.parse(sampledAt) > oldestMs);
	}
}
