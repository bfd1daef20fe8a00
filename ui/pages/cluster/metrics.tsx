/** The node's figures of the moment, and how they went since the page was opened. */
import { useMemo } from "preact/hooks";
import { useNodeSamples } from "../../api/metrics.ts";
import type { Node } from "../../api/types.ts";
import Chart, { type Series } from "../../components/chart.tsx";
import { Card } from "../../components/layout.tsx";
import { formatBytes, formatDuration, formatRatio } from "../../lib/format.ts";
import { cluster as t } from "../../strings/cluster.ts";
import { vm as vmText } from "../../strings/vm.ts";
import { Figure } from "../vm/metrics.tsx";

export default function NodeMetricsCard({ node }: { node: Node }) {
	const samples = useNodeSamples(node.id);
	const data = useMemo(() => {
		const cpu: Series[] = [{ label: t.cpu, color: "accent", values: samples.map(({ cpuUsedRatio }) => cpuUsedRatio) }];
		const memory: Series[] = [
			{ label: t.memory, color: "accent", values: samples.map(({ memoryUsedBytes }) => memoryUsedBytes) },
		];
		return { times: samples.map(({ sampledAt }) => Date.parse(sampledAt) / 1000), cpu, memory };
	}, [samples]);
	const last = samples.at(-1);
	const first = samples[0];
	if (!last || !first) {
		return (
			<Card title={t.metrics}>
				<p class="muted">{vmText.metrics.waiting}</p>
			</Card>
		);
	}
	const spanMs = Date.parse(last.sampledAt) - Date.parse(first.sampledAt);
	const since = spanMs < 1000 ? null : vmText.metrics.since(formatDuration(spanMs));
	return (
		<Card title={t.metrics} actions={since && <span class="muted">{since}</span>}>
			<dl class="figures">
				<Figure label={t.cpu} value={formatRatio(last.cpuUsedRatio)} />
				<Figure
					label={t.memory}
					value={`${formatBytes(last.memoryUsedBytes)} / ${formatBytes(last.memoryTotalBytes)}`}
				/>
				<Figure label={t.load} value={last.load1.toFixed(2)} />
				<Figure label={t.vmsRunning} value={String(last.vmsRunning)} />
			</dl>
			<div class="charts">
				<Chart title={t.chartCpu} times={data.times} series={data.cpu} format={formatRatio} max={1} />
				<Chart
					title={t.chartMemory}
					times={data.times}
					series={data.memory}
					format={formatBytes}
					unit="bytes"
					max={last.memoryTotalBytes}
				/>
			</div>
		</Card>
	);
}
