/** What reverting to a snapshot, and deleting one, loses. */
import type { Snapshot, Vm } from "../../../api/types.ts";
import { useCollection } from "../../../api/use.ts";
import { formatBytes } from "../../../lib/format.ts";
import { snapshots as t } from "../../../strings/snapshots.ts";
import { DiskList } from "./disk-list.tsx";

export function RevertText({ vm, snapshot }: { vm: Vm; snapshot: Snapshot }) {
	const volumes = useCollection("volume");
	const nameOf = (id: string, diskId: string) => volumes.one(id).value?.name ?? diskId;
	const resized = snapshot.disks.filter(({ volumeId, sizeBytes }) => {
		const now = volumes.one(volumeId).value?.sizeBytes;
		return now !== undefined && now !== sizeBytes;
	});
	const held = new Set(snapshot.disks.map(({ volumeId }) => volumeId));
	const stays = vm.spec.disks.filter(({ volumeId }) => !held.has(volumeId));
	return (
		<>
			<div>
				<p>{t.revertLost}</p>
				<ul class="bullets">
					<li>
						{t.revertLostDisks}
						<DiskList
							disks={snapshot.disks.map(({ diskId, volumeId, sizeBytes }) => ({
								...{ id: volumeId, name: nameOf(volumeId, diskId) },
								sizeBytes: volumes.one(volumeId).value?.sizeBytes ?? sizeBytes,
							}))}
						/>
					</li>
					{vm.spec.tpm ? <li>{t.revertLostState}</li> : vm.spec.firmware !== "bios" && <li>{t.revertLostUefi}</li>}
				</ul>
			</div>
			{resized.map(({ diskId, volumeId, sizeBytes }) => (
				<p key={volumeId}>{t.revertSizes(nameOf(volumeId, diskId), formatBytes(sizeBytes))}</p>
			))}
			{stays.length > 0 && <p>{t.revertStays(stays.map(({ id, volumeId }) => nameOf(volumeId, id)).join(", "))}</p>}
			<p>{t.revertKeeps}</p>
		</>
	);
}

export function DeleteSnapshotText({ snapshot }: { snapshot: Snapshot }) {
	return (
		<>
			<p>{snapshot.phase === "error" ? t.deleteBroken : t.deleteText}</p>
			<p>{t.deleteStays}</p>
		</>
	);
}
