/** A volume made of a disk in a snapshot, attached to the VM as another disk or left by itself. */
import { useLocation } from "preact-iso";
import { usualCache } from "../../../../src/model/storage-rules.ts";
import type { Snapshot, Vm } from "../../../api/types.ts";
import { useCollection } from "../../../api/use.ts";
import { write } from "../../../api/write.ts";
import { Button } from "../../../components/button.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { CheckboxField, SelectField, TextField } from "../../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../../components/form.ts";
import { FormError } from "../../../components/form-error.tsx";
import { SubmitButton } from "../../../components/submit-button.tsx";
import { formatBytes } from "../../../lib/format.ts";
import { fits, namePattern } from "../../../lib/patterns.ts";
import { href } from "../../../routes.ts";
import { common } from "../../../strings/common.ts";
import { snapshots as t } from "../../../strings/snapshots.ts";
import { storage } from "../../../strings/storage.ts";
import { copiesAll, formatIn } from "../../storage/choices.ts";
import { attachNew, makeVolume } from "../make-volume.ts";
import { freeDeviceId } from "../update.ts";
import { obstacleOf } from "../vm-actions.ts";
import { copyObstacle } from "./obstacles.ts";

export function CopyPanel({ vm, snapshot, onClose }: { vm: Vm; snapshot: Snapshot; onClose: () => void }) {
	const { route } = useLocation();
	const volumes = useCollection("volume");
	const pools = useCollection("pool");
	const attachObstacle = obstacleOf("update-hardware", "vmUpdate", vm);
	const poolOf = (volumeId: string) => pools.one(volumes.one(volumeId).value?.poolId ?? "").value;
	const mustBeFull = (volumeId: string) => {
		const pool = poolOf(volumeId);
		return copiesAll(pool, formatIn(pool, "qcow2"));
	};
	const form = useForm({
		initial: {
			volumeId: snapshot.disks[0]?.volumeId ?? "",
			name: storage.cloneName(volumes.peek(snapshot.disks[0]?.volumeId ?? "")?.name ?? vm.name),
			fullCopy: false,
			attach: false,
		},
		validate: ({ name }): FieldErrors => (fits(namePattern, name) ? {} : { "/name": common.nameInvalid }),
		async submit({ volumeId, name, fullCopy, attach }) {
			const source = { kind: "snapshot", snapshotId: snapshot.id, volumeId } as const;
			const body = { name, source: { ...source, fullCopy: fullCopy || mustBeFull(volumeId) } };
			if (!attach) {
				const { data } = await write("volumeCreate", { body });
				onClose();
				route(href("volume", { volumeId: data.id }));
				return;
			}
			const id = freeDeviceId("disk", vm.spec.disks);
			const made = await makeVolume(body);
			await attachNew(
				vm,
				{
					...{ id, volumeId: made, bus: "virtio", cache: usualCache(poolOf(volumeId)), discard: true, readOnly: false },
				},
				name,
			);
			onClose();
		},
	});
	const { volumeId, name, fullCopy, attach } = form.values.value;
	const full = mustBeFull(volumeId);
	return (
		<Dialog
			kind="panel"
			title={t.copyTitle(snapshot.name)}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form} obstacle={form.busy.value ? null : copyObstacle(snapshot)}>
						{t.copy}
					</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.copyFailed} />
			<SelectField
				label={t.copyDisk}
				value={volumeId}
				error={form.error("/source/volumeId")}
				choices={snapshot.disks.map((disk) => ({
					value: disk.volumeId,
					label: `${volumes.one(disk.volumeId).value?.name ?? disk.diskId} (${formatBytes(disk.sizeBytes)})`,
				}))}
				onChange={(value) =>
					form.set({ volumeId: value, name: storage.cloneName(volumes.peek(value)?.name ?? vm.name) })
				}
			/>
			<TextField
				label={common.name}
				hint={common.nameHint}
				plain
				value={name}
				error={form.error("/name")}
				onInput={(value) => form.set({ name: value })}
			/>
			<CheckboxField
				label={storage.fullCopy}
				hint={fullCopy || full ? storage.fullCopyHint : t.copyHint}
				checked={fullCopy || full}
				disabled={full}
				onChange={(value) => form.set({ fullCopy: value })}
			/>
			<CheckboxField
				label={t.attach(vm.name)}
				hint={attachObstacle ?? t.attachHint}
				checked={attach}
				disabled={attachObstacle !== null}
				onChange={(value) => form.set({ attach: value })}
			/>
		</Dialog>
	);
}
