/** The VM's figures of the moment, and how they went since the page was opened. */
import { useMemo } from "preact/hooks";
import { useVmSamples } from "../../api/metrics.ts";
import type { Vm, VmMetrics } from "../../api/types.ts";
import Chart, { type Series } from "../../components/chart.tsx";
import { Card } from "../../components/layout.tsx";
import { formatBytes, formatDuration, formatRate, formatRatio } from "../../lib/format.ts";
import { vm as t } from "../../strings/vm.ts";

const m = t.metrics;

export default function VmMetricsCard({ vm }: { vm: Vm }) {
	const running = vm.status.powerState === "running" || vm.status.powerState === "paused";
	const samples = useVmSamples(vm.id, running);
	const last = samples.at(-1);
	const first = samples[0];
	if (!running || !last || !first) {
		return (
			<Card title={m.title}>
				<p class="muted">{running ? m.waiting : m.notRunning}</p>
			</Card>
		);
	}
	const spanMs = Date.parse(last.sampledAt) - Date.parse(first.sampledAt);
	const since = spanMs < 1000 ? null : m.since(formatDuration(spanMs));
	return (
		<Card title={m.title} actions={since && <span class="muted">{since}</span>}>
			<dl class="figures">
				<Figure label={m.cpu} value={formatRatio(last.cpuUsedRatio)} />
				<Figure label={m.memory} value={last.memoryUsedBytes === null ? "–" : formatBytes(last.memoryUsedBytes)} />
				<Figure label={m.diskRead} value={formatRate(last.diskReadBytesPerSecond)} />
				<Figure label={m.diskWrite} value={formatRate(last.diskWriteBytesPerSecond)} />
				<Figure label={m.netReceived} value={formatRate(last.netReceivedBytesPerSecond)} />
				<Figure label={m.netSent} value={formatRate(last.netSentBytesPerSecond)} />
			</dl>
			<Charts samples={samples} memoryBytes={vm.spec.memory.sizeBytes} />
		</Card>
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

function Charts({ samples, memoryBytes }: { samples: readonly VmMetrics[]; memoryBytes: number }) {
	const data = useMemo(() => {
		const times = samples.map(({ sampledAt }) => Date.parse(sampledAt) / 1000);
		const line = (label: string, color: Series["color"], value: (sample: VmMetrics) => number | null): Series => ({
			label,
			color,
			values: samples.map(value),
		});
		return {
			times,
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
	return (
		<div class="charts">
			<Chart title={m.chartCpu} times={data.times} series={data.cpu} format={formatRatio} max={1} />
			<Chart
				title={m.chartMemory}
				times={data.times}
				series={data.memory}
				format={formatBytes}
				unit="bytes"
				max={memoryBytes}
			/>
			<Chart title={m.chartDisk} times={data.times} series={data.disk} format={formatRate} unit="bytes" />
			<Chart title={m.chartNetwork} times={data.times} series={data.network} format={formatRate} unit="bytes" />
		</div>
	);
}
