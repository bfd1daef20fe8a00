/** What deleting a VM loses. */
import type { Snapshot, Vm, Volume } from "../../api/types.ts";
import { useObject } from "../../api/use.ts";
import { Notice } from "../../components/layout.tsx";
import { formatBytes } from "../../lib/format.ts";
import { snapshots as snapshotsText } from "../../strings/snapshots.ts";
import { vm as t } from "../../strings/vm.ts";
import { deletionOf, namesOf } from "./deletion.ts";

type Props = { vm: Vm; volumes: readonly Volume[]; snapshots: readonly Snapshot[] };

export function DeleteVmText({ vm, volumes, snapshots }: Props) {
	const runs = vm.status.powerState === "running" || vm.status.powerState === "paused";
	const node = useObject("node", vm.nodeId);
	const removed = node.state === "ready" && node.object.status.phase === "left" ? node.object : null;
	const { lost, forgotten, kept } = deletionOf([vm], volumes, new Set(removed === null ? [] : [removed.id]));
	const gone = removed === null ? lost : forgotten;
	return (
		<>
			{runs && <Notice tone="warning">{t.deleteRunning}</Notice>}
			{removed && <Notice tone="warning">{t.deleteOfRemoved(removed.name)}</Notice>}
			<div>
				<p>{removed === null ? t.deleteLost : t.deleteForgotten}</p>
				<ul class="bullets">
					<li>{removed === null ? t.deleteVm : t.forgetVm}</li>
					{snapshots.length > 0 && (
						<li>
							{snapshotsText.withVm(snapshots.length)} {namesOf(snapshots)}
						</li>
					)}
					{gone.volumes.map(({ id, name, sizeBytes }) => (
						<li key={id}>
							{name} <span class="muted">{formatBytes(sizeBytes)}</span>
						</li>
					))}
				</ul>
				{kept.length > 0 && <p>{t.deleteKept(namesOf(kept))}</p>}
			</div>
		</>
	);
}
