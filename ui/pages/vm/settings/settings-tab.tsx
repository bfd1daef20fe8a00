/** All settings of a VM in one form: what changes is said before it is saved. */
import { Trash2 } from "lucide-preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { toastSuccess } from "../../../api/notify.ts";
import type { Vm } from "../../../api/types.ts";
import { useCollection } from "../../../api/use.ts";
import { Button } from "../../../components/button.tsx";
import { CloudInitFields } from "../../../components/cloud-init-fields.tsx";
import { FieldRow } from "../../../components/field.tsx";
import {
	CheckboxField,
	NumberField,
	SelectField,
	TextAreaField,
	TextField,
	WordsField,
} from "../../../components/fields.tsx";
import { type Form, useForm } from "../../../components/form.ts";
import { FormError } from "../../../components/form-error.tsx";
import { Card, Notice, Stack } from "../../../components/layout.tsx";
import { SizeField } from "../../../components/size-field.tsx";
import { hashGuestPassword } from "../../../lib/cloud-init.ts";
import { useUnloadGuard } from "../../../lib/unload-guard.ts";
import { href } from "../../../routes.ts";
import { common } from "../../../strings/common.ts";
import { settings as t } from "../../../strings/settings.ts";
import { vm as vmText } from "../../../strings/vm.ts";
import { updateVm } from "../update.ts";
import { deleteAction, obstacleOf } from "../vm-actions.ts";
import { BootOrder } from "./boot-order.tsx";
import { changesOn, draftOf, keepSettingsDraft, readSettingsDraft } from "./draft.ts";
import { SaveBar } from "./save-bar.tsx";
import { checkSettings, type SettingsValues, settingsOf, settingsUpdate } from "./values.ts";
import "./settings.css";

/**
 * The form starts from the VM as it was when it was opened, with what was changed before and not saved, and anew after
 * each save or when asked.
 */
export function SettingsTab({ vm }: { vm: Vm }) {
	const [{ base, turn }, setBase] = useState({ base: vm, turn: 0 });
	const restart = (from: Vm) => {
		keepSettingsDraft(vm.id, null);
		setBase({ base: from, turn: turn + 1 });
	};
	return <SettingsForm key={turn} vm={vm} base={base} onReset={() => restart(vm)} onSaved={restart} />;
}

type FormProps = { vm: Vm; base: Vm; onReset: () => void; onSaved: (vm: Vm) => void };

function SettingsForm({ vm, base, onReset, onSaved }: FormProps) {
	const { route } = useLocation();
	const node = useCollection("node").one(vm.nodeId).value;
	const [before] = useState(() => settingsOf(base));
	const [draft] = useState(() => readSettingsDraft(vm.id));
	const form = useForm<SettingsValues>({
		initial: before,
		validate: (values) => checkSettings(before, values, node?.status.memoryBytes ?? null),
		async submit(values) {
			const update = await settingsUpdate(before, values, hashGuestPassword);
			if (!update) return;
			const saved = await updateVm(base, update);
			toastSuccess(t.saved);
			onSaved(saved);
		},
		fieldOf: (path) => path.replace(/^\/cloudInit\/users\/(\d+)\/sshKeys\/\d+$/, "/cloudInit/users/$1/sshKeys"),
	});
	const [restored] = useState(() => {
		const changes = changesOn(before, draft);
		if (changes) form.set(changes);
		return changes !== null;
	});
	const values = form.values.value;
	const dirty = form.dirty.value;
	// Not after the next picture: the page may be left before that.
	useLayoutEffect(() => keepSettingsDraft(vm.id, draftOf(base.generation, before, values)), [values]);
	useUnloadGuard(dirty);
	const obstacle = obstacleOf("update", "vmUpdate", vm);
	const changedMeanwhile = vm.generation > base.generation && !form.busy.value;
	const deletion = deleteAction(vm, () => route(href("vms")));
	return (
		<form
			class="settings"
			noValidate
			onSubmit={(event) => {
				event.preventDefault();
				void form.submit();
			}}
		>
			<Stack>
				{obstacle && <Notice tone="warning">{obstacle}</Notice>}
				{changedMeanwhile && (
					<Notice
						tone="warning"
						actions={
							<Button small onClick={onReset}>
								{common.reload}
							</Button>
						}
					>
						{common.staleEdit}
					</Notice>
				)}
				{restored && dirty && !changedMeanwhile && (
					<Notice tone={draft && draft.generation < base.generation ? "warning" : "info"}>
						{draft && draft.generation < base.generation ? t.draftOlder : t.draft}
					</Notice>
				)}
				<FormError form={form} title={t.failed} />
				<GeneralCard form={form} />
				<CpuMemoryCard form={form} />
				<FirmwareCard form={form} vm={vm} />
				<StartCard form={form} />
				<Card title={t.cloudInit}>
					<Stack>
						<p class="muted">{t.cloudInitHint}</p>
						<CloudInitFields
							value={form.values.value.cloudInit}
							onChange={(cloudInit, field) => form.set({ cloudInit }, field)}
							error={(field) => form.error(field)}
						/>
					</Stack>
				</Card>
				<Card title={t.danger}>
					<div class="settings__danger">
						<p class="muted">{t.dangerText}</p>
						<Button kind="danger" icon={Trash2} obstacle={deletion.obstacle} onClick={deletion.onSelect}>
							{vmText.deleteConfirm}
						</Button>
					</div>
				</Card>
			</Stack>
			<SaveBar vm={vm} form={form} before={before} obstacle={obstacle} onRevert={onReset} />
		</form>
	);
}

