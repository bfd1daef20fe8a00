/** What lies in a pool and in no record, and records whose content is not in it. Looked for when the page is opened: nothing tells of it. */
import { Import, PackageSearch, RefreshCw, Trash2 } from "lucide-preact";
import { useState } from "preact/hooks";
import { isShared } from "../../../../src/model/storage-rules.ts";
import { read } from "../../../api/call.ts";
import { live } from "../../../api/live/live.ts";
import { obstacleTo } from "../../../api/session.ts";
import type { Pool } from "../../../api/types.ts";
import { useCollection, useQuery } from "../../../api/use.ts";
import { StateBadge } from "../../../components/badge.tsx";
import { Button } from "../../../components/button.tsx";
import { EmptyState, ProgressBar } from "../../../components/feedback.tsx";
import { Notice, Stack } from "../../../components/layout.tsx";
import type { Action } from "../../../components/menu.tsx";
import { RefLink } from "../../../components/resource-link.tsx";
import { DataTable } from "../../../components/table/data-table.tsx";
import type { Column } from "../../../components/table/types.ts";
import { formatBytes } from "../../../lib/format.ts";
import { common } from "../../../strings/common.ts";
import { orphans as t } from "../../../strings/orphans.ts";
import { storage } from "../../../strings/storage.ts";
import { nodeColumn, useNodes } from "../../shared/node-column.tsx";
import { AdoptDialog } from "./adopt-dialog.tsx";
import { deleteOrphans } from "./delete.tsx";
import { type OrphanRow, rowsOf } from "./orphans.ts";

/** All of it is listed twice, and what records claim is looked at. */
const lookTimeoutMs = 300_000;

const columns: readonly Column<OrphanRow>[] = [
	{
		id: "what",
		header: t.what,
		cell: ({ kind, orphanId, name }) =>
			name === null ? (
				<span class="mono orphan-id" title={orphanId}>
					{orphanId}
				</span>
			) : (
				<RefLink kind={kind} id={orphanId} name={name} />
			),
		sort: ({ name, orphanId }) => name ?? orphanId,
		fixed: true,
		card: "title",
	},
	{ id: "kind", header: t.kind, cell: ({ kind }) => t.kinds[kind], sort: ({ kind }) => kind, width: "84px" },
	{
		id: "found",
		header: t.found,
		cell: ({ found, reason }) => (
			<StateBadge
				look={{ tone: found === "no-record" ? "amber" : "red", word: t.founds[found] }}
				note={reason ?? t.foundNotes[found]}
			/>
		),
		sort: ({ found }) => found,
		width: "164px",
		fixed: true,
		card: "badge",
	},
	{
		id: "size",
		header: storage.size,
		cell: ({ sizeBytes }) => (sizeBytes === null ? "–" : formatBytes(sizeBytes)),
		sort: ({ sizeBytes }) => sizeBytes,
		width: "90px",
		align: "end",
	},
	{
		id: "allocated",
		header: storage.allocated,
		cell: ({ allocatedBytes }) => (allocatedBytes === null ? "–" : formatBytes(allocatedBytes)),
		sort: ({ allocatedBytes }) => allocatedBytes,
		width: "96px",
		align: "end",
	},
	{ id: "format", header: storage.format, cell: ({ format }) => format ?? "–", width: "80px", card: "none" },
];

export function OrphansTab({ pool }: { pool: Pool }) {
	const obstacle = obstacleTo("poolOrphanList");
	const nodes = useNodes();
	useCollection("volume");
	const [adopting, setAdopting] = useState<OrphanRow | null>(null);
	const query = useQuery(pool.id, async (signal) =>
		obstacle ? null : read("poolOrphanList", { id: pool.id, query: {}, signal, timeoutMs: lookTimeoutMs }),
	);
	if (obstacle) return <EmptyState icon={PackageSearch} title={storage.tabs.orphans} text={obstacle} />;
	const { data, error, loading, reload } = query;
	const remove = async (rows: readonly OrphanRow[], clear?: () => void) => {
		const begun = await deleteOrphans(pool, rows);
		if (begun === null) return;
		clear?.();
		// What is being deleted is left out; what was kept is there again afterwards.
		reload();
		await begun.ended;
		reload();
	};
	const perNode = !isShared(pool) && nodes.length > 1;
	return (
		<Stack>
			<p class="muted">{t.text}</p>
			{data?.unanswered?.map(({ nodeId, nodeName, message }) => (
				<Notice key={nodeId} tone="warning" title={t.unanswered(nodeName)}>
					{message}
				</Notice>
			))}
			{loading && (
				<div class="orphans__looking" role="status">
					<span class="muted">{t.looking}</span>
					<ProgressBar percent={null} label={t.looking} />
				</div>
			)}
			<DataTable
				name="pool-orphans"
				caption={storage.tabs.orphans}
				rows={rowsOf(data?.items ?? [])}
				columns={perNode ? [...columns.slice(0, 3), nodeColumn, ...columns.slice(3)] : columns}
				rowLabel={({ name, orphanId }) => name ?? orphanId}
				inAddress={false}
				state={error ? "error" : data ? "ready" : "loading"}
				error={error}
				onRetry={reload}
				tools={
					<Button small icon={RefreshCw} busy={loading} onClick={reload}>
						{t.lookAgain}
					</Button>
				}
				rowActions={(row) => [
					{
						id: "adopt",
						label: t.adopt,
						icon: Import,
						obstacle: obstacleTo("poolOrphanAdopt") ?? adoptObstacle(row),
						onSelect: () => setAdopting(row),
					},
					{
						id: "delete",
						label: row.found === "no-record" ? t.delete : t.deleteRecord,
						icon: Trash2,
						danger: true,
						divided: true,
						obstacle: deleteObstacle(row),
						onSelect: () => void remove([row]),
					},
				]}
				bulkActions={(rows, clear) => [bulkDelete(rows, (able) => void remove(able, clear))]}
				empty={
					<EmptyState icon={PackageSearch} title={t.empty} text={t.emptyText}>
						<Button icon={RefreshCw} busy={loading} onClick={reload}>
							{t.lookAgain}
						</Button>
					</EmptyState>
				}
			/>
			{adopting && <AdoptDialog pool={pool} row={adopting} onClose={() => setAdopting(null)} />}
		</Stack>
	);
}

const adoptObstacle = ({ kind, found }: OrphanRow): string | null =>
	found === "no-content" ? t.adoptRecord : kind === "image" ? t.adoptImage : null;

function deleteObstacle({ kind, found, orphanId }: OrphanRow): string | null {
	if (found === "no-record") return obstacleTo("poolOrphanDelete");
	if (kind === "image") return obstacleTo("imageDelete");
	const attached = (live.volume.one(orphanId).value?.vmId ?? null) !== null;
	return obstacleTo("volumeDelete") ?? (attached ? storage.inUse : null);
}

function bulkDelete(rows: readonly OrphanRow[], onDelete: (able: readonly OrphanRow[]) => void): Action {
	const able = rows.filter((row) => deleteObstacle(row) === null);
	const [first] = rows;
	const counted = able.length === rows.length || able.length === 0;
	return {
		id: "delete",
		label: counted ? t.delete : `${t.delete} (${able.length})`,
		icon: Trash2,
		danger: true,
		obstacle: able.length > 0 || !first ? null : (deleteObstacle(first) ?? common.loading),
		onSelect: () => onDelete(able),
	};
}
