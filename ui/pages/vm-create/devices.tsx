/** Disks, CD-ROM drives and NICs of a new VM. */
import { Plus, Trash2 } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { GiB } from "../../../src/lib/units.ts";
import { Button } from "../../components/button.tsx";
import { FieldGroup, FieldRow } from "../../components/field.tsx";
import { SegmentedField, SelectField, TextField } from "../../components/fields.tsx";
import { Notice } from "../../components/layout.tsx";
import { SizeField } from "../../components/size-field.tsx";
import { formatBytes } from "../../lib/format.ts";
import { byName } from "../../lib/sort.ts";
import { common } from "../../strings/common.ts";
import { devices } from "../../strings/devices.ts";
import { storage } from "../../strings/storage.ts";
import { vmCreate as t } from "../../strings/vm-create.ts";
import { diskIn, formatChoices, formatHint, poolChoices, readyImages } from "../storage/choices.ts";
import { FullCopyField } from "../storage/full-copy-field.tsx";
import { ProvisioningField } from "../storage/provisioning-field.tsx";
import type { SectionProps } from "./advanced.tsx";
import { type ExtraDisk, imagePool, mainPool, mainPoolObstacle, type NewNic, poolById } from "./values.ts";

const busChoices = (["virtio", "scsi", "sata"] as const).map((value) => ({ value, label: devices.buses[value] }));
const replaced = <T,>(list: readonly T[], at: number, change: Partial<T>): T[] =>
	list.map((item, index) => (index === at ? { ...item, ...change } : item));
const without = <T,>(list: readonly T[], at: number): T[] => list.filter((_, index) => index !== at);

function Device(props: { title: string; removeLabel?: string; onRemove?: () => void; children: ComponentChildren }) {
	return (
		<div class="vm-create__device">
			<FieldGroup title={props.title}>{props.children}</FieldGroup>
			{props.onRemove && (
				<div>
					<Button small kind="ghost" icon={Trash2} onClick={props.onRemove}>
						{props.removeLabel}
					</Button>
				</div>
			)}
		</div>
	);
}

export function DisksSection({ form, refs }: SectionProps) {
	const values = form.values.value;
	const { poolId, provisioning, fullCopy, bus, extraDisks } = values;
	const [pool, from] = [mainPool(values, refs), imagePool(values, refs)];
	const { format, elsewhere, mustBeFull } = diskIn(pool, { ...values, from });
	return (
		<>
			<Device title={t.mainDisk}>
				<SelectField
					label={t.pool}
					value={poolId}
					error={form.error("/disks/0/poolId")}
					choices={[
						{ value: "", label: from ? storage.poolOfImage(from.name) : t.plan.defaultPool },
						...poolChoices(refs.pools, { obstacleOf: (one) => mainPoolObstacle(one, values, refs) }),
					]}
					onChange={(value) => form.set({ poolId: value }, "/disks/0/poolId")}
				/>
				<FieldRow>
					<SelectField
						label={t.format}
						hint={formatHint(pool, format)}
						value={format}
						error={form.error("/disks/0/format")}
						choices={formatChoices(pool)}
						onChange={(value) => form.set({ format: value }, "/disks/0/format")}
					/>
					<SelectField
						label={devices.bus}
						value={bus}
						choices={busChoices}
						onChange={(value) => form.set({ bus: value })}
					/>
				</FieldRow>
				<ProvisioningField
					pool={pool}
					wanted={provisioning}
					error={form.error("/disks/0/provisioning")}
					onChange={(value) => form.set({ provisioning: value }, "/disks/0/provisioning")}
				/>
				{from && (
					<FullCopyField
						label={t.fullCopy}
						elsewhere={elsewhere}
						must={mustBeFull}
						wanted={fullCopy}
						onChange={(value) => form.set({ fullCopy: value })}
					/>
				)}
			</Device>
			{extraDisks.map((disk, index) => (
				<ExtraDiskFields
					key={index}
					disk={disk}
					number={index + 2}
					form={form}
					refs={refs}
					onChange={(change, field) =>
						form.set({ extraDisks: replaced(extraDisks, index, change) }, `/disks/${index + 1}/${field}`)
					}
					onRemove={() => form.set({ extraDisks: without(extraDisks, index) })}
				/>
			))}
			<div>
				<Button
					small
					icon={Plus}
					onClick={() =>
						form.set({
							extraDisks: [
								...extraDisks,
								{ kind: "new", sizeBytes: 20 * GiB, poolId: "", volumeId: "", provisioning: "thin", bus: "virtio" },
							],
						})
					}
				>
					{t.addDisk}
				</Button>
			</div>
		</>
	);
}

type ExtraProps = SectionProps & {
	disk: ExtraDisk;
	number: number;
	onChange: (change: Partial<ExtraDisk>, field: string) => void;
	onRemove: () => void;
};

