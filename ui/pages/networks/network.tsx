/** The page of one network. */
import { Network as NetworkIcon, Pencil } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { read } from "../../api/call.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Lease, Network } from "../../api/types.ts";
import { useCollection, useObject, useQuery } from "../../api/use.ts";
import { Label, StateBadge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { Copyable } from "../../components/copy.tsx";
import { EmptyState, ErrorState, PageSkeleton } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Card, Grid, Notice, Properties, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink, ResourceLink } from "../../components/resource-link.tsx";
import { networkLook } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { formatCount } from "../../lib/format.ts";
import { useParams } from "../../lib/params.ts";
import { byName } from "../../lib/sort.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { networks as t } from "../../strings/networks.ts";
import { states } from "../../strings/states.ts";
import { EditObjectPanel } from "../shared/edit-object.tsx";
import { networkActions } from "./network-actions.ts";

export default function NetworkPage() {
	const { networkId } = useParams<"network">();
	const known = useObject("network", networkId);
	if (known.state === "loading") return <PageSkeleton />;
	if (known.state === "error") return <ErrorState error={known.error} onRetry={known.retry} />;
	if (known.state === "gone") return <EmptyState icon={NetworkIcon} title={common.notFoundTitle} text={t.gone} />;
	return <NetworkView network={known.object} />;
}

function NetworkView({ network }: { network: Network }) {
	const { route } = useLocation();
	const tab = useParams<"network">().tab === "leases" ? "leases" : "summary";
	const [editing, setEditing] = useState(false);
	useCollection("vm").items.value;
	return (
		<Page
			title={network.name}
			icon={resourceIcons.network}
			parent={{ label: t.title, href: href("networks") }}
			badges={
				<>
					<StateBadge look={networkLook(network)} />
					<Label>{t.kinds[network.config.kind]}</Label>
				</>
			}
			menu={[
				{
					id: "edit",
					label: t.edit,
					icon: Pencil,
					obstacle: obstacleTo("networkUpdate"),
					onSelect: () => setEditing(true),
				},
				...networkActions(network, route).filter(({ id }) => id === "delete"),
			]}
			tabs={(["summary", "leases"] as const).map((id) => ({
				id,
				label: t.tabs[id],
				href: href("network", { networkId: network.id, tab: id === "summary" ? undefined : id }),
			}))}
			currentTab={tab}
			tabsLabel={t.tabsLabel}
		>
			{tab === "summary" ? <Summary network={network} /> : <Leases network={network} />}
			{editing && (
				<EditObjectPanel
					title={t.editTitle(network.name)}
					failed={t.editFailed}
					operation="networkUpdate"
					object={network}
					onClose={() => setEditing(false)}
				/>
			)}
		</Page>
	);
}

/** The rest is a list of its own. */
const shownVms = 20;

function Summary({ network }: { network: Network }) {
	const { config, description, nodes } = network;
	const connected = useCollection("vm")
		.items.value.filter(({ spec }) => spec.nics.some(({ networkId }) => networkId === network.id))
		.sort(byName);
	return (
		<Stack>
			{nodes
				.filter(({ error }) => error !== null)
				.map(({ nodeId, error }) => (
					<Notice key={nodeId} tone="error" title={t.error}>
						<ResourceLink kind="node" id={nodeId} />: {error?.message}
					</Notice>
				))}
			<Grid wide>
				<Card title={t.details}>
					<Properties
						items={[
							description !== "" && [common.description, description],
							[t.kind, t.kinds[config.kind]],
							...(config.kind === "nat"
								? ([
										[t.gateway, <Copyable key="gateway" text={config.gateway} what={t.gateway} />],
										[t.prefixLength, `/${config.prefixLength}`],
										[t.dhcp, t.dhcpRange(config.dhcpStart, config.dhcpEnd)],
									] as const)
								: ([
										[
											t.bridge,
											<span key="bridge" class="mono">
												{config.bridge}
											</span>,
										],
									] as const)
							).map(([label, value]): [string, ComponentChildren] => [label, value]),
							[common.created, <RelativeTime key="created" time={network.createdAt} />],
							[common.id, <Copyable key="id" text={network.id} what={common.id} />],
						]}
					/>
				</Card>
				<Card title={t.connected}>
					{connected.length === 0 ? (
						<p class="muted">{t.none}</p>
					) : (
						<ul class="plain-list">
							{connected.slice(0, shownVms).map(({ id, name }) => (
								<li key={id}>
									<RefLink kind="vm" id={id} name={name} />
								</li>
							))}
							{connected.length > shownVms && (
								<li>
									<a href={`${href("vms")}?network=${network.id}`}>{t.allConnected(formatCount(connected.length))}</a>
								</li>
							)}
						</ul>
					)}
				</Card>
			</Grid>
			<Card title={t.nodes}>
				<ul class="plain-list">
					{nodes.map(({ nodeId, health, bridge }) => (
						<li key={nodeId}>
							<ResourceLink kind="node" id={nodeId} />
							<Label tone={health === "healthy" ? "green" : "red"}>{states.network[health]}</Label>
							{bridge !== null && <span class="mono muted">{bridge}</span>}
						</li>
					))}
				</ul>
			</Card>
		</Stack>
	);
}

type LeaseRow = Lease & { id: string };

const leaseColumns: readonly Column<LeaseRow>[] = [
	{
		id: "address",
		header: t.address,
		cell: ({ address }) => <Copyable text={address} what={address} />,
		sort: ({ address }) => address,
		width: "190px",
		card: "title",
		fixed: true,
	},
	{ id: "hostname", header: t.hostname, cell: ({ hostname }) => hostname ?? "–", sort: ({ hostname }) => hostname },
	{ id: "vm", header: t.vm, cell: ({ vmId }) => <ResourceLink kind="vm" id={vmId} />, width: "190px" },
	{
		id: "mac",
		header: t.mac,
		cell: ({ mac }) => <span class="mono">{mac}</span>,
		sort: ({ mac }) => mac,
		width: "180px",
	},
	{
		id: "expires",
		header: t.expires,
		cell: ({ expiresAt }) => <RelativeTime time={expiresAt} />,
		sort: ({ expiresAt }) => expiresAt,
		width: "130px",
	},
];

function Leases({ network }: { network: Network }) {
	const isNat = network.config.kind === "nat";
	const leases = useQuery(network.id, async (signal) =>
		isNat ? (await read("networkLeaseList", { id: network.id, signal })).items : [],
	);
	const rows = (leases.data ?? []).map((lease) => ({ ...lease, id: `${lease.mac} ${lease.address}` }));
	return (
		<DataTable
			name="leases"
			caption={t.leasesCaption}
			rows={rows}
			columns={leaseColumns}
			rowLabel={({ address }) => address}
			defaultSort="address"
			searchText={({ address, mac, hostname }) => `${address} ${mac} ${hostname ?? ""}`}
			state={leases.data ? "ready" : leases.error ? "error" : "loading"}
			error={leases.error}
			onRetry={leases.reload}
			tools={
				<Button small busy={leases.loading} onClick={leases.reload}>
					{common.reload}
				</Button>
			}
			empty={
				<EmptyState icon={NetworkIcon} title={t.noLeases} text={isNat ? t.noLeasesText : t.bridgeNoLeases}>
					<Button busy={leases.loading} onClick={leases.reload}>
						{common.reload}
					</Button>
				</EmptyState>
			}
		/>
	);
}
