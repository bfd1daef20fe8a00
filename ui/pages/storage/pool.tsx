/** The page of one storage pool. */

import { Database, Pencil, Plus } from "lucide-preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { obstacleTo } from "../../api/session.ts";
import type { Pool } from "../../api/types.ts";
import { useCollection, useObject } from "../../api/use.ts";
import { StateBadge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { EmptyState, ErrorState, PageSkeleton } from "../../components/feedback.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Card } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { poolLook } from "../../components/states.ts";
import { formatBytes } from "../../lib/format.ts";
import { useParams } from "../../lib/params.ts";
import { byName } from "../../lib/sort.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { imageObstacle } from "./choices.ts";
import { EditPoolPanel } from "./edit-pool.tsx";
import { OrphansTab } from "./orphans/tab.tsx";
import { poolActions } from "./pool-actions.ts";
import { PoolContentTab } from "./pool-content.tsx";
import { PoolSummary } from "./pool-summary.tsx";
import { VolumesTable } from "./volumes-table.tsx";
import "./storage.css";

const tabIds = ["summary", "volumes", "images", "content", "orphans"] as const;

export default function PoolPage() {
	const { poolId } = useParams<"pool">();
	const known = useObject("pool", poolId);
	if (known.state === "loading") return <PageSkeleton />;
	if (known.state === "error") return <ErrorState error={known.error} onRetry={known.retry} />;
	if (known.state === "gone") return <EmptyState icon={Database} title={common.notFoundTitle} text={t.poolGone} />;
	return <PoolView pool={known.object} />;
}

function PoolView({ pool }: { pool: Pool }) {
	const { route } = useLocation();
	const asked = useParams<"pool">().tab;
	const tab = tabIds.find((id) => id === asked) ?? "summary";
	const [editing, setEditing] = useState(false);
	const volumes = useCollection("volume").items.value.filter(({ poolId }) => poolId === pool.id);
	const images = useCollection("image").items.value.filter(({ poolId }) => poolId === pool.id);
	useCollection("task");
	const counts = {
		...{ summary: undefined, volumes: volumes.length, images: images.length },
		...{ content: undefined, orphans: undefined },
	};
	return (
		<Page
			title={pool.name}
			icon={resourceIcons.pool}
			parent={{ label: t.pools, href: href("storage") }}
			badges={<StateBadge look={poolLook(pool.phase)} />}
			menu={[
				{
					id: "edit",
					label: t.editPool,
					icon: Pencil,
					obstacle: obstacleTo("poolUpdate"),
					onSelect: () => setEditing(true),
				},
				...poolActions(pool, route).filter(({ id }) => id === "delete"),
			]}
			tabs={tabIds.map((id) => ({
				id,
				label: t.tabs[id],
				href: href("pool", { poolId: pool.id, tab: id === "summary" ? undefined : id }),
				count: counts[id],
			}))}
			currentTab={tab}
			tabsLabel={t.tabsLabel}
		>
			{tab === "summary" && <PoolSummary pool={pool} />}
			{tab === "volumes" && <VolumesTable volumes={volumes} inPool />}
			{tab === "content" && <PoolContentTab pool={pool} />}
			{tab === "orphans" && <OrphansTab pool={pool} />}
			{tab === "images" && (
				<Card
					title={t.tabs.images}
					actions={
						<Button
							small
							icon={Plus}
							obstacle={obstacleTo("imageCreate") ?? imageObstacle(pool)}
							href={href("images", undefined, { add: "upload", into: pool.id })}
						>
							{t.addImage}
						</Button>
					}
				>
					{images.length === 0 ? (
						<p class="muted">{t.noImages}</p>
					) : (
						<ul class="plain-list">
							{[...images].sort(byName).map(({ id, name, fileSizeBytes }) => (
								<li key={id}>
									<RefLink kind="image" id={id} name={name} />
									<span class="muted">{fileSizeBytes !== null && formatBytes(fileSizeBytes)}</span>
								</li>
							))}
						</ul>
					)}
				</Card>
			)}
			{editing && <EditPoolPanel pool={pool} onClose={() => setEditing(false)} />}
		</Page>
	);
}
