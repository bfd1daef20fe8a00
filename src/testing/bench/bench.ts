/**
 * What a benchmark is: it measures, next to a real peer in the same run wherever there is one, and returns figures by
 * name. It asserts nothing: `npm run bench` prints, docs/benchmarks.md keeps what was measured and how.
 */

/** Figure names end in their unit (`Ms`, `Bytes`, `PerSecond`) or in `Ratio`. */
export type Figures = Record<string, number | string>;

/** From the command line; each benchmark has its own defaults. */
export type BenchOptions = {
	/** How often something that is counted is repeated. */
	runs?: number;
	hours?: number;
	writes?: number;
	/** Of the state. */
	objects?: number;
};

export type Bench = {
	name: string;
	/** One line: what is measured, against what. */
	what: string;
	/** Takes an hour or so: only when it is asked for by name. */
	long?: true;
	run(options: BenchOptions): Promise<Figures>;
};

/** Value at the given share (0.5 is the median) of an unsorted list. */
export function percentile(values: readonly number[], share: number): number {
	const sorted = [...values].sort((a, b) => a - b);
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

export const round = (value: number, digits = 2): number => Number(value.toFixed(digits));

/** Milliseconds that `action` takes. */
export async function timed(action: () => Promise<unknown> | unknown): Promise<number> {
	const started = performance.now();
	await action();
	return performance.now() - started;
}
