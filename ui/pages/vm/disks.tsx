/** The disks and CD-ROM drives of a VM. */
import { Disc, HardDrive, Plus } from "lucide-preact";
import { h } from "preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import type { LoadState } from "../../api/live/collection.ts";
import { toastFailure, toastFailureText } from "../../api/notify.ts";
import type { Vm, Volume } from "../../api/types.ts";
import { useCollection, useSnapshots } from "../../api/use.ts";
import { act } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { confirm } from "../../components/confirm.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { Card, Notice, Stack } from "../../components/layout.tsx";
import type { Action } from "../../components/menu.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { formatBytes } from "../../lib/format.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { devices as t } from "../../strings/devices.ts";
import { storage } from "../../strings/storage.ts";
import { askDeletionObstacle } from "../storage/around-volume.ts";
import { MoveVolumeDialog } from "../storage/move-volume-dialog.tsx";
import { ResizeDialog } from "../storage/resize-dialog.tsx";
import { deleteDetachedObstacle, moveObstacle, resizeObstacle } from "../storage/volume-actions.ts";
import { VolumeBadge } from "../storage/volume-badge.tsx";
import { workObstacle } from "../storage/volume-work.ts";
import { AddDiskPanel } from "./add-disk.tsx";
import { CdromsCard } from "./cdroms.tsx";
import { limitsText } from "./disk-options.ts";
import { DiskProblems } from "./disk-problems.tsx";
import { EditDiskPanel } from "./edit-disk.tsx";
import { followVolumeRelease } from "./release.ts";
import { updateVm } from "./update.ts";
import { obstacleOf } from "./vm-actions.ts";

type DiskRow = Vm["spec"]["disks"][number] & { boot: number; volume: Volume | undefined };

const columns: readonly Column<DiskRow>[] = [
	{ id: "id", header: t.device, cell: ({ id }) => id, width: "84px", fixed: true, card: "title" },
	{ id: "volume", header: t.volume, cell: ({ volumeId }) => <ResourceLink kind="volume" id={volumeId} /> },
	{
		id: "size",
		header: t.size,
		cell: ({ volume }) => volume && formatBytes(volume.sizeBytes),
		width: "90px",
		align: "end",
	},
	{
		id: "allocated",
		header: t.allocated,
		cell: ({ volume }) => (volume?.allocatedBytes == null ? "–" : formatBytes(volume.allocatedBytes)),
		width: "94px",
		align: "end",
		card: "none",
	},
	{
		id: "pool",
		header: t.pool,
		cell: ({ volume }) => volume && <ResourceLink kind="pool" id={volume.poolId} plain />,
		width: "100px",
	},
	{
		id: "limits",
		header: t.limits,
		cell: ({ limits }) => <span title={limitsText(limits) ?? ""}>{limitsText(limits) ?? "–"}</span>,
		width: "180px",
	},
	{
		id: "bus",
		header: t.bus,
		cell: ({ bus, volume }) => `${t.buses[bus]}${volume ? `, ${volume.format}` : ""}`,
		width: "120px",
	},
	{
		id: "boot",
		header: t.bootOrder,
		cell: ({ boot }) => (boot < 0 ? "–" : boot + 1),
		width: "100px",
		align: "end",
		card: "none",
	},
	{
		id: "state",
		header: t.state,
		cell: ({ volume }) => volume && <VolumeBadge volume={volume} />,
		width: "132px",
		card: "badge",
	},
];

const columnsWithoutLimits = columns.filter(({ id }) => id !== "limits");

