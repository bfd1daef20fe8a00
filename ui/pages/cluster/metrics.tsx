/** The node's figures of the moment, and how they went in the last hour. */
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { useNodeSamples } from "../../api/metrics.ts";
import type { Node, NodeMetrics } from "../../api/types.ts";
import Chart, { type Series, type TimeSpan } from "../../components/chart.tsx";
import { ChartSpan } from "../../components/chart-span.tsx";
import { Card } from "../../components/layout.tsx";
import { formatBytes, formatRatio } from "../../lib/format.ts";
import { cluster as t } from "../../strings/cluster.ts";
import { vm as vmText } from "../../strings/vm.ts";
import { Figure } from "../vm/metrics.tsx";

export default function NodeMetricsCard({ node }: { node: Node }) {
	const { samples, current, failure } = useNodeSamples(node.id);
	const zoom = useSignal<TimeSpan | null>(null);
	const { times, cpu, memory } = useMemo(() => {
		const cpu: Series[] = [{ label: t.cpu, color: "accent", values: samples.map(({ cpuUsedRatio }) => cpuUsedRatio) }];
		const memory: Series[] = [
			{ label: t.memory, color: "accent", values: samples.map(({ memoryUsedBytes }) => memoryUsedBytes) },
		];
		return { times: samples.map(({ sampledAt }) => Date.parse(sampledAt) / 1000), cpu, memory };
	}, [samples]);
	const last = samples.at(-1);
	if (!last) {
		return (
			<Card title={t.metrics}>
				<p class="muted">{failure ? vmText.metrics.unreached(failure.message) : vmText.metrics.waiting}</p>
			</Card>
		);
	}
	return (
		<Card title={t.metrics} actions={<ChartSpan times={times} zoom={zoom} />}>
			{current === null ? (
				<p class="muted">{failure ? vmText.metrics.unreached(failure.message) : vmText.metrics.noneNow}</p>
			) : (
				<Figures current={current} />
			)}
			<div class="charts">
				<Chart title={t.chartCpu} times={times} zoom={zoom} series={cpu} format={formatRatio} max={1} />
				<Chart
					title={t.chartMemory}
					times={times}
					zoom={zoom}
					series={memory}
					format={formatBytes}
					unit="bytes"
					max={last.memoryTotalBytes}
				/>
			</div>
		</Card>
	);
}

function Figures({ current }: { current: NodeMetrics }) {
	return (
		<dl class="figures">
			<Figure label={t.cpu} value={formatRatio(current.cpuUsedRatio)} />
			<Figure
				label={t.memory}
				value={`${formatBytes(current.memoryUsedBytes)} / ${formatBytes(current.memoryTotalBytes)}`}
			/>
			<Figure label={t.load} value={current.load1.toFixed(2)} />
			<Figure label={t.vmsRunning} value={String(current.vmsRunning)} />
		</dl>
	);
}
