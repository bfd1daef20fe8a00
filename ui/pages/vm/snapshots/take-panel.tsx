/** Taking a snapshot of a VM: its name, and what is kept and what is not. */
import {
	deletesSnapshotsLive,
	diskPhaseObstacle,
	snapshotCountObstacle,
	snapshotDisksOf,
	snapshotObstacle,
} from "../../../../src/model/snapshot-rules.ts";
import type { Pool, Vm } from "../../../api/types.ts";
import { useCollection, useSnapshots } from "../../../api/use.ts";
import { write } from "../../../api/write.ts";
import { Button } from "../../../components/button.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { TextAreaField, TextField } from "../../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../../components/form.ts";
import { FormError } from "../../../components/form-error.tsx";
import { Notice } from "../../../components/layout.tsx";
import { SubmitButton } from "../../../components/submit-button.tsx";
import { fits, namePattern } from "../../../lib/patterns.ts";
import { byName } from "../../../lib/sort.ts";
import { common } from "../../../strings/common.ts";
import { snapshots as t } from "../../../strings/snapshots.ts";
import { namesOf } from "../deletion.ts";
import { snapshotAction } from "../vm-actions.ts";
import { DiskList, type ListedDisk } from "./disk-list.tsx";
import { merging } from "./obstacles.ts";
import { freeName, isTaken } from "./tree.ts";

export default function TakePanel({ vm, onClose }: { vm: Vm; onClose: () => void }) {
	const known = useSnapshots(vm.id);
	const others = known.items.value;
	const { disks, pools } = useDisks(vm);
	const form = useForm({
		initial: { name: freeName(new Date(), others), description: "" },
		validate({ name }): FieldErrors {
			if (!fits(namePattern, name)) return { "/name": name === "" ? common.required : common.nameInvalid };
			return isTaken(name, known.items.value) && !form.busy.value ? { "/name": t.nameTaken(name) } : {};
		},
		async submit(body) {
			await write("snapshotCreate", { id: vm.id, body });
			onClose();
		},
	});
	const obstacle =
		snapshotAction(vm).obstacle ??
		snapshotCountObstacle(vm, others.length) ??
		disks.find((disk) => disk.obstacle)?.obstacle ??
		null;
	const { name, description } = form.values.value;
	const onlyOff = pools.filter((pool) => !deletesSnapshotsLive(pool, merging));
	return (
		<Dialog
			kind="panel"
			title={t.takeTitle(vm.name)}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => obstacle === null && void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form} obstacle={form.busy.value ? null : obstacle}>
						{t.take}
					</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.takeFailed} />
			{obstacle && !form.busy.value && (
				<Notice tone="error" alert>
					{obstacle}
				</Notice>
			)}
			<TextField
				label={common.name}
				hint={common.nameHint}
				plain
				value={name}
				error={form.error("/name")}
				onInput={(value) => form.set({ name: value })}
			/>
			<TextAreaField
				label={common.description}
				optional
				hint={t.descriptionHint}
				value={description}
				error={form.error("/description")}
				onInput={(value) => form.set({ description: value })}
			/>
			<WhatIsKept vm={vm} disks={disks} />
			{onlyOff.length > 0 && <p class="field__hint">{t.onlyOff(namesOf([...onlyOff].sort(byName)))}</p>}
		</Dialog>
	);
}

/** The disks that it would hold, with what is in the way of each, and the pools that they are in. */
function useDisks(vm: Vm): { disks: ListedDisk[]; pools: Pool[] } {
	const volumes = useCollection("volume");
	const known = useCollection("pool");
	const pools = new Set<Pool>();
	const disks = snapshotDisksOf(vm).map(({ id, volumeId }): ListedDisk => {
		const volume = volumes.one(volumeId).value;
		const pool = volume && known.one(volume.poolId).value;
		if (pool) pools.add(pool);
		const obstacle = (volume && diskPhaseObstacle(volume)) ?? (pool && snapshotObstacle(pool, volume)) ?? null;
		return { id, name: volume?.name ?? id, sizeBytes: volume?.sizeBytes ?? null, obstacle };
	});
	return { disks, pools: [...pools] };
}

function WhatIsKept({ vm, disks }: { vm: Vm; disks: readonly ListedDisk[] }) {
	const { spec, status } = vm;
	const volumes = useCollection("volume");
	const isOn = status.powerState === "running" || status.powerState === "paused";
	const readOnly = spec.disks.filter((disk) => disk.readOnly);
	const hasDiscs = spec.cdroms.some(({ imageId }) => imageId !== null);
	return (
		<>
			<section>
				<h3>{t.kept}</h3>
				<DiskList disks={disks} />
				{(spec.firmware !== "bios" || spec.tpm) && (
					<ul class="bullets">
						{spec.firmware !== "bios" && <li>{t.uefi}</li>}
						{spec.tpm && <li>{t.tpm}</li>}
					</ul>
				)}
			</section>
			{(isOn || readOnly.length > 0 || hasDiscs) && (
				<section>
					<h3>{t.notKept}</h3>
					<ul class="bullets">
						{isOn && <li>{t.memory}</li>}
						{readOnly.map(({ id, volumeId }) => (
							<li key={id}>{t.readOnlyDisk(volumes.one(volumeId).value?.name ?? id)}</li>
						))}
						{hasDiscs && <li>{t.discs}</li>}
					</ul>
				</section>
			)}
			{status.powerState === "running" && <Notice>{t.halts}</Notice>}
		</>
	);
}
