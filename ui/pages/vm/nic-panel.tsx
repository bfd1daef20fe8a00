/** Adding a NIC to a VM, or changing one. */

import type { Vm } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { fits, macPattern } from "../../lib/patterns.ts";
import { byName } from "../../lib/sort.ts";
import { common } from "../../strings/common.ts";
import { devices as t } from "../../strings/devices.ts";
import type { Nic } from "./network.tsx";
import { freeDeviceId, randomMac, updateVm } from "./update.ts";

type Values = { networkId: string; mac: string; model: Nic["model"] };

export function NicPanel({ vm, nic, onClose }: { vm: Vm; nic: Nic | null; onClose: () => void }) {
	const networks = [...useCollection("network").items.value].sort(byName);
	const position = nic ? vm.spec.nics.findIndex(({ id }) => id === nic.id) : vm.spec.nics.length;
	const form = useForm<Values>({
		initial: {
			networkId: nic?.networkId ?? networks[0]?.id ?? "",
			mac: nic?.mac ?? "",
			model: nic?.model ?? "virtio",
		},
		validate({ networkId, mac }): FieldErrors {
			const errors: FieldErrors = {};
			if (networkId === "") errors["/networkId"] = common.required;
			if (mac !== "" && !fits(macPattern, mac)) errors["/mac"] = t.macInvalid;
			return errors;
		},
		async submit({ networkId, mac, model }) {
			const id = nic?.id ?? freeDeviceId("nic", vm.spec.nics);
			const changed: Nic = { id, networkId, mac: mac || nic?.mac || randomMac(), model, linkUp: nic?.linkUp ?? true };
			const others = vm.spec.nics;
			await updateVm(vm, {
				nics: nic ? others.map((other) => (other.id === nic.id ? changed : other)) : [...others, changed],
			});
			onClose();
		},
		// "/nics/1/mac" is this form's "/mac".
		fieldOf: (path) => path.replace(`/nics/${position}`, ""),
	});
	const { networkId, mac, model } = form.values.value;
	return (
		<Dialog
			kind="panel"
			title={nic ? t.editNicTitle(nic.id) : t.addNicTitle(vm.name)}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{nic ? common.saveChanges : t.addNic}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={nic ? t.nicFailed : t.addNicFailed} />
			<SelectField
				label={t.network}
				value={networkId}
				error={form.error("/networkId")}
				choices={networks.map(({ id, name }) => ({ value: id, label: name }))}
				onChange={(value) => form.set({ networkId: value })}
			/>
			<SelectField
				label={t.model}
				value={model}
				choices={[
					{ value: "virtio", label: t.models.virtio },
					{ value: "e1000e", label: t.models.e1000e },
				]}
				onChange={(value) => form.set({ model: value })}
			/>
			<TextField
				label={t.mac}
				optional
				hint={t.macHint}
				value={mac}
				mono
				plain
				error={form.error("/mac")}
				onInput={(value) => form.set({ mac: value.trim().toLowerCase() })}
			/>
		</Dialog>
	);
}
