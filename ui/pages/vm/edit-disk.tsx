/** The limits of a disk, and how the guest has it. */
import type { Vm } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { useForm } from "../../components/form.ts";
import { SubmitButton } from "../../components/submit-button.tsx";
import { common } from "../../strings/common.ts";
import { devices as t } from "../../strings/devices.ts";
import { type Captured, CapturedErrors, useCaptured } from "../shared/captured.tsx";
import { DiskOptionFields } from "./disk-option-fields.tsx";
import { diskOf, optionErrors, optionsOf, usualOptions, whyNotDiscarded } from "./disk-options.ts";
import { updateVm } from "./update.ts";
import { obstacleOf } from "./vm-actions.ts";

type Props = { vm: Vm; diskId: string; onClose: () => void };

export function EditDiskPanel(props: Props) {
	const captured = useCaptured(props.vm);
	return <EditForm key={captured.turn} {...props} captured={captured} />;
}

function EditForm({ vm, diskId, onClose, captured }: Props & { captured: Captured<Vm> }) {
	const { base } = captured;
	const position = base.spec.disks.findIndex(({ id }) => id === diskId);
	const disk = base.spec.disks[position];
	const form = useForm({
		initial: disk ? optionsOf(disk) : usualOptions,
		validate: optionErrors,
		async submit(options) {
			const disks = base.spec.disks.map((one) => (one.id === diskId ? diskOf(one, options) : one));
			if (form.dirty.peek()) await updateVm(base, { disks });
			onClose();
		},
		// "/disks/1/limits/readBytesPerSecond" is this form's "/readRate".
		fieldOf: (path) =>
			path
				.replace(/^(\/spec)?\/disks\/\d+(\/limits)?/, "")
				.replace("/readBytesPerSecond", "/readRate")
				.replace("/writeBytesPerSecond", "/writeRate"),
	});
	const volume = useCollection("volume").one(disk?.volumeId ?? "").value;
	const pool = useCollection("pool").one(volume?.poolId ?? "").value;
	const runs = vm.status.powerState === "running" || vm.status.powerState === "paused";
	const obstacle = obstacleOf("update-hardware", "vmUpdate", vm) ?? (disk ? null : t.diskGone);
	return (
		<Dialog
			kind="panel"
			title={t.editDiskTitle(diskId, vm.name)}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => obstacle === null && void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form} obstacle={obstacle}>
						{common.saveChanges}
					</SubmitButton>
				</>
			}
		>
			<CapturedErrors form={form} title={t.editDiskFailed} captured={captured} />
			<DiskOptionFields
				options={form.values.value}
				error={(field) => form.error(field)}
				onChange={(options, field) => form.set(options, field)}
				runs={runs}
				discardIgnored={volume && whyNotDiscarded(volume, pool, vm.nodeId)}
			/>
		</Dialog>
	);
}
