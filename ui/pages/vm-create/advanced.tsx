/** What has good defaults, in sections that open. */
import { CloudInitFields } from "../../components/cloud-init-fields.tsx";
import { FieldRow } from "../../components/field.tsx";
import { CheckboxField, NumberField, SelectField, TextAreaField, WordsField } from "../../components/fields.tsx";
import type { Form } from "../../components/form.ts";
import { Disclosure } from "../../components/layout.tsx";
import { SizeField } from "../../components/size-field.tsx";
import { common } from "../../strings/common.ts";
import { cloudInit, settings } from "../../strings/settings.ts";
import { vm as vmText } from "../../strings/vm.ts";
import { vmCreate as t } from "../../strings/vm-create.ts";
import { DisksSection, DrivesSection, NicsSection } from "./devices.tsx";
import type { CreateValues, Refs } from "./values.ts";

export type SectionProps = { form: Form<CreateValues>; refs: Refs };

export function AdvancedSections(props: SectionProps) {
	const { form } = props;
	const values = form.values.value;
	return (
		<section class="vm-create__advanced" aria-label={t.advanced}>
			<h2>{t.advanced}</h2>
			<Disclosure
				title={t.cloudInit}
				note={values.cloudInit.kind === "none" ? t.cloudInitNote : cloudInit.kinds[values.cloudInit.kind]}
			>
				<CloudInitFields
					value={values.cloudInit}
					onChange={(changed, field) => form.set({ cloudInit: changed }, field)}
					error={(field) => form.error(field)}
				/>
			</Disclosure>
			<Disclosure title={t.network} note={t.networkNote(values.nics.length)}>
				<NicsSection {...props} />
			</Disclosure>
			<Disclosure title={t.storage} note={t.storageNote}>
				<DisksSection {...props} />
			</Disclosure>
			<Disclosure title={t.cdrom} note={t.cdromNote}>
				<DrivesSection {...props} />
			</Disclosure>
			<Disclosure title={t.cpuMemory} note={t.cpuMemoryNote}>
				<CpuSection {...props} />
			</Disclosure>
			<Disclosure title={t.firmware} note={vmText.firmwares[values.firmware]}>
				<FirmwareSection {...props} />
			</Disclosure>
			<Disclosure title={t.startStop} note={t.startNote}>
				<StartSection {...props} />
			</Disclosure>
			<Disclosure title={t.about}>
				<AboutSection {...props} />
			</Disclosure>
		</section>
	);
}

function CpuSection({ form }: SectionProps) {
	const { maxVcpus, maxMemoryBytes, cpuModel } = form.values.value;
	return (
		<>
			<FieldRow>
				<NumberField
					label={settings.maxVcpus}
					optional
					hint={t.defaultHint(t.maxDefault)}
					min={1}
					max={512}
					value={maxVcpus}
					error={form.error("/maxVcpus")}
					onInput={(value) => form.set({ maxVcpus: value })}
				/>
				<SizeField
					label={settings.maxMemory}
					optional
					hint={t.defaultHint(t.maxMemoryDefault)}
					value={maxMemoryBytes}
					error={form.error("/maxMemoryBytes")}
					onInput={(value) => form.set({ maxMemoryBytes: value })}
				/>
			</FieldRow>
			<SelectField
				label={settings.cpuModel}
				value={cpuModel}
				choices={[
					{ value: "portable", label: settings.cpuModels.portable },
					{ value: "host", label: settings.cpuModels.host },
				]}
				onChange={(value) => form.set({ cpuModel: value })}
			/>
		</>
	);
}

function FirmwareSection({ form }: SectionProps) {
	const { firmware, tpm } = form.values.value;
	return (
		<>
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
			<CheckboxField
				label={settings.tpm}
				hint={settings.tpmHint}
				checked={tpm}
				onChange={(value) => form.set({ tpm: value })}
			/>
		</>
	);
}

function StartSection({ form }: SectionProps) {
	const { start, autostart, autostartOrder, autostartDelaySeconds, shutdownSeconds } = form.values.value;
	return (
		<>
			<CheckboxField label={t.startNow} checked={start} onChange={(value) => form.set({ start: value })} />
			<CheckboxField
				label={settings.autostart}
				hint={settings.autostartHint}
				checked={autostart}
				onChange={(value) => form.set({ autostart: value })}
			/>
			{autostart && (
				<FieldRow>
					<NumberField
						label={settings.order}
						hint={settings.orderHint}
						min={0}
						max={9999}
						value={autostartOrder}
						error={form.error("/autostart/order")}
						onInput={(value) => form.set({ autostartOrder: value }, "/autostart/order")}
					/>
					<NumberField
						label={settings.delay}
						hint={settings.delayHint}
						unit={settings.seconds}
						min={0}
						max={3600}
						value={autostartDelaySeconds}
						error={form.error("/autostart/delayMs")}
						onInput={(value) => form.set({ autostartDelaySeconds: value }, "/autostart/delayMs")}
					/>
				</FieldRow>
			)}
			<NumberField
				label={settings.shutdownTimeout}
				hint={settings.shutdownTimeoutHint}
				unit={settings.seconds}
				narrow
				min={1}
				max={3600}
				value={shutdownSeconds}
				error={form.error("/shutdownTimeoutMs")}
				onInput={(value) => form.set({ shutdownSeconds: value }, "/shutdownTimeoutMs")}
			/>
		</>
	);
}

function AboutSection({ form }: SectionProps) {
	const { description, tags } = form.values.value;
	return (
		<>
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
		</>
	);
}
