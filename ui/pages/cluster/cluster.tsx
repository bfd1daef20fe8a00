/** The cluster: whether it may decide, its members, how loaded they are, and who may join. */
import { Boxes, Pencil, Plus } from "lucide-preact";
import { useState } from "preact/hooks";
import { useClusterStatus } from "../../api/cluster-status.ts";
import { cluster, refreshCluster } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import { useCollection } from "../../api/use.ts";
import { Label } from "../../components/badge.tsx";
import { Copyable } from "../../components/copy.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { Card, Properties, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import { cluster as t } from "../../strings/cluster.ts";
import { common } from "../../strings/common.ts";
import { members as m } from "../../strings/members.ts";
import { nodeColumns } from "../overview/nodes.tsx";
import { EditObjectPanel } from "../shared/edit-object.tsx";
import { AddNodePanel } from "./add-node.tsx";
import { OpenTokens, useOpenTokens } from "./join-tokens.tsx";
import { transferAction, useMemberDialogs } from "./member-actions.tsx";
import { MembersTable } from "./members.tsx";
import { QuorumCard } from "./quorum-card.tsx";

export default function ClusterPage() {
	const info = cluster.value;
	const status = useClusterStatus();
	const { actionsOf, dialog } = useMemberDialogs(status);
	const [open, setOpen] = useState<"rename" | "add" | null>(null);
	const close = () => setOpen(null);
	return (
		<Page
			title={info?.name ?? t.title}
			icon={Boxes}
			badges={info && <Label tone={info.quorum ? "green" : "red"}>{info.quorum ? t.quorum : m.noQuorum}</Label>}
			primary={[
				{
					id: "add",
					label: m.add,
					icon: Plus,
					obstacle: obstacleTo("joinTokenCreate"),
					onSelect: () => setOpen("add"),
				},
			]}
			menu={[
				transferAction(status),
				{
					id: "rename",
					label: t.rename,
					icon: Pencil,
					obstacle: obstacleTo("clusterUpdate"),
					onSelect: () => setOpen("rename"),
				},
			]}
		>
			<Stack>
				<QuorumCard status={status} />
				<Card title={m.title} flush>
					<MembersTable status={status} actionsOf={actionsOf} />
				</Card>
				<LoadCard />
				{obstacleTo("joinTokenList") === null && <TokensCard />}
				<AboutCard />
			</Stack>
			{dialog}
			{open === "add" && <AddNodePanel onClose={close} />}
			{open === "rename" && info && (
				<EditObjectPanel
					title={t.rename}
					failed={t.renameFailed}
					operation="clusterUpdate"
					object={info}
					withoutId
					onSaved={() => void refreshCluster()}
					onClose={close}
				/>
			)}
		</Page>
	);
}

/** What has left is there as long as something refers to it. */
function LoadCard() {
	const nodes = useCollection("node");
	return (
		<Card title={m.load} flush>
			<DataTable
				name="nodes"
				caption={t.nodes}
				rows={nodes.items.value}
				columns={nodeColumns}
				rowLabel={({ name }) => name}
				inAddress={false}
				state={nodes.state.value}
				error={nodes.error.value}
				onRetry={() => void nodes.reload()}
			/>
		</Card>
	);
}

function TokensCard() {
	const tokens = useOpenTokens();
	if (tokens.length === 0) return null;
	return (
		<Card title={m.openTokens}>
			<p class="muted">{m.openTokensText}</p>
			<OpenTokens tokens={tokens} />
		</Card>
	);
}

function AboutCard() {
	const info = cluster.value;
	return (
		<Card title={t.title}>
			{info ? (
				<Properties
					items={[
						[common.name, info.name],
						[t.version, info.version],
						[common.created, <RelativeTime key="created" time={info.createdAt} />],
						[common.id, <Copyable key="id" text={info.id} what={common.id} />],
					]}
				/>
			) : (
				<Skeleton lines={4} />
			)}
		</Card>
	);
}
