/** What a chart draws, and between which ends. Pure. */
import { formatDuration } from "../lib/format.ts";
import { chart as t } from "../strings/chart.ts";

export type Series = { label: string; values: readonly (number | null)[]; color: "accent" | "green" };
/** Seconds since 1970. */
export type TimeSpan = { from: number; to: number };
export type ChartData = { times: number[]; values: (number | null)[][] };

/** Shorter than this there is nothing to see. */
const shortestZoomSeconds = 5;

/** Where samples are missing the lines break: a row without values stands in each hole longer than `gapSeconds`. */
export function chartData(times: readonly number[], series: readonly Series[], gapSeconds: number): ChartData {
	const data: ChartData = { times: [], values: series.map(() => []) };
	const row = (time: number, value: (line: Series) => number | null) => {
		data.times.push(time);
		for (const [line, values] of data.values.entries()) {
			const of = series[line];
			values.push(of ? value(of) : null);
		}
	};
	for (const [at, time] of times.entries()) {
		const before = times[at - 1];
		if (before !== undefined && time - before > gapSeconds) row((before + time) / 2, () => null);
		// With a single sample uPlot would show some years around it: a second before it there was nothing.
		if (times.length === 1) row(time - 1, () => null);
		row(time, ({ values }) => values[at] ?? null);
	}
	return data;
}

/** What was chosen, at least a few seconds of it; else all, filling the width only once there is enough. */
export function shownTimes(all: TimeSpan, zoom: TimeSpan | null, leastSeconds: number): [from: number, to: number] {
	if (!zoom) return all.to - all.from < leastSeconds ? [all.to - leastSeconds, all.to] : [all.from, all.to];
	const missing = Math.max(0, shortestZoomSeconds - (zoom.to - zoom.from)) / 2;
	return [zoom.from - missing, zoom.to + missing];
}

/** From nothing to a little above the highest value or the given maximum, so that a line at the top is seen whole. */
export function shownValues(highest: number | null, max: number | undefined): [from: number, to: number] {
	if (max !== undefined && max > 0) return [0, Math.max(max, highest ?? 0) * 1.05];
	return [0, highest === null || highest <= 0 ? 1 : highest * 1.15];
}

/** "The last 12 min"; nothing before there are two samples. */
export function spanText(times: readonly number[]): string | null {
	const seconds = (times.at(-1) ?? 0) - (times[0] ?? 0);
	if (seconds < 1) return null;
	if (seconds > 58 * 60) return t.lastHour;
	return t.last(formatDuration((seconds < 120 ? seconds : Math.round(seconds / 60) * 60) * 1000));
}
