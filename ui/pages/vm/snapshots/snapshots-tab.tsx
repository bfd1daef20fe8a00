/** The snapshots of a VM. */
import { Camera } from "lucide-preact";
import { useState } from "preact/hooks";
import { halfRevertedObstacle } from "../../../../src/model/snapshot-rules.ts";
import type { Snapshot, Vm } from "../../../api/types.ts";
import { useCollection, useSnapshots } from "../../../api/use.ts";
import { Button } from "../../../components/button.tsx";
import { EmptyState, ErrorState, Skeleton } from "../../../components/feedback.tsx";
import { Card, Notice, Stack } from "../../../components/layout.tsx";
import { snapshots as t } from "../../../strings/snapshots.ts";
import { EditObjectPanel } from "../../shared/edit-object.tsx";
import { snapshotAction } from "../vm-actions.ts";
import { snapshotActions } from "./actions.ts";
import { CopyPanel } from "./copy-panel.tsx";
import { stateOf } from "./obstacles.ts";
import { SnapshotTree } from "./snapshot-tree.tsx";

type Open = { what: "edit" | "copy"; id: string };

export function SnapshotsTab({ vm }: { vm: Vm }) {
	// What may be done with a snapshot depends on its disks, their pools, and the work on the VM.
	for (const kind of ["volume", "pool", "task"] as const) useCollection(kind);
	const known = useSnapshots(vm.id);
	const snapshots = known.items.value;
	const [open, setOpen] = useState<Open | null>(null);
	const opened = open && known.one(open.id).value;
	const close = () => setOpen(null);
	const take = snapshotAction(vm);
	const takeButton = (kind: "primary" | "secondary") => (
		<Button kind={kind} small={kind !== "primary"} icon={Camera} obstacle={take.obstacle} onClick={take.onSelect}>
			{t.take}
		</Button>
	);
	const half = snapshots.find((snapshot) => stateOf(snapshot) === "half");
	const actionsOf = (snapshot: Snapshot) =>
		snapshotActions(vm, snapshot, {
			onEdit: () => setOpen({ what: "edit", id: snapshot.id }),
			onCopy: () => setOpen({ what: "copy", id: snapshot.id }),
		});
	return (
		<Stack>
			{half && (
				<Notice tone="warning" title={t.halfTitle}>
					{halfRevertedObstacle([half])}
				</Notice>
			)}
			<Card title={t.title} flush actions={snapshots.length > 0 && takeButton("secondary")}>
				{known.state.value === "error" && known.error.value ? (
					<ErrorState error={known.error.value} title={t.gone} onRetry={() => void known.reload()} />
				) : known.state.value !== "ready" ? (
					<div class="card__body">
						<Skeleton lines={4} />
					</div>
				) : snapshots.length === 0 ? (
					<EmptyState icon={Camera} title={t.emptyTitle} text={t.emptyText}>
						{takeButton("primary")}
					</EmptyState>
				) : (
					<SnapshotTree vm={vm} snapshots={snapshots} actionsOf={actionsOf} />
				)}
			</Card>
			{opened && open.what === "edit" && (
				<EditObjectPanel
					title={t.editTitle(opened.name)}
					failed={t.editFailed}
					operation="snapshotUpdate"
					object={opened}
					onClose={close}
				/>
			)}
			{opened && open.what === "copy" && <CopyPanel vm={vm} snapshot={opened} onClose={close} />}
		</Stack>
	);
}
