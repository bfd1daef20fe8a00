/** Volumes as a table: of all pools, or of one. */
import { HardDrive, Plus } from "lucide-preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import type { Collection } from "../../api/live/collection.ts";
import { live } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Volume } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Button } from "../../components/button.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { RelativeTime } from "../../components/relative-time.tsx";
import { RefLink, ResourceLink } from "../../components/resource-link.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column, Filter } from "../../components/table/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { common } from "../../strings/common.ts";
import { states } from "../../strings/states.ts";
import { storage as t } from "../../strings/storage.ts";
import { nodeColumn, nodeFilter, useNodes } from "../shared/node-column.tsx";
import { bulkActions } from "./bulk-actions.ts";
import { CheckVolumeDialog } from "./check-volume-dialog.tsx";
import { CloneDialog } from "./clone-dialog.tsx";
import { MakeImageDialog } from "./make-image-dialog.tsx";
import { MoveVolumeDialog } from "./move-volume-dialog.tsx";
import { ResizeDialog } from "./resize-dialog.tsx";
import { volumeActions } from "./volume-actions.ts";
import { VolumeBadge } from "./volume-badge.tsx";

const { unmade: _, ...phases } = states.volume;

const columns: readonly Column<Volume>[] = [
	{
		id: "name",
		header: common.name,
		cell: ({ id, name }) => <RefLink kind="volume" id={id} name={name} />,
		sort: ({ name }) => name,
		fixed: true,
		card: "title",
	},
	{
		id: "state",
		header: common.state,
		cell: (volume) => <VolumeBadge volume={volume} />,
		sort: ({ phase }) => phase,
		width: "132px",
		fixed: true,
		card: "badge",
	},
	{
		id: "vm",
		header: t.vm,
		cell: ({ vmId }) =>
			vmId === null ? <span class="muted">{t.notAttached}</span> : <ResourceLink kind="vm" id={vmId} />,
		sort: ({ vmId }) => (vmId === null ? null : live.vm.peek(vmId)?.name),
		width: "170px",
	},
	{
		id: "size",
		header: t.size,
		cell: ({ sizeBytes }) => formatBytes(sizeBytes),
		sort: ({ sizeBytes }) => sizeBytes,
		width: "100px",
		align: "end",
	},
	{
		id: "allocated",
		header: t.allocated,
		cell: ({ allocatedBytes }) => (allocatedBytes === null ? "–" : formatBytes(allocatedBytes)),
		sort: ({ allocatedBytes }) => allocatedBytes,
		width: "104px",
		align: "end",
	},
	{
		id: "format",
		header: t.format,
		cell: ({ format }) => format,
		sort: ({ format }) => format,
		width: "90px",
		card: "none",
		hidden: true,
	},
	{
		id: "pool",
		header: t.filterPool,
		cell: ({ poolId }) => <ResourceLink kind="pool" id={poolId} plain />,
		sort: ({ poolId }) => live.pool.peek(poolId)?.name,
		width: "110px",
	},
	{
		id: "createdAt",
		header: common.created,
		cell: ({ createdAt }) => <RelativeTime time={createdAt} />,
		sort: ({ createdAt }) => createdAt,
		width: "110px",
		card: "none",
	},
];

type Props = {
	volumes: readonly Volume[];
	collection?: Collection<Volume>;
	fill?: boolean;
	/** Of one pool: says so by leaving the pool out. */
	inPool?: boolean;
	onCreate?: () => void;
};

export function VolumesTable({ volumes, collection, fill, inPool, onCreate }: Props) {
	const { route } = useLocation();
	useCollection("vm");
	useCollection("task");
	useCollection("image");
	const pools = useCollection("pool").items.value;
	const nodes = useNodes();
	const [cloning, setCloning] = useState<Volume | null>(null);
	const [resizing, setResizing] = useState<Volume | null>(null);
	const [imaging, setImaging] = useState<Volume | null>(null);
	const [moving, setMoving] = useState<readonly Volume[]>([]);
	const [checking, setChecking] = useState<readonly Volume[]>([]);
	const filters: Filter<Volume>[] = [
		{
			id: "state",
			label: t.filterState,
			choices: Object.entries({ ...phases, pending: t.pendingOrUnmade }).map(([value, label]) => ({ value, label })),
			matches: ({ phase }, chosen) => chosen.includes(phase),
		},
		{
			id: "attached",
			label: t.filterAttached,
			choices: [
				{ value: "yes", label: t.attached },
				{ value: "no", label: t.free },
			],
			matches: ({ vmId }, chosen) => chosen.includes(vmId === null ? "no" : "yes"),
		},
		{
			id: "pool",
			label: t.filterPool,
			choices: pools.map(({ id, name }) => ({ value: id, label: name })),
			matches: ({ poolId }, chosen) => chosen.includes(poolId),
		},
	];
	const several = nodes.length > 1;
	const shown = several ? [...columns.slice(0, 3), nodeColumn, ...columns.slice(3)] : columns;
	if (several) filters.push(nodeFilter(nodes));
	return (
		<>
			<DataTable
				name="volumes"
				caption={t.volumesCaption}
				fill={fill}
				rows={volumes}
				columns={inPool ? shown.filter(({ id }) => id !== "pool") : shown}
				filters={inPool ? filters.filter(({ id }) => id !== "pool") : filters}
				rowLabel={({ name }) => name}
				searchText={({ name, vmId }) => `${name} ${vmId === null ? "" : (live.vm.peek(vmId)?.name ?? "")}`}
				state={collection?.state.value}
				error={collection?.error.value}
				partial={collection?.partial.value}
				onRetry={collection && (() => void collection.reload())}
				dimmed={({ phase }) => phase === "deleting"}
				rowActions={(volume) =>
					volumeActions(volume, {
						...{ onClone: setCloning, onResize: setResizing, onMakeImage: setImaging, route },
						onMove: (one) => setMoving([one]),
						onCheck: (one) => setChecking([one]),
					})
				}
				bulkActions={(chosen, clear) => bulkActions(chosen, { clear, onMove: setMoving, onCheck: setChecking })}
				empty={
					<EmptyState icon={HardDrive} title={t.noVolumes} text={t.noVolumesText}>
						{onCreate && (
							<Button kind="primary" icon={Plus} obstacle={obstacleTo("volumeCreate")} onClick={onCreate}>
								{t.createVolume}
							</Button>
						)}
					</EmptyState>
				}
			/>
			{cloning && <CloneDialog volume={cloning} onClose={() => setCloning(null)} />}
			{moving.length > 0 && <MoveVolumeDialog volumes={moving} onClose={() => setMoving([])} />}
			{checking.length > 0 && <CheckVolumeDialog volumes={checking} onClose={() => setChecking([])} />}
			{imaging && <MakeImageDialog volume={imaging} onClose={() => setImaging(null)} />}
			{resizing && <ResizeDialog volume={resizing} onClose={() => setResizing(null)} />}
		</>
	);
}
