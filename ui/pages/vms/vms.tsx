/** The list of VMs. */

import { Monitor, Play, Plus } from "lucide-preact";
import { useMemo } from "preact/hooks";
import { useLocation } from "preact-iso";
import { cluster, live } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Vm } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { StateBadge, Tags, WarningMark } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink, ResourceLink } from "../../components/resource-link.tsx";
import { vmLook } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column, Filter } from "../../components/table/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { states } from "../../strings/states.ts";
import { vm as t } from "../../strings/vm.ts";
import { startDemo } from "../overview/demo.ts";
import { nodeNames } from "../shared/node-names.ts";
import { rowActions } from "../vm/vm-actions.ts";
import { bulkActions } from "./bulk-actions.ts";
import "./vms.css";

const addressesOf = (vm: Vm): string[] => vm.status.addresses.map(({ address }) => address);

const columns: readonly Column<Vm>[] = [
	{
		id: "name",
		header: common.name,
		cell: ({ id, name }) => <RefLink kind="vm" id={id} name={name} />,
		sort: ({ name }) => name,
		fixed: true,
		card: "title",
	},
	{
		id: "state",
		header: common.state,
		cell: (vm) => <VmState vm={vm} />,
		sort: (vm) => vmLook(vm).word,
		width: "136px",
		fixed: true,
		card: "badge",
	},
	{
		id: "node",
		header: t.node,
		cell: ({ nodeId }) => <ResourceLink kind="node" id={nodeId} plain />,
		sort: ({ nodeId }) => live.node.peek(nodeId)?.name,
		width: "120px",
	},
	{
		id: "vcpus",
		header: t.vcpus,
		cell: ({ spec }) => spec.cpu.vcpus,
		sort: ({ spec }) => spec.cpu.vcpus,
		width: "84px",
		align: "end",
		card: "none",
	},
	{
		id: "memory",
		header: t.memory,
		cell: ({ spec }) => formatBytes(spec.memory.sizeBytes),
		sort: ({ spec }) => spec.memory.sizeBytes,
		width: "100px",
		align: "end",
	},
	{
		id: "addresses",
		header: t.addresses,
		cell: (vm) => <span title={addressesOf(vm).join("\n")}>{addressesOf(vm).join(", ") || "–"}</span>,
		sort: (vm) => addressesOf(vm)[0],
		width: "150px",
	},
	{ id: "tags", header: common.tags, cell: ({ tags }) => <Tags tags={tags} />, width: "17%", card: "none" },
	{
		id: "started",
		header: t.started,
		cell: ({ status }) => <RelativeTime time={status.startedAt} />,
		sort: ({ status }) => status.startedAt,
		width: "130px",
		hidden: true,
	},
	{
		id: "createdAt",
		header: common.created,
		cell: ({ createdAt }) => <RelativeTime time={createdAt} />,
		sort: ({ createdAt }) => createdAt,
		width: "116px",
		card: "none",
	},
	{
		id: "disks",
		header: t.disks,
		cell: ({ spec }) => spec.disks.length,
		sort: ({ spec }) => spec.disks.length,
		width: "80px",
		align: "end",
		hidden: true,
	},
	{
		id: "firmware",
		header: t.firmware,
		cell: ({ spec }) => t.firmwares[spec.firmware],
		sort: ({ spec }) => spec.firmware,
		width: "120px",
		hidden: true,
	},
	{ id: "id", header: common.id, cell: ({ id }) => <span class="mono">{id}</span>, width: "310px", hidden: true },
];

/** With a single node its name says nothing. */
const oneNodeColumns = columns.map((column) => (column.id === "node" ? { ...column, hidden: true } : column));

export function VmState({ vm }: { vm: Vm }) {
	const { error, pendingRestart, reason } = vm.status;
	const node = live.node.one(vm.nodeId).value;
	return (
		<span class="vm-state">
			<StateBadge look={vmLook(vm)} note={reason} />
			{vm.alsoRunsOn !== undefined && <WarningMark text={t.alsoRunsOn(nodeNames(vm.alsoRunsOn))} severe />}
			{node?.status.phase === "not-ready" && <WarningMark text={t.nodeAway(node.name)} />}
			{error && <WarningMark text={t.hasError(error.message)} />}
			{!error && pendingRestart && <WarningMark text={t.pendingRestart} />}
		</span>
	);
}

function useFilters(vms: readonly Vm[], nodeCount: number): Filter<Vm>[] {
	const tags = useMemo(() => [...new Set(vms.flatMap((vm) => vm.tags))].sort(), [vms]);
	const networks = useCollection("network").items.value;
	const askedNetwork = useLocation().query.network;
	const filters: Filter<Vm>[] = [
		{
			id: "state",
			label: t.filterState,
			choices: Object.entries(states.power).map(([value, label]) => ({ value, label })),
			matches: ({ status }, chosen) => chosen.includes(status.powerState),
		},
	];
	if (nodeCount > 1) {
		filters.push({
			id: "node",
			label: t.filterNode,
			choices: live.node.items.value.map(({ id, name }) => ({ value: id, label: name })),
			matches: ({ nodeId }, chosen) => chosen.includes(nodeId),
		});
	}
	if (tags.length > 0) {
		filters.push({
			id: "tag",
			label: t.filterTag,
			choices: tags.map((tag) => ({ value: tag, label: tag })),
			matches: (vm, chosen) => chosen.some((tag) => vm.tags.includes(tag)),
		});
	}
	// Networks are asked for by their pages; one that all VMs have says nothing.
	if (networks.length > 1 || askedNetwork !== undefined) {
		filters.push({
			id: "network",
			label: t.tabs.network,
			choices: networks.map(({ id, name }) => ({ value: id, label: name })),
			matches: ({ spec }, chosen) => spec.nics.some(({ networkId }) => chosen.includes(networkId)),
		});
	}
	return filters;
}

export default function VmsPage() {
	const { route } = useLocation();
	const vms = useCollection("vm");
	const nodes = useCollection("node");
	const rows = vms.items.value;
	const filters = useFilters(rows, nodes.count.value);
	return (
		<Page
			title={t.title}
			icon={resourceIcons.vm}
			fill
			primary={[
				{ id: "create", label: t.create, icon: Plus, href: href("vmCreate"), obstacle: obstacleTo("vmCreate") },
			]}
		>
			<DataTable
				name="vms"
				caption={t.caption}
				fill
				rows={rows}
				columns={nodes.count.value > 1 ? columns : oneNodeColumns}
				filters={filters}
				rowLabel={({ name }) => name}
				searchText={(vm) => `${vm.name} ${vm.tags.join(" ")} ${addressesOf(vm).join(" ")} ${vm.description}`}
				state={vms.state.value}
				error={vms.error.value}
				partial={vms.partial.value}
				onRetry={() => void vms.reload()}
				dimmed={({ deleting }) => deleting}
				bulkActions={bulkActions}
				rowActions={(vm) => rowActions(vm, route)}
				empty={<NoVms />}
			/>
		</Page>
	);
}

function NoVms() {
	const { route } = useLocation();
	const demo = cluster.value?.demoAvailable === true;
	return (
		<EmptyState icon={Monitor} title={t.emptyTitle} text={demo ? t.emptyTextDemo : t.emptyText}>
			<Button kind="primary" icon={Plus} href={href("vmCreate")} obstacle={obstacleTo("vmCreate")}>
				{t.create}
			</Button>
			{demo && (
				<Button icon={Play} obstacle={obstacleTo("vmCreateDemo")} onClick={() => void startDemo(route)}>
					{t.demo}
				</Button>
			)}
		</EmptyState>
	);
}