export function DisksTab({ vm }: { vm: Vm }) {
	const { route } = useLocation();
	const volumes = useCollection("volume");
	useCollection("pool");
	useCollection("task");
	const [adding, setAdding] = useState(false);
	const [editing, setEditing] = useState<string | null>(null);
	const [resizing, setResizing] = useState<Volume | null>(null);
	const [moving, setMoving] = useState<Volume | null>(null);
	const around = [volumes, useCollection("image"), useSnapshots(vm.id)];
	const allKnown = around.every(({ state, partial }) => isLoaded(state.value) && !partial.value);
	const obstacle = obstacleOf("update-hardware", "vmUpdate", vm);
	const detachObstacle = (volume: Volume | undefined) => obstacle ?? (volume ? workObstacle(volume) : null);
	const rows: DiskRow[] = vm.spec.disks.map((disk) => ({
		...disk,
		boot: vm.spec.bootOrder.indexOf(disk.id),
		volume: volumes.one(disk.volumeId).value,
	}));
	const limited = rows.some(({ limits }) => limits !== undefined);
	const actions = ({ id, volume, volumeId }: DiskRow): Action[] => [
		{
			id: "resize",
			label: t.resize,
			obstacle:
				obstacleOf("update-hardware", "volumeResize", vm) ?? (volume ? resizeObstacle(volume) : common.notYetKnown),
			onSelect: () => setResizing(volume ?? null),
		},
		{ id: "edit", label: t.editDisk, obstacle, onSelect: () => setEditing(id) },
		{
			id: "move",
			label: storage.moveAction,
			obstacle: volume ? moveObstacle(volume) : common.notYetKnown,
			onSelect: () => setMoving(volume ?? null),
		},
		{ id: "open", label: t.open, onSelect: () => route(href("volume", { volumeId })) },
		{
			id: "detach",
			label: t.detach,
			obstacle: detachObstacle(volume),
			divided: true,
			onSelect: () => void detach(vm, id, volume?.name ?? id),
		},
		{
			id: "delete",
			label: t.deleteDisk,
			danger: true,
			obstacle: detachObstacle(volume) ?? (volume && allKnown ? deleteDetachedObstacle(volume) : common.notYetKnown),
			onSelect: () => volume && void detachAndDelete(vm, id, volume),
		},
	];
	return (
		<Stack>
			<DiskProblems vm={vm} />
			{vm.status.powerState === "running" && <Notice>{t.nextStart}</Notice>}
			<Card
				title={t.disks}
				flush
				actions={
					<Button small icon={Plus} obstacle={obstacle} onClick={() => setAdding(true)}>
						{t.addDisk}
					</Button>
				}
			>
				<DataTable
					name="vm-disks"
					caption={t.disksCaption}
					rows={rows}
					columns={limited ? columns : columnsWithoutLimits}
					rowLabel={({ id }) => id}
					rowActions={actions}
					defaultSort="id"
					inAddress={false}
					empty={<EmptyState icon={HardDrive} title={t.noDisks} text={t.noDisksText} />}
				/>
			</Card>
			<CdromsCard vm={vm} icon={Disc} />
			{adding && <AddDiskPanel vm={vm} onClose={() => setAdding(false)} />}
			{editing && <EditDiskPanel vm={vm} diskId={editing} onClose={() => setEditing(null)} />}
			{moving && <MoveVolumeDialog volumes={[moving]} onClose={() => setMoving(null)} />}
			{resizing && <ResizeDialog volume={resizing} onClose={() => setResizing(null)} />}
		</Stack>
	);
}

async function detach(vm: Vm, diskId: string, name: string): Promise<boolean> {
	const body = h("p", {}, t.detachText);
	if (!(await confirm({ title: t.detachTitle(name), body, confirmLabel: t.detach }))) return false;
	return removeDisk(vm, diskId, name);
}

/** Lists that cannot be read are asked for again when it matters. */
const isLoaded = (state: LoadState): boolean => state === "ready" || state === "error";

async function removeDisk(vm: Vm, diskId: string, name: string): Promise<boolean> {
	try {
		await updateVm(vm, { disks: vm.spec.disks.filter(({ id }) => id !== diskId) });
		return true;
	} catch (error) {
		toastFailure(t.detachFailed(name), error);
		return false;
	}
}

/** Nothing is detached unless it can be deleted then: that is asked before a name is typed, and once more before it is done. */
async function detachAndDelete(vm: Vm, diskId: string, volume: Volume): Promise<void> {
	if (!(await isDeletable(vm, volume))) return;
	const answer = await confirm({
		title: t.deleteDiskTitle(volume.name),
		body: h("p", {}, t.deleteDiskText),
		confirmLabel: t.deleteDisk,
		danger: true,
		typedName: volume.name,
	});
	if (!answer || !(await isDeletable(vm, volume)) || !(await removeDisk(vm, diskId, volume.name))) return;
	await followVolumeRelease(volume.id);
	await act(t.detachedOnly(volume.name), "volumeDelete", { id: volume.id });
}

/** Why not is said. */
async function isDeletable(vm: Vm, volume: Volume): Promise<boolean> {
	const title = t.deleteDiskTitle(volume.name);
	try {
		const why = await askDeletionObstacle(volume.id, vm.id);
		if (why === null) return true;
		const text = t.deleteDiskRefused(why);
		toastFailureText(title, text, `${title}\n${text}`);
	} catch (error) {
		toastFailure(title, error);
	}
	return false;
}
