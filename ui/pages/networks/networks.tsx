/** The list of networks. */
import { Network as NetworkIcon, Plus } from "lucide-preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { live } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Network } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Label, StateBadge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { networkLook } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { common } from "../../strings/common.ts";
import { networks as t } from "../../strings/networks.ts";
import { CreateNetworkPanel } from "./create-network.tsx";
import { networkActions, nicsOn } from "./network-actions.ts";

/** "192.168.122.0/24 …" or the bridge: what tells networks apart. */
export const networkPlace = ({ config }: Network): string =>
	config.kind === "nat" ? `${config.gateway}/${config.prefixLength}` : config.bridge;

const columns: readonly Column<Network>[] = [
	{
		id: "name",
		header: common.name,
		cell: ({ id, name }) => <RefLink kind="network" id={id} name={name} />,
		sort: ({ name }) => name,
		fixed: true,
		card: "title",
	},
	{
		id: "state",
		header: common.state,
		cell: (network) => (
			<StateBadge
				look={networkLook(network)}
				note={network.nodes.find(({ error }) => error !== null)?.error?.message}
			/>
		),
		sort: (network) => networkLook(network).word,
		width: "126px",
		fixed: true,
		card: "badge",
	},
	{
		id: "kind",
		header: t.kind,
		cell: ({ config }) => <Label>{t.kinds[config.kind]}</Label>,
		sort: ({ config }) => config.kind,
		width: "100px",
	},
	{
		id: "place",
		header: t.place,
		cell: (network) => <span class="mono">{networkPlace(network)}</span>,
		sort: networkPlace,
		width: "200px",
	},
	{
		id: "nics",
		header: t.vmCount,
		cell: ({ id }) => nicsOn(id),
		sort: ({ id }) => nicsOn(id),
		width: "84px",
		align: "end",
	},
	{
		id: "createdAt",
		header: common.created,
		cell: ({ createdAt }) => <RelativeTime time={createdAt} />,
		sort: ({ createdAt }) => createdAt,
		width: "116px",
		card: "none",
	},
];

export default function NetworksPage() {
	const { route } = useLocation();
	const networks = useCollection("network");
	// The numbers of NICs come from the VMs.
	live.vm.items.value;
	const [creating, setCreating] = useState(false);
	const create = () => setCreating(true);
	const obstacle = obstacleTo("networkCreate");
	return (
		<Page
			title={t.title}
			icon={resourceIcons.network}
			primary={[{ id: "create", label: t.create, icon: Plus, obstacle, onSelect: create }]}
		>
			<DataTable
				name="networks"
				caption={t.caption}
				rows={networks.items.value}
				columns={columns}
				rowLabel={({ name }) => name}
				state={networks.state.value}
				error={networks.error.value}
				onRetry={() => void networks.reload()}
				dimmed={({ deleting }) => deleting}
				rowActions={(network) => networkActions(network, route)}
				empty={
					<EmptyState icon={NetworkIcon} title={t.emptyTitle} text={t.emptyText}>
						<Button kind="primary" icon={Plus} obstacle={obstacle} onClick={create}>
							{t.create}
						</Button>
					</EmptyState>
				}
			/>
			{creating && <CreateNetworkPanel onClose={() => setCreating(false)} />}
		</Page>
	);
}
