/** Fields for the limits of a disk, and for how the guest has it. */

import { FieldGroup, FieldRow } from "../../components/field.tsx";
import { CheckboxField, NumberField, SelectField } from "../../components/fields.tsx";
import { devices as t } from "../../strings/devices.ts";
import type { DiskOptions } from "./disk-options.ts";

type Props = {
	options: DiskOptions;
	/** Fields are "/readIops" and the like. */
	error: (field: string) => string | null;
	onChange: (options: DiskOptions, field: string) => void;
	/** Says when a VM that runs has them. */
	runs?: boolean;
	/** Why nothing that the guest discards is freed, whatever is chosen. */
	discardIgnored?: string | undefined;
};

export function DiskOptionFields({ options, error, onChange, runs = false, discardIgnored }: Props) {
	const set = (change: Partial<DiskOptions>) => onChange({ ...options, ...change }, `/${Object.keys(change)[0]}`);
	const limit = (key: "readIops" | "writeIops" | "readRate" | "writeRate", unit: string) => (
		<NumberField
			label={t[key]}
			unit={unit}
			min={0}
			value={options[key]}
			error={error(`/${key}`)}
			onInput={(value) => set({ [key]: value })}
		/>
	);
	return (
		<>
			<FieldGroup title={t.limits} hint={runs ? `${t.limitsHint} ${t.limitsNow}` : t.limitsHint}>
				<FieldRow>
					{limit("readIops", t.iopsUnit)}
					{limit("writeIops", t.iopsUnit)}
				</FieldRow>
				<FieldRow>
					{limit("readRate", t.rateUnit)}
					{limit("writeRate", t.rateUnit)}
				</FieldRow>
			</FieldGroup>
			<FieldGroup title={t.attachment} {...(runs ? { hint: t.atNextStart } : {})}>
				<SelectField
					label={t.bus}
					narrow
					value={options.bus}
					error={error("/bus")}
					choices={(["virtio", "scsi", "sata"] as const).map((value) => ({ value, label: t.buses[value] }))}
					onChange={(bus) => set({ bus })}
				/>
				<SelectField
					label={t.cache}
					narrow
					hint={t.cacheHints[options.cache]}
					value={options.cache}
					error={error("/cache")}
					choices={(["none", "writeback", "writethrough"] as const).map((value) => ({ value, label: t.caches[value] }))}
					onChange={(cache) => set({ cache })}
				/>
				<CheckboxField
					label={t.discard}
					hint={discardIgnored ?? t.discardHint}
					checked={options.discard}
					onChange={(discard) => set({ discard })}
				/>
				<CheckboxField
					label={t.readOnly}
					hint={t.readOnlyHint}
					checked={options.readOnly}
					error={error("/readOnly")}
					onChange={(readOnly) => set({ readOnly })}
				/>
			</FieldGroup>
		</>
	);
}