function ExtraDiskFields({ disk, number, form, refs, onChange, onRemove }: ExtraProps) {
	const free = refs.volumes.filter(({ vmId, phase }) => vmId === null && phase === "ready").sort(byName);
	const path = `/disks/${number - 1}`;
	return (
		<Device title={t.furtherDisk(number)} removeLabel={t.removeDisk(number)} onRemove={onRemove}>
			<SegmentedField
				label={t.diskKind}
				value={disk.kind}
				choices={[
					{ value: "new", label: t.diskKinds.new },
					{ value: "existing", label: t.diskKinds.existing },
				]}
				onChange={(kind) => onChange({ kind }, "kind")}
			/>
			{disk.kind === "existing" ? (
				<SelectField
					label={devices.volume}
					value={disk.volumeId}
					error={form.error(`${path}/volumeId`)}
					hint={free.length === 0 ? devices.noFreeVolumes : undefined}
					choices={[
						{ value: "", label: common.toChoose },
						...free.map(({ id, name, sizeBytes }) => ({ value: id, label: `${name} (${formatBytes(sizeBytes)})` })),
					]}
					onChange={(volumeId) => onChange({ volumeId }, "volumeId")}
				/>
			) : (
				<FieldRow>
					<SizeField
						label={devices.size}
						value={disk.sizeBytes}
						error={form.error(`${path}/sizeBytes`)}
						onInput={(sizeBytes) => onChange({ sizeBytes }, "sizeBytes")}
					/>
					<SelectField
						label={t.pool}
						value={disk.poolId}
						error={form.error(`${path}/poolId`)}
						choices={[{ value: "", label: t.plan.defaultPool }, ...poolChoices(refs.pools)]}
						onChange={(poolId) => onChange({ poolId }, "poolId")}
					/>
				</FieldRow>
			)}
			{disk.kind === "new" && (
				<ProvisioningField
					pool={poolById(refs, disk.poolId)}
					wanted={disk.provisioning}
					error={form.error(`${path}/provisioning`)}
					onChange={(provisioning) => onChange({ provisioning }, "provisioning")}
				/>
			)}
			<SelectField
				label={devices.bus}
				narrow
				value={disk.bus}
				choices={busChoices}
				onChange={(bus) => onChange({ bus }, "bus")}
			/>
		</Device>
	);
}

const mostDrives = 4;

export function DrivesSection({ form, refs }: SectionProps) {
	const { drives } = form.values.value;
	const discs = readyImages(refs.images, "iso").map(({ id, name }) => ({ value: id, label: name }));
	return (
		<>
			{drives.map((imageId, index) => (
				<Device
					key={index}
					title={t.drive(index + 1)}
					removeLabel={t.removeDrive(index + 1)}
					onRemove={() => form.set({ drives: without(drives, index) })}
				>
					<SelectField
						label={devices.disc}
						value={imageId}
						error={form.error(`/cdroms/${index}/imageId`)}
						choices={[{ value: "", label: t.emptyDrive }, ...discs]}
						onChange={(value) =>
							form.set(
								{ drives: drives.map((other, at) => (at === index ? value : other)) },
								`/cdroms/${index}/imageId`,
							)
						}
					/>
				</Device>
			))}
			{drives.length < mostDrives && (
				<div>
					<Button small icon={Plus} onClick={() => form.set({ drives: [...drives, ""] })}>
						{t.addDrive}
					</Button>
				</div>
			)}
		</>
	);
}

export function NicsSection({ form, refs }: SectionProps) {
	const { nics } = form.values.value;
	const networks = [...refs.networks].sort(byName).map(({ id, name }) => ({ value: id, label: name }));
	const change = (index: number, nic: Partial<NewNic>, field: string) =>
		form.set({ nics: replaced(nics, index, nic) }, `/nics/${index}/${field}`);
	if (networks.length === 0) return <Notice tone="warning">{t.noNetworks}</Notice>;
	return (
		<>
			{nics.map((nic, index) => (
				<Device
					key={index}
					title={t.nic(index + 1)}
					removeLabel={t.removeNic(index + 1)}
					onRemove={() => form.set({ nics: without(nics, index) })}
				>
					<FieldRow>
						<SelectField
							label={devices.network}
							value={nic.networkId}
							error={form.error(`/nics/${index}/networkId`)}
							choices={networks}
							onChange={(networkId) => change(index, { networkId }, "networkId")}
						/>
						<SelectField
							label={devices.model}
							value={nic.model}
							choices={[
								{ value: "virtio", label: devices.models.virtio },
								{ value: "e1000e", label: devices.models.e1000e },
							]}
							onChange={(model) => change(index, { model }, "model")}
						/>
					</FieldRow>
					<TextField
						label={devices.mac}
						optional
						hint={devices.macHint}
						mono
						plain
						value={nic.mac}
						error={form.error(`/nics/${index}/mac`)}
						onInput={(mac) => change(index, { mac: mac.trim().toLowerCase() }, "mac")}
					/>
				</Device>
			))}
			<div>
				<Button
					small
					icon={Plus}
					onClick={() =>
						form.set({ nics: [...nics, { networkId: networks[0]?.value ?? "", model: "virtio", mac: "" }] })
					}
				>
					{t.addNic}
				</Button>
			</div>
		</>
	);
}
