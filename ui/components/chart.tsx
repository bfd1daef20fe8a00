/**
 * A chart over time (uPlot, loaded when first shown): crosshair shared by the charts of a page, drag to zoom, double
 * click to see all again. Charts that are given the same `zoom` zoom together; it stays while samples come in.
 */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { theme } from "../lib/theme.ts";
import { chart as t } from "../strings/chart.ts";
import { type ChartData, chartData, type Series, shownTimes, shownValues, type TimeSpan } from "./chart-data.ts";
import "uplot/dist/uPlot.min.css";
import "./chart.css";

export type { Series, TimeSpan } from "./chart-data.ts";
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
	/** Between two samples; where it was longer, the line breaks. */
	gapSeconds?: number;
	zoom?: Signal<TimeSpan | null>;
};

const height = 140;
/** A drag over fewer pixels was a click. */
const leastDragPx = 4;
/** 1, 2, 4 … 512 bytes, KiB, MiB … */
const byteSteps = Array.from({ length: 52 }, (_, power) => 2 ** power);
const timeLabel = (seconds: number, exact: boolean): string =>
	new Date(seconds * 1000).toLocaleTimeString(undefined, {
		hour: "2-digit",
		minute: "2-digit",
		...(exact ? { second: "2-digit" } : {}),
	});

export default function Chart(props: ChartProps) {
	const { title, times, series, format, unit, spanSeconds = 60, gapSeconds = 30 } = props;
	const ownZoom = useSignal<TimeSpan | null>(null);
	const zoom = props.zoom ?? ownZoom;
	const box = useRef<HTMLDivElement>(null);
	const plot = useRef<uPlot | null>(null);
	/** The sample under the crosshair. */
	const [pointed, setPointed] = useState<number | null>(null);
	const shown = theme.value;
	const shownZoom = zoom.value;
	const labels = series.map(({ label }) => label).join();
	const data = useMemo(() => chartData(times, series, gapSeconds), [times, series, gapSeconds]);
	// What is drawn later reads the props of then.
	const now = useRef({ max: props.max, data });
	now.current = { max: props.max, data };

	useEffect(() => {
		const element = box.current;
		if (!element) return;
		const style = getComputedStyle(element);
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
			font: `11px ${style.getPropertyValue("--font").trim() || "sans-serif"}`,
		};
		const created = new uPlot(
			{
				width: element.clientWidth,
				height,
				cursor: {
					sync: { key: "page" },
					drag: { x: true, y: false, setScale: false },
					bind: {
						dblclick: () => () => {
							zoom.value = null;
							return null;
						},
					},
				},
				legend: { show: false },
				hooks: {
					setCursor: [(self) => setPointed(self.cursor.idx ?? null)],
					setSelect: [
						(self) => {
							const { left, width } = self.select;
							if (width === 0) return;
							self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
							if (width < leastDragPx) return;
							zoom.value = { from: self.posToVal(left, "x"), to: self.posToVal(left + width, "x") };
						},
					],
				},
				scales: {
					x: { time: true, range: (_plot, from, to) => shownTimes({ from, to }, zoom.peek(), spanSeconds) },
					y: { range: (_plot, _from, to) => shownValues(to, now.current.max) },
				},
				axes: [
					{
						...axis,
						size: 26,
						values: (_plot, values, _axis, _space, step) => values.map((value) => timeLabel(value, step < 60)),
						space: 84,
					},
					{
						...axis,
						size: 70,
						values: (_plot, values) => values.map(format),
						...(unit === "bytes" ? { incrs: byteSteps } : {}),
					},
				],
				series: [
					{},
					...series.map((line) => ({
						label: line.label,
						stroke: resolve(line.color),
						width: 1.5,
						points: { show: false },
					})),
				],
			},
			aligned(now.current.data),
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
		// The scales are asked for anew, and keep to the zoom.
		plot.current?.setData(aligned(now.current.data));
	}, [times, series, shownZoom, props.max]);

	const at = pointed !== null && pointed < data.times.length ? pointed : data.times.length - 1;
	const time = data.times[at];
	return (
		<figure class="chart">
			<figcaption>
				<span class="chart__title">{title}</span>
				<span class="chart__time">{time === undefined ? "" : timeLabel(time, true)}</span>
			</figcaption>
			<div ref={box} class="chart__plot" />
			<ul class="chart__legend" aria-label={t.legend}>
				{series.map(({ label, color }, line) => {
					const value = data.values[line]?.[at] ?? null;
					return (
						<li key={label}>
							<span class={`chart__mark chart__mark--${color}`} aria-hidden="true" />
							{label}
							<span class="chart__value">{value === null ? "–" : format(value)}</span>
						</li>
					);
				})}
			</ul>
		</figure>
	);
}

const aligned = ({ times, values }: ChartData): uPlot.AlignedData => [times, ...values] as uPlot.AlignedData;
