/** The nodes at a glance, with live figures. */

import { useNodeSamples } from "../../api/metrics.ts";
import type { Node } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Label, StateBadge } from "../../components/badge.tsx";
import { UsageBar } from "../../components/feedback.tsx";
import { Card } from "../../components/layout.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { nodeLook } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { formatBytes, formatRatio } from "../../lib/format.ts";
import { cluster as clusterText } from "../../strings/cluster.ts";
import { common } from "../../strings/common.ts";
import { overview as t } from "../../strings/overview.ts";

export const nodeColumns: readonly Column<Node>[] = [
	{
		id: "name",
		header: common.name,
		cell: ({ id, name }) => <RefLink kind="node" id={id} name={name} />,
		sort: ({ name }) => name,
		card: "title",
		fixed: true,
	},
	{
		id: "state",
		header: common.state,
		cell: ({ status }) => <StateBadge look={nodeLook(status.phase)} note={status.reason} />,
		width: "130px",
		card: "badge",
		fixed: true,
	},
	{ id: "cpu", header: clusterText.cpu, cell: (node) => !node.witness && <NodeCpu node={node} />, width: "170px" },
	{
		id: "memory",
		header: clusterText.memory,
		cell: (node) => !node.witness && <NodeMemory node={node} />,
		width: "260px",
	},
	{
		id: "accelerator",
		header: t.accelerator,
		cell: ({ status }) =>
			status.accelerator && (
				<Label tone={status.accelerator === "kvm" ? "green" : "amber"}>{status.accelerator.toUpperCase()}</Label>
			),
		width: "120px",
	},
	{
		id: "up",
		header: clusterText.booted,
		cell: ({ status }) => <RelativeTime time={status.bootedAt} />,
		width: "120px",
	},
];

export function NodesCard() {
	const nodes = useCollection("node");
	return (
		<Card title={t.nodes} flush>
			<DataTable
				name="overview-nodes"
				caption={t.nodes}
				rows={nodes.items.value}
				columns={nodeColumns}
				rowLabel={({ name }) => name}
				state={nodes.state.value}
				error={nodes.error.value}
				onRetry={() => void nodes.reload()}
				inAddress={false}
			/>
		</Card>
	);
}

function NodeCpu({ node }: { node: Node }) {
	const metrics = useNodeSamples(node.id).current;
	return (
		<span class="meter-cell">
			<UsageBar used={metrics?.cpuUsedRatio ?? 0} total={1} label={clusterText.cpuOf(node.name)} />
			<span>{metrics ? formatRatio(metrics.cpuUsedRatio) : "–"}</span>
		</span>
	);
}

function NodeMemory({ node }: { node: Node }) {
	const metrics = useNodeSamples(node.id).current;
	const total = metrics?.memoryTotalBytes ?? node.status.memoryBytes;
	return (
		<span class="meter-cell meter-cell--wide">
			<UsageBar used={metrics?.memoryUsedBytes ?? 0} total={total} label={clusterText.memoryOf(node.name)} />
			<span>{`${metrics ? formatBytes(metrics.memoryUsedBytes) : "–"} / ${formatBytes(total)}`}</span>
		</span>
	);
}