type CardProps = { form: Form<SettingsValues> };

function GeneralCard({ form }: CardProps) {
	const { name, description, tags } = form.values.value;
	return (
		<Card title={t.general}>
			<Stack>
				<TextField
					label={common.name}
					plain
					value={name}
					error={form.error("/name")}
					onInput={(value) => form.set({ name: value })}
				/>
				<TextAreaField
					label={common.description}
					optional
					value={description}
					error={form.error("/description")}
					onInput={(value) => form.set({ description: value })}
				/>
				<WordsField
					label={common.tags}
					optional
					hint={common.tagsHint}
					values={tags}
					error={form.error("/tags")}
					onChange={(value) => form.set({ tags: value })}
				/>
			</Stack>
		</Card>
	);
}

function CpuMemoryCard({ form }: CardProps) {
	const { vcpus, maxVcpus, cpuModel, memoryBytes, maxMemoryBytes } = form.values.value;
	return (
		<Card title={t.cpuMemory}>
			<Stack>
				<FieldRow>
					<NumberField
						label={t.vcpus}
						min={1}
						max={512}
						value={vcpus}
						error={form.error("/vcpus")}
						onInput={(value) => form.set({ vcpus: value })}
					/>
					<NumberField
						label={t.maxVcpus}
						min={1}
						max={512}
						hint={t.maxVcpusHint}
						value={maxVcpus}
						error={form.error("/maxVcpus")}
						onInput={(value) => form.set({ maxVcpus: value })}
					/>
				</FieldRow>
				<FieldRow>
					<SizeField
						label={t.memory}
						value={memoryBytes}
						error={form.error("/memoryBytes")}
						onInput={(value) => form.set({ memoryBytes: value })}
					/>
					<SizeField
						label={t.maxMemory}
						hint={t.maxMemoryHint}
						value={maxMemoryBytes}
						error={form.error("/maxMemoryBytes")}
						onInput={(value) => form.set({ maxMemoryBytes: value })}
					/>
				</FieldRow>
				<SelectField
					label={t.cpuModel}
					value={cpuModel}
					choices={[
						{ value: "portable", label: t.cpuModels.portable },
						{ value: "host", label: t.cpuModels.host },
					]}
					onChange={(value) => form.set({ cpuModel: value })}
				/>
			</Stack>
		</Card>
	);
}

function FirmwareCard({ form, vm }: CardProps & { vm: Vm }) {
	const { firmware, tpm, bootOrder } = form.values.value;
	return (
		<Card title={t.firmware}>
			<Stack>
				<SelectField
					label={t.firmware}
					hint={t.firmwareHint}
					value={firmware}
					error={form.error("/firmware")}
					choices={(["uefi", "uefi-secure-boot", "bios"] as const).map((value) => ({
						value,
						label: vmText.firmwares[value],
					}))}
					onChange={(value) => form.set({ firmware: value })}
				/>
				<CheckboxField label={t.tpm} hint={t.tpmHint} checked={tpm} onChange={(value) => form.set({ tpm: value })} />
				<BootOrder vm={vm} value={bootOrder} onChange={(value) => form.set({ bootOrder: value })} />
			</Stack>
		</Card>
	);
}

function StartCard({ form }: CardProps) {
	const { autostart, autostartOrder, autostartDelaySeconds, shutdownSeconds } = form.values.value;
	return (
		<Card title={t.start}>
			<Stack>
				<CheckboxField
					label={t.autostart}
					hint={t.autostartHint}
					checked={autostart}
					onChange={(value) => form.set({ autostart: value })}
				/>
				{autostart && (
					<FieldRow>
						<NumberField
							label={t.order}
							hint={t.orderHint}
							min={0}
							max={9999}
							value={autostartOrder}
							error={form.error("/autostart/order")}
							onInput={(value) => form.set({ autostartOrder: value }, "/autostart/order")}
						/>
						<NumberField
							label={t.delay}
							hint={t.delayHint}
							unit={t.seconds}
							min={0}
							max={3600}
							value={autostartDelaySeconds}
							error={form.error("/autostart/delayMs")}
							onInput={(value) => form.set({ autostartDelaySeconds: value }, "/autostart/delayMs")}
						/>
					</FieldRow>
				)}
				<NumberField
					label={t.shutdownTimeout}
					hint={t.shutdownTimeoutHint}
					unit={t.seconds}
					narrow
					min={1}
					max={3600}
					value={shutdownSeconds}
					error={form.error("/shutdownTimeoutMs")}
					onInput={(value) => form.set({ shutdownSeconds: value }, "/shutdownTimeoutMs")}
				/>
			</Stack>
		</Card>
	);
}
