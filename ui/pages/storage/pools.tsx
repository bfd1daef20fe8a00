/** The list of storage pools. */

import { Database, Plus } from "lucide-preact";
import { useLocation } from "preact-iso";
import { poolPlace, poolUsage } from "../../../src/model/storage-rules.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Pool } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { StateBadge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { EmptyState, UsageBar } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Page } from "../../components/page.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { poolLook } from "../../components/states.ts";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { usageNote } from "./choices.ts";
import { poolActions } from "./pool-actions.ts";
import { HealthMarks } from "./pool-health.tsx";
import { storageTabs } from "./tabs.ts";
import "./storage.css";

const columns: readonly Column<Pool>[] = [
	{
		id: "name",
		header: common.name,
		cell: ({ id, name }) => <RefLink kind="pool" id={id} name={name} />,
		sort: ({ name }) => name,
		fixed: true,
		card: "title",
	},
	{
		id: "state",
		header: common.state,
		cell: ({ phase, nodes }) => (
			<StateBadge look={poolLook(phase)} note={nodes.find(({ reason }) => reason !== null)?.reason} />
		),
		sort: ({ phase }) => phase,
		width: "112px",
		fixed: true,
		card: "badge",
	},
	{ id: "type", header: t.type, cell: ({ type }) => t.types[type], sort: ({ type }) => type, width: "124px" },
	{
		id: "place",
		header: t.place,
		cell: ({ config }) => (
			<span class="mono" title={poolPlace(config)}>
				{poolPlace(config)}
			</span>
		),
		sort: ({ config }) => poolPlace(config),
		width: "22%",
	},
	{
		id: "usage",
		header: t.usage,
		cell: (pool) => <PoolUsage pool={pool} />,
		sort: (pool) => {
			const usage = poolUsage(pool);
			return usage ? usage.usedBytes / usage.totalBytes : null;
		},
		width: "27%",
	},
	{
		id: "health",
		header: t.nodes,
		cell: (pool) => <HealthMarks pool={pool} />,
		width: "88px",
	},
];

export function PoolUsage({ pool }: { pool: Pool }) {
	const usage = poolUsage(pool);
	if (!usage) return <span class="muted">{common.notYetKnown}</span>;
	const note = usageNote(usage);
	return (
		<span class={`pool-usage${usage.isOld ? " pool-usage--old" : ""}`} title={note ?? undefined}>
			<UsageBar used={usage.usedBytes} total={usage.totalBytes} label={t.usageOf(pool.name)} />
			<span>
				{t.usedOf(formatBytes(usage.usedBytes), formatBytes(usage.totalBytes))}
				{note !== null && <span class="visually-hidden"> {note}</span>}
				{usage.leftOut.length > 0 && !usage.isOld && <span class="muted"> {t.withoutNodes(usage.leftOut.length)}</span>}
			</span>
		</span>
	);
}

export default function PoolsPage() {
	const { route } = useLocation();
	const pools = useCollection("pool");
	// What is in a pool keeps it.
	useCollection("volume");
	useCollection("image");
	useCollection("task");
	const obstacle = obstacleTo("poolCreate");
	return (
		<Page
			title={t.title}
			icon={resourceIcons.pool}
			tabs={storageTabs}
			currentTab="pools"
			primary={[{ id: "create", label: t.createPool, icon: Plus, obstacle, href: href("poolCreate") }]}
		>
			<DataTable
				name="pools"
				caption={t.poolsCaption}
				rows={pools.items.value}
				columns={columns}
				rowLabel={({ name }) => name}
				state={pools.state.value}
				error={pools.error.value}
				onRetry={() => void pools.reload()}
				rowActions={(pool) => poolActions(pool, route)}
				empty={
					<EmptyState icon={Database} title={t.noPools} text={t.noPoolsText}>
						<Button kind="primary" icon={Plus} obstacle={obstacle} href={href("poolCreate")}>
							{t.createPool}
						</Button>
					</EmptyState>
				}
			/>
		</Page>
	);
}
