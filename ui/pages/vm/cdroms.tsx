/** The CD-ROM drives of a VM: discs in and out, also while it runs. */

import { Plus } from "lucide-preact";
import { useState } from "preact/hooks";
import { toastFailure } from "../../api/notify.ts";
import type { Vm } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { act, write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { SelectField } from "../../components/fields.tsx";
import { useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import type { Icon } from "../../components/icons.ts";
import { Card, Notice } from "../../components/layout.tsx";
import type { Action } from "../../components/menu.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { common } from "../../strings/common.ts";
import { devices as t } from "../../strings/devices.ts";
import { readyImages } from "../storage/choices.ts";
import { freeDeviceId, updateVm } from "./update.ts";
import { obstacleOf } from "./vm-actions.ts";

type Drive = Vm["spec"]["cdroms"][number];
const mostDrives = 4;

const columns: readonly Column<Drive>[] = [
	{ id: "id", header: t.device, cell: ({ id }) => id, width: "130px", fixed: true, card: "title" },
	{
		id: "disc",
		header: t.disc,
		cell: ({ imageId }) =>
			imageId === null ? <span class="muted">{t.emptyDrive}</span> : <ResourceLink kind="image" id={imageId} />,
	},
];

export function CdromsCard({ vm, icon }: { vm: Vm; icon: Icon }) {
	const [changing, setChanging] = useState<Drive | null>(null);
	const obstacle = obstacleOf("update-hardware", "vmUpdate", vm);
	const mediaObstacle = obstacleOf("change-media", "vmMediaChange", vm);
	const update = (cdroms: Drive[]) =>
		void updateVm(vm, { cdroms }).catch((error: unknown) => toastFailure(t.changeFailed, error));
	const actions = (drive: Drive): Action[] => [
		{ id: "change", label: t.changeDisc, obstacle: mediaObstacle, onSelect: () => setChanging(drive) },
		{
			id: "eject",
			label: t.eject,
			obstacle: mediaObstacle ?? (drive.imageId === null ? t.noDisc : null),
			onSelect: () =>
				void act(t.changeDiscFailed, "vmMediaChange", { id: vm.id, body: { cdromId: drive.id, imageId: null } }),
		},
		{
			id: "remove",
			label: t.removeDrive,
			obstacle,
			divided: true,
			onSelect: () => update(vm.spec.cdroms.filter(({ id }) => id !== drive.id)),
		},
	];
	return (
		<Card
			title={t.cdroms}
			flush
			actions={
				<Button
					small
					icon={Plus}
					obstacle={obstacle ?? (vm.spec.cdroms.length >= mostDrives ? common.numberRange("0", "4") : null)}
					onClick={() => update([...vm.spec.cdroms, { id: freeDeviceId("cdrom", vm.spec.cdroms), imageId: null }])}
				>
					{t.addCdrom}
				</Button>
			}
		>
			<DataTable
				name="vm-cdroms"
				caption={t.cdromsCaption}
				rows={vm.spec.cdroms}
				columns={columns}
				rowLabel={({ id }) => id}
				rowActions={actions}
				inAddress={false}
				empty={<EmptyState icon={icon} title={t.noCdroms} />}
			/>
			{changing && <ChangeDiscDialog vm={vm} drive={changing} onClose={() => setChanging(null)} />}
		</Card>
	);
}

function ChangeDiscDialog({ vm, drive, onClose }: { vm: Vm; drive: Drive; onClose: () => void }) {
	const discs = readyImages(useCollection("image").items.value, "iso");
	const form = useForm({
		initial: { imageId: drive.imageId ?? "" },
		validate: () => ({}),
		async submit({ imageId }) {
			await write("vmMediaChange", {
				id: vm.id,
				body: { cdromId: drive.id, imageId: imageId === "" ? null : imageId },
			});
			onClose();
		},
	});
	return (
		<Dialog
			title={t.changeDiscTitle(drive.id)}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.changeDisc}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.changeDiscFailed} />
			{discs.length === 0 && <Notice>{t.noIso}</Notice>}
			<SelectField
				label={t.disc}
				value={form.values.value.imageId}
				error={form.error("/imageId")}
				choices={[{ value: "", label: t.noDisc }, ...discs.map(({ id, name }) => ({ value: id, label: name }))]}
				onChange={(imageId) => form.set({ imageId })}
			/>
		</Dialog>
	);
}
