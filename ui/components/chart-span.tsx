/** Which time the charts of a page show, and the way back from a part of it to all. */
import type { Signal } from "@preact/signals";
import { chart as t } from "../strings/chart.ts";
import { Button } from "./button.tsx";
import { spanText, type TimeSpan } from "./chart-data.ts";

export function ChartSpan({ times, zoom }: { times: readonly number[]; zoom: Signal<TimeSpan | null> }) {
	const text = spanText(times);
	return (
		<span class="chart-span" title={t.zoomHint}>
			{zoom.value ? (
				<Button
					small
					onClick={() => {
						zoom.value = null;
					}}
				>
					{t.showAll}
				</Button>
			) : (
				text && <span class="muted">{text}</span>
			)}
		</span>
	);
}
