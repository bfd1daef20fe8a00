/** The cluster and its nodes. */
import { Boxes, Pencil } from "lucide-preact";
import { useState } from "preact/hooks";
import { cluster, refreshCluster } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import { useCollection } from "../../api/use.ts";
import { Label } from "../../components/badge.tsx";
import { Copyable } from "../../components/copy.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { Card, Properties, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import { cluster as t } from "../../strings/cluster.ts";
import { common } from "../../strings/common.ts";
import { nodeColumns } from "../overview/nodes.tsx";
import { EditObjectPanel } from "../shared/edit-object.tsx";

export default function ClusterPage() {
	const info = cluster.value;
	const nodes = useCollection("node");
	const [editing, setEditing] = useState(false);
	return (
		<Page
			title={info?.name ?? t.title}
			icon={Boxes}
			badges={info && <Label tone={info.quorum ? "green" : "red"}>{info.quorum ? t.quorum : t.quorumNo}</Label>}
			menu={[
				{
					id: "rename",
					label: t.rename,
					icon: Pencil,
					obstacle: obstacleTo("clusterUpdate"),
					onSelect: () => setEditing(true),
				},
			]}
		>
			<Stack>
				<Card title={t.nodes} flush>
					<DataTable
						name="nodes"
						caption={t.nodes}
						rows={nodes.items.value}
						columns={nodeColumns}
						rowLabel={({ name }) => name}
						state={nodes.state.value}
						error={nodes.error.value}
						onRetry={() => void nodes.reload()}
					/>
				</Card>
				<Card title={t.title}>
					{info ? (
						<Properties
							items={[
								[common.name, info.name],
								[t.version, info.version],
								[t.quorum, info.quorum ? t.quorumYes : t.quorumNo],
								[
									t.leader,
									info.leaderNodeId === null ? (
										t.noLeader
									) : (
										<ResourceLink key="leader" kind="node" id={info.leaderNodeId} />
									),
								],
								[common.created, <RelativeTime key="created" time={info.createdAt} />],
								[common.id, <Copyable key="id" text={info.id} what={common.id} />],
							]}
						/>
					) : (
						<Skeleton lines={5} />
					)}
				</Card>
			</Stack>
			{editing && info && (
				<EditObjectPanel
					title={t.rename}
					failed={t.renameFailed}
					operation="clusterUpdate"
					object={info}
					withoutId
					onSaved={() => void refreshCluster()}
					onClose={() => setEditing(false)}
				/>
			)}
		</Page>
	);
}
