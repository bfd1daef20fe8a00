/** What really lies in a pool, as one of its nodes finds it now: folder by folder where it has folders. Folder and node are in the address. */
import { FolderOpen, RefreshCw } from "lucide-preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { isShared, poolPlace } from "../../../src/model/storage-rules.ts";
import { read } from "../../api/call.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Pool } from "../../api/types.ts";
import { useQuery } from "../../api/use.ts";
import { Button } from "../../components/button.tsx";
import { EmptyState, ErrorState } from "../../components/feedback.tsx";
import { SelectField } from "../../components/fields.tsx";
import { Notice, Stack } from "../../components/layout.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import { formatCount } from "../../lib/format.ts";
import { useUrlState } from "../../lib/url-state.ts";
import { visibleName } from "../../lib/visible-name.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { poolContent as t } from "../../strings/pool-content.ts";
import { useNodes } from "../shared/node-column.tsx";
import { type ContentRow, contentColumns, contentFilters } from "./pool-content-columns.tsx";
import "./pool-content.css";

/** As long as the node itself looks, and some. */
const limitMs = 100_000;
const slowMs = 4_000;

export function PoolContentTab({ pool }: { pool: Pool }) {
	const obstacle = obstacleTo("poolContentList");
	if (obstacle !== null) return <EmptyState icon={FolderOpen} title={t.notAllowed} text={obstacle} />;
	return <Content pool={pool} />;
}

function Content({ pool }: { pool: Pool }) {
	const address = useUrlState();
	const folder = address.get("folder");
	const all = useNodes();
	const nodes = isShared(pool) ? [] : all.filter(({ id }) => pool.nodeIds.includes(id));
	const asked = address.get("node");
	const nodeId = isShared(pool)
		? ""
		: (pool.nodeIds.find((id) => id === asked) ?? nodes[0]?.id ?? pool.nodeIds[0] ?? "");
	const key = `${pool.id} ${nodeId} ${folder}`;
	const look = useQuery(key, async (signal) => {
		const query = { folder: folder || undefined, nodeId: nodeId || undefined };
		return { key, ...(await read("poolContentList", { id: pool.id, query, signal, timeoutMs: limitMs })) };
	});
	// Of another folder until the answer is there.
	const found = look.data?.key === key ? look.data : undefined;
	const failed = look.error !== null && !look.loading;
	const hasFolders = pool.type === "local" || pool.type === "nfs";
	const node = asked === "" ? undefined : nodeId;
	const folderHref = (to: string) => href("pool", { poolId: pool.id, tab: "content" }, { folder: to, node });
	// The same ones from one render to the next: thousands are sorted when they change.
	const rows = useMemo(() => found?.items.map((item, at): ContentRow => ({ ...item, id: `${at}` })) ?? [], [found]);
	const columns = useMemo(
		() => contentColumns(rows, (name) => folderHref(folder === "" ? name : `${folder}/${name}`)),
		[rows, key, node],
	);
	return (
		<Stack>
			<div class="pool-content__bar">
				{hasFolders ? (
					<Path poolName={pool.name} folder={folder} folderHref={folderHref} />
				) : (
					<span class="pool-content__path mono">{poolPlace(pool.config)}</span>
				)}
				<span class="pool-content__gap" />
				{nodes.length > 1 && (
					<SelectField
						label={t.node}
						value={nodeId}
						choices={nodes.map(({ id, name }) => ({ value: id, label: name }))}
						// Another node has other folders.
						onChange={(chosen) => address.set({ node: chosen, folder: "" })}
					/>
				)}
				<Button icon={RefreshCw} busy={look.loading} onClick={look.reload}>
					{common.reload}
				</Button>
			</div>
			{look.loading && <SlowNote key={key} />}
			{found?.truncated && !failed && (
				<Notice tone="warning" title={t.truncatedTitle}>
					{t.truncated(formatCount(rows.length))}
				</Notice>
			)}
			{failed && look.error ? (
				<>
					<ErrorState error={look.error} title={t.failed} onRetry={look.reload} />
					{folder !== "" && (
						<p class="pool-content__to-top">
							<a href={folderHref("")}>{t.toTop}</a>
						</p>
					)}
				</>
			) : (
				<DataTable
					key={key}
					name={`pool-content-${pool.type}`}
					caption={t.caption(pool.name)}
					rows={rows}
					columns={columns}
					filters={contentFilters}
					rowLabel={({ name }) => visibleName(name)}
					searchText={({ name, belongsTo }) => `${name} ${belongsTo?.name ?? ""} ${belongsTo?.id ?? ""}`}
					state={found ? "ready" : "loading"}
					empty={
						<EmptyState
							icon={FolderOpen}
							title={t.empty}
							text={folder === "" && !hasFolders ? t.emptyPoolText : t.emptyText}
						/>
					}
				/>
			)}
		</Stack>
	);
}

type PathProps = { poolName: string; folder: string; folderHref: (folder: string) => string };

function Path({ poolName, folder, folderHref }: PathProps) {
	const parts = folder === "" ? [] : folder.split("/");
	const steps = [{ label: poolName, to: "" }];
	for (const [at, part] of parts.entries())
		steps.push({ label: visibleName(part), to: parts.slice(0, at + 1).join("/") });
	return (
		<nav class="pool-content__path" aria-label={t.path}>
			<ol>
				{steps.map(({ label, to }, at) => (
					<li key={to}>
						{at === steps.length - 1 ? (
							<strong aria-current="page">{label}</strong>
						) : (
							<a href={folderHref(to)}>{label}</a>
						)}
					</li>
				))}
			</ol>
		</nav>
	);
}

function SlowNote() {
	const [isSlow, setSlow] = useState(false);
	useEffect(() => {
		const timer = setTimeout(() => setSlow(true), slowMs);
		return () => clearTimeout(timer);
	}, []);
	return (
		<p class="muted pool-content__slow" role="status">
			{isSlow && t.slow}
		</p>
	);
}
