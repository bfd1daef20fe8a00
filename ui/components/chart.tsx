/** A chart over time (uPlot, loaded when first shown): crosshair shared by the charts of a page, drag to zoom. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { theme } from "../lib/theme.ts";
import "uplot/dist/uPlot.min.css";
import "./chart.css";

export type Series = { label: string; values: readonly (number | null)[]; color: "accent" | "green" };
export type ChartProps = {
	title: string;
	/** Seconds since 1970, ascending. */
	times: readonly number[];
	series: readonly Series[];
	format: (value: number) => string;
	/** Bytes are divided into powers of two. */
	unit?: "bytes";
	/** Upper end of the scale; else it follows the values. */
	max?: number;
	/** Seconds shown at least, so that the first samples do not fill the width. */
	spanSeconds?: number;
};

const height = 140;
/** 1, 2, 4 … 512 bytes, KiB, MiB … */
const byteSteps = Array.from({ length: 52 }, (_, power) => 2 ** power);
const timeLabel = (seconds: number, exact: boolean): string =>
	new Date(seconds * 1000).toLocaleTimeString(undefined, {
		hour: "2-digit",
		minute: "2-digit",
		...(exact ? { second: "2-digit" } : {}),
	});

export default function Chart(props: ChartProps) {
	const { title, times, series, format, unit, max, spanSeconds = 60 } = props;
	const box = useRef<HTMLDivElement>(null);
	const plot = useRef<uPlot | null>(null);
	const shown = theme.value;
	const labels = series.map(({ label }) => label).join();

	useEffect(() => {
		const element = box.current;
		if (!element) return;
		const style = getComputedStyle(element);
		const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
		// Custom properties with light-dark() are resolved by an element that uses them as a colour.
		const resolve = (name: string): string => {
			element.style.color = `var(--${name})`;
			const value = getComputedStyle(element).color;
			element.style.color = "";
			return value;
		};
		const axis = {
			stroke: resolve("text-muted"),
			grid: { stroke: resolve("border"), width: 1 },
			ticks: { show: false },
		};
		const font = `11px ${color("font") || "sans-serif"}`;
		const created = new uPlot(
			{
				width: element.clientWidth,
				height,
				cursor: { sync: { key: "page" }, drag: { x: true, y: false } },
				legend: { show: true, live: true },
				scales: {
					x: {
						time: true,
						range: (_plot, from, to) => (to - from < spanSeconds ? [to - spanSeconds, to] : [from, to]),
					},
					y: { range: (_plot, _from, to) => [0, max ?? niceTop(to)] },
				},
				axes: [
					{
						...axis,
						font,
						size: 26,
						values: (_plot, values, _axis, _space, step) => values.map((value) => timeLabel(value, step < 60)),
						space: 84,
					},
					{
						...axis,
						font,
						size: 70,
						values: (_plot, values) => values.map(format),
						...(unit === "bytes" ? { incrs: byteSteps } : {}),
					},
				],
				series: [
					{ value: (_plot, value) => (value === null ? "" : new Date(value * 1000).toLocaleTimeString()) },
					...series.map((line) => ({
						label: line.label,
						stroke: resolve(line.color),
						width: 1.5,
						points: { show: false },
						value: (_plot: uPlot, value: number | null) => (value === null ? "" : format(value)),
					})),
				],
			},
			dataOf(times, series),
			element,
		);
		plot.current = created;
		const resized = new ResizeObserver(() => created.setSize({ width: element.clientWidth, height }));
		resized.observe(element);
		return () => {
			resized.disconnect();
			created.destroy();
			plot.current = null;
		};
	}, [shown, labels]);
	useEffect(() => {
		plot.current?.setData(dataOf(times, series));
	}, [times, series]);

	return (
		<figure class="chart">
			<figcaption>{title}</figcaption>
			<div ref={box} />
		</figure>
	);
}

/** With a single sample uPlot would show some years around it: a second before it there was nothing. */
function dataOf(times: readonly number[], series: readonly Series[]): uPlot.AlignedData {
	const [first] = times;
	const alone = times.length === 1 && first !== undefined;
	const data = alone
		? [[first - 1, first], ...series.map(({ values }) => [null, values[0] ?? null])]
		: [times, ...series.map(({ values }) => values)];
	return data as unknown as uPlot.AlignedData;
}

const niceTop = (value: number | null): number => (value === null || value <= 0 ? 1 : value * 1.15);
