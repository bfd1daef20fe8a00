/** The page of one node. */
import { Pencil, Server } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { useClusterStatus } from "../../api/cluster-status.ts";
import { obstacleTo } from "../../api/session.ts";
import type { ClusterMember, Node, Vm } from "../../api/types.ts";
import { useCollection, useObject } from "../../api/use.ts";
import { Label, StateBadge } from "../../components/badge.tsx";
import { Copyable } from "../../components/copy.tsx";
import { EmptyState, ErrorState, PageSkeleton, Skeleton } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Card, Grid, Notice, Properties, Stack, unknownValue } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { nodeLook, vmLook } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { lazyPage } from "../../lib/lazy-page.tsx";
import { useParams } from "../../lib/params.ts";
import { href } from "../../routes.ts";
import { cluster as t } from "../../strings/cluster.ts";
import { common } from "../../strings/common.ts";
import { members as m } from "../../strings/members.ts";
import { overview } from "../../strings/overview.ts";
import { vm as vmText } from "../../strings/vm.ts";
import { EditObjectPanel } from "../shared/edit-object.tsx";
import { rowActions } from "../vm/vm-actions.ts";
import { VmState } from "../vms/vms.tsx";
import { CertificateEnd, CertificateNotice } from "./certificate.tsx";
import { ClockNotice, ClockOffset } from "./clock.tsx";
import { ForeignVms } from "./foreign-vms.tsx";
import { useMemberDialogs } from "./member-actions.tsx";
import "../vm/vm.css";

const tabIds = ["summary", "vms", "foreign"] as const;
const NodeMetrics = lazyPage(
	() => import("./metrics.tsx"),
	<Card title={t.metrics}>
		<Skeleton lines={4} />
	</Card>,
);

export default function NodePage() {
	const { nodeId } = useParams<"node">();
	const known = useObject("node", nodeId);
	if (known.state === "loading") return <PageSkeleton />;
	if (known.state === "error") return <ErrorState error={known.error} onRetry={known.retry} />;
	if (known.state === "gone") return <EmptyState icon={Server} title={common.notFoundTitle} text={t.gone} />;
	return <NodeView node={known.object} />;
}

function NodeView({ node }: { node: Node }) {
	const asked = useParams<"node">().tab;
	const tabs = tabIds.filter((id) => !node.witness || id === "summary");
	const tab = tabs.find((id) => id === asked) ?? "summary";
	const status = useClusterStatus();
	const member = status?.members.find(({ nodeId }) => nodeId === node.id);
	const { actionsOf, dialog } = useMemberDialogs(status);
	const [editing, setEditing] = useState(false);
	const vms = useCollection("vm").items.value.filter(({ nodeId }) => nodeId === node.id);
	return (
		<Page
			title={node.name}
			icon={resourceIcons.node}
			parent={{ label: t.title, href: href("cluster") }}
			badges={
				<>
					<StateBadge look={nodeLook(node.status.phase)} note={node.status.reason} />
					{member?.role === "leader" && <Label tone="green">{m.roles.leader}</Label>}
					{node.witness && <Label tone="amber">{m.witness}</Label>}
				</>
			}
			menu={
				member
					? actionsOf(member)
					: [
							{
								id: "rename",
								label: t.renameNode,
								icon: Pencil,
								obstacle: obstacleTo("nodeUpdate") ?? (node.status.phase === "left" ? m.obstacles.gone : null),
								onSelect: () => setEditing(true),
							},
						]
			}
			tabs={tabs.map((id) => ({
				id,
				label: t.tabs[id],
				href: href("node", { nodeId: node.id, tab: id === "summary" ? undefined : id }),
				count: id === "vms" ? vms.length : undefined,
			}))}
			currentTab={tab}
			tabsLabel={t.tabsLabel}
		>
			{tab === "summary" && <Summary node={node} member={member} />}
			{tab === "vms" && <NodeVms vms={vms} />}
			{tab === "foreign" && <ForeignVms nodeId={node.id} />}
			{dialog}
			{editing && (
				<EditObjectPanel
					title={t.renameNode}
					failed={t.renameFailed}
					operation="nodeUpdate"
					object={node}
					onClose={() => setEditing(false)}
				/>
			)}
		</Page>
	);
}

