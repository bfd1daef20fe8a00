/** The VM's figures of the moment, and how they went in the last hour. */
import { type Signal, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { useVmSamples } from "../../api/metrics.ts";
import type { Vm, VmMetrics } from "../../api/types.ts";
import Chart, { type Series, type TimeSpan } from "../../components/chart.tsx";
import { ChartSpan } from "../../components/chart-span.tsx";
import { Card } from "../../components/layout.tsx";
import { formatBytes, formatRate, formatRatio } from "../../lib/format.ts";
import { vm as t } from "../../strings/vm.ts";

const m = t.metrics;

export default function VmMetricsCard({ vm }: { vm: Vm }) {
	const running = vm.status.powerState === "running" || vm.status.powerState === "paused";
	const { samples, current, loaded, failure } = useVmSamples(vm.id, running);
	const times = useMemo(() => samples.map(({ sampledAt }) => Date.parse(sampledAt) / 1000), [samples]);
	const zoom = useSignal<TimeSpan | null>(null);
	if (samples.length === 0) {
		return (
			<Card title={m.title}>
				<p class="muted">{failure ? m.unreached(failure.message) : running || !loaded ? m.waiting : m.notRunning}</p>
			</Card>
		);
	}
	return (
		<Card title={m.title} actions={<ChartSpan times={times} zoom={zoom} />}>
			{failure && <p class="muted">{m.unreached(failure.message)}</p>}
			{running ? !failure && <Figures current={current} /> : <p class="muted">{m.stopped}</p>}
			<Charts samples={samples} times={times} zoom={zoom} memoryBytes={vm.spec.memory.sizeBytes} />
		</Card>
	);
}

function Figures({ current }: { current: VmMetrics | null }) {
	if (current === null) return <p class="muted">{m.noneNow}</p>;
	const { memoryUsedBytes } = current;
	return (
		<dl class="figures">
			<Figure label={m.cpu} value={formatRatio(current.cpuUsedRatio)} />
			<Figure label={m.memory} value={memoryUsedBytes === null ? "–" : formatBytes(memoryUsedBytes)} />
			<Figure label={m.diskRead} value={formatRate(current.diskReadBytesPerSecond)} />
			<Figure label={m.diskWrite} value={formatRate(current.diskWriteBytesPerSecond)} />
			<Figure label={m.netReceived} value={formatRate(current.netReceivedBytesPerSecond)} />
			<Figure label={m.netSent} value={formatRate(current.netSentBytesPerSecond)} />
		</dl>
	);
}

export function Figure({ label, value }: { label: string; value: string }) {
	return (
		<div class="figures__figure">
			<dt>{label}</dt>
			<dd>{value}</dd>
		</div>
	);
}

type ChartsProps = {
	samples: readonly VmMetrics[];
	times: readonly number[];
	zoom: Signal<TimeSpan | null>;
	memoryBytes: number;
};

function Charts({ samples, times, zoom, memoryBytes }: ChartsProps) {
	const data = useMemo(() => {
		const line = (label: string, color: Series["color"], value: (sample: VmMetrics) => number | null): Series => ({
			label,
			color,
			values: samples.map(value),
		});
		return {
			cpu: [line(m.cpu, "accent", ({ cpuUsedRatio }) => cpuUsedRatio)],
			memory: [line(m.memory, "accent", ({ memoryUsedBytes }) => memoryUsedBytes)],
			disk: [
				line(m.read, "accent", ({ diskReadBytesPerSecond }) => diskReadBytesPerSecond),
				line(m.write, "green", ({ diskWriteBytesPerSecond }) => diskWriteBytesPerSecond),
			],
			network: [
				line(m.received, "accent", ({ netReceivedBytesPerSecond }) => netReceivedBytesPerSecond),
				line(m.sent, "green", ({ netSentBytesPerSecond }) => netSentBytesPerSecond),
			],
		};
	}, [samples]);
	const shared = { times, zoom };
	return (
		<div class="charts">
			<Chart {...shared} title={m.chartCpu} series={data.cpu} format={formatRatio} max={1} />
			<Chart
				{...shared}
				title={m.chartMemory}
				series={data.memory}
				format={formatBytes}
				unit="bytes"
				max={memoryBytes}
			/>
			<Chart {...shared} title={m.chartDisk} series={data.disk} format={formatRate} unit="bytes" />
			<Chart {...shared} title={m.chartNetwork} series={data.network} format={formatRate} unit="bytes" />
		</div>
	);
}