function Summary({ node, member }: { node: Node; member: ClusterMember | undefined }) {
	const { status } = node;
	return (
		<Stack>
			{status.phase === "left" ? (
				<Notice tone="warning" title={status.reason ?? undefined}>
					{m.leftNote(node.name)}
				</Notice>
			) : (
				status.reason !== null && status.phase !== "ready" && <Notice tone="error">{status.reason}</Notice>
			)}
			{member && <CertificateNotice member={member} />}
			{member && <ClockNotice member={member} />}
			{status.accelerator === "tcg" && (
				<Notice tone="warning" title={overview.tcgTitle}>
					{status.acceleratorReason}
				</Notice>
			)}
			{status.phase !== "left" && !node.witness && <NodeMetrics node={node} />}
			<Grid wide>
				<Card title={t.status}>
					<Properties
						items={[
							[t.phase, <StateBadge key="phase" look={nodeLook(status.phase)} />],
							!node.witness && [t.hypervisor, status.lost ? unknownValue : t.hypervisorStates[status.hypervisor]],
							status.hypervisorVersion !== null && [t.hypervisorVersion, status.hypervisorVersion],
							!node.witness && [
								t.accelerator,
								status.accelerator === null ? unknownValue : t.acceleratorNames[status.accelerator],
							],
							status.acceleratorReason !== null && [t.reason, status.acceleratorReason],
							[t.version, status.version],
							[m.addresses, node.peerAddresses.length === 0 ? unknownValue : node.peerAddresses.join(", ")],
							member !== undefined && [m.certificate, <CertificateEnd key="certificate" member={member} />],
							member !== undefined &&
								member.clockOffsetMs !== null && [m.clock, <ClockOffset key="clock" member={member} />],
							[t.updated, <RelativeTime key="updated" time={status.updatedAt} />],
						]}
					/>
				</Card>
				<Card title={node.witness ? m.witness : t.hardware}>
					<Properties
						items={[
							// A witness does not look what it runs on.
							...(node.witness ? [] : hardwareOf(status)),
							[common.id, <Copyable key="id" text={node.id} what={common.id} />],
						]}
					/>
				</Card>
			</Grid>
		</Stack>
	);
}

const hardwareOf = (status: Node["status"]): [string, ComponentChildren][] => [
	[t.cpuModel, status.cpuModel ?? unknownValue],
	[t.cpus, status.cpuCount],
	[t.memory, formatBytes(status.memoryBytes)],
	[t.bridges, status.bridges.length === 0 ? common.none : status.bridges.join(", ")],
	[t.booted, <RelativeTime key="booted" time={status.bootedAt} />],
];

const vmColumns: readonly Column<Vm>[] = [
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
		width: "140px",
		card: "badge",
		fixed: true,
	},
	{
		id: "vcpus",
		header: vmText.vcpus,
		cell: ({ spec }) => spec.cpu.vcpus,
		sort: ({ spec }) => spec.cpu.vcpus,
		width: "90px",
		align: "end",
	},
	{
		id: "memory",
		header: vmText.memory,
		cell: ({ spec }) => formatBytes(spec.memory.sizeBytes),
		sort: ({ spec }) => spec.memory.sizeBytes,
		width: "110px",
		align: "end",
	},
];

function NodeVms({ vms }: { vms: readonly Vm[] }) {
	const { route } = useLocation();
	return (
		<DataTable
			name="node-vms"
			caption={t.vmsCaption}
			rows={vms}
			columns={vmColumns}
			rowLabel={({ name }) => name}
			searchText={({ name }) => name}
			rowActions={(vm) => rowActions(vm, route)}
			empty={<EmptyState icon={resourceIcons.vm} title={t.noVms} text={t.noVmsText} />}
		/>
	);
}
