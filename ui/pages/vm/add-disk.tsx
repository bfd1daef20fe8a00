/** A new disk for a VM: empty, from an image, or a volume that is there already. */

import { GiB, MiB } from "../../../src/lib/units.ts";
import { usualCache } from "../../../src/model/storage-rules.ts";
import { live } from "../../api/live/live.ts";
import type { Pool, Vm, VolumeCreate } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { SegmentedField, SelectField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { Disclosure, Notice } from "../../components/layout.tsx";
import { SizeField } from "../../components/size-field.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { formatBytes } from "../../lib/format.ts";
import { fits, namePattern } from "../../lib/patterns.ts";
import { byName } from "../../lib/sort.ts";
import { common } from "../../strings/common.ts";
import { devices as t } from "../../strings/devices.ts";
import { storage as storageText } from "../../strings/storage.ts";
import {
	copyObstacle,
	diskIn,
	formatChoices,
	formatHint,
	type Provisioning,
	poolChoices,
	provisioningBody,
} from "../storage/choices.ts";
import { FullCopyField } from "../storage/full-copy-field.tsx";
import { ProvisioningField } from "../storage/provisioning-field.tsx";
import { DiskOptionFields } from "./disk-option-fields.tsx";
import { type DiskOptions, diskOf, optionErrors, usualOptions, whyNotDiscarded } from "./disk-options.ts";
import { attachNew, makeVolume } from "./make-volume.ts";
import { freeDeviceId, updateVm } from "./update.ts";

type Values = {
	kind: "new" | "image" | "existing";
	name: string;
	sizeBytes: number | null;
	poolId: string;
	imageId: string;
	volumeId: string;
	format: "qcow2" | "raw";
	provisioning: Provisioning;
	fullCopy: boolean;
	options: DiskOptions;
	/** Until somebody says how, it is as usual in the pool. */
	cacheChosen: boolean;
};

export function AddDiskPanel({ vm, onClose }: { vm: Vm; onClose: () => void }) {
	const pools = useCollection("pool").items.value;
	const images = useCollection("image").items.value;
	const volumes = useCollection("volume").items.value;
	const usable = images.filter(({ phase, format }) => phase === "ready" && format !== "iso").sort(byName);
	const free = volumes.filter(
		({ vmId, phase, nodeId }) => vmId === null && phase === "ready" && (nodeId ?? vm.nodeId) === vm.nodeId,
	);
	const id = freeDeviceId("disk", vm.spec.disks);
	const poolOf = (poolId: string | undefined) => pools.find((one) => one.id === poolId);
	const nameOf = (nodeId: string) => live.node.peek(nodeId)?.name ?? common.unknown;
	/** The pool of the image that it is made of. */
	const sourceOf = ({ kind, imageId }: Pick<Values, "kind" | "imageId">) =>
		kind === "image" ? poolOf(images.find((one) => one.id === imageId)?.poolId) : undefined;
	const obstacleIn = (pool: Pool, from: Pool | undefined) =>
		from ? copyObstacle(pool, { from, nodeId: vm.nodeId, nameOf }) : null;
	const optionsOf = ({ kind, poolId, volumeId, options, cacheChosen }: Values): DiskOptions => {
		const where = kind === "existing" ? free.find((one) => one.id === volumeId)?.poolId : poolId;
		return cacheChosen ? options : { ...options, cache: usualCache(poolOf(where)) };
	};
	const form = useForm<Values>({
		initial: {
			kind: "new",
			name: `${vm.name.slice(0, 48)}-${id}`,
			sizeBytes: 20 * GiB,
			poolId: volumes.find(({ vmId }) => vmId === vm.id)?.poolId ?? pools[0]?.id ?? "",
			imageId: "",
			volumeId: "",
			format: "qcow2",
			provisioning: "thin",
			fullCopy: false,
			options: usualOptions,
			cacheChosen: false,
		},
		validate(values): FieldErrors {
			const errors: FieldErrors = optionErrors(values.options);
			if (values.kind === "existing") {
				if (values.volumeId === "") errors["/volumeId"] = common.required;
				return errors;
			}
			if (!fits(namePattern, values.name)) errors["/name"] = common.nameInvalid;
			if (values.sizeBytes === null || values.sizeBytes < MiB) errors["/sizeBytes"] = common.numberMin("1 MiB");
			if (values.kind === "image") {
				const image = images.find((other) => other.id === values.imageId);
				const least = image?.virtualSizeBytes ?? 0;
				const pool = poolOf(values.poolId);
				const obstacle = pool ? obstacleIn(pool, sourceOf(values)) : null;
				if (obstacle !== null) errors["/poolId"] = obstacle;
				if (!image) errors["/source/imageId"] = common.required;
				else if (values.sizeBytes !== null && values.sizeBytes < least) {
					errors["/sizeBytes"] = storageText.imageNeeds(formatBytes(least));
				}
			}
			return errors;
		},
		async submit(values) {
			if (values.kind === "existing") {
				const disk = diskOf({ id, volumeId: values.volumeId }, optionsOf(values));
				await updateVm(vm, { disks: [...vm.spec.disks, disk] });
			} else {
				const volumeId = await makeVolume(newVolume(vm, values, sourceOf(values)));
				await attachNew(vm, diskOf({ id, volumeId }, optionsOf(values)), values.name);
			}
			onClose();
		},
	});
	const values = form.values.value;
	const source = values.kind;
	const [pool, from] = [poolOf(values.poolId), sourceOf(values)];
	const { format, elsewhere, mustBeFull } = diskIn(pool, { ...values, from });
	const existing = source === "existing" ? free.find((one) => one.id === values.volumeId) : undefined;
	return (
		<Dialog
			kind="panel"
			title={t.addDiskTitle(vm.name)}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.addDisk}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.addDiskFailed} />
			<SegmentedField
				label={t.diskKind}
				value={source}
				choices={[
					{ value: "new", label: t.newDisk },
					{ value: "image", label: t.fromImage },
					{ value: "existing", label: t.existing },
				]}
				onChange={(kind) => form.set({ kind })}
			/>
			{source === "existing" &&
				(free.length === 0 ? (
					<Notice>{t.noFreeVolumes}</Notice>
				) : (
					<SelectField
						label={t.volume}
						value={values.volumeId}
						error={form.error("/volumeId")}
						choices={[
							{ value: "", label: "" },
							...free.sort(byName).map((volume) => ({
								value: volume.id,
								label: `${volume.name} (${formatBytes(volume.sizeBytes)})`,
							})),
						]}
						onChange={(volumeId) => form.set({ volumeId })}
					/>
				))}
			{source === "image" &&
				(usable.length === 0 ? (
					<Notice>{t.noImages}</Notice>
				) : (
					<SelectField
						label={t.image}
						value={values.imageId}
						error={form.error("/source/imageId")}
						choices={[{ value: "", label: "" }, ...usable.map((image) => ({ value: image.id, label: image.name }))]}
						onChange={(imageId) => {
							const image = images.find((other) => other.id === imageId);
							const sizeBytes = Math.max(values.sizeBytes ?? 0, image?.virtualSizeBytes ?? 0);
							form.set({ imageId, sizeBytes, poolId: image?.poolId ?? values.poolId }, "/source/imageId");
						}}
					/>
				))}
			{source !== "existing" && (
				<>
					<TextField
						label={t.diskName}
						value={values.name}
						plain
						error={form.error("/name")}
						onInput={(name) => form.set({ name })}
					/>
					<SizeField
						label={t.size}
						narrow
						value={values.sizeBytes}
						error={form.error("/sizeBytes")}
						onInput={(sizeBytes) => form.set({ sizeBytes })}
					/>
					<SelectField
						label={t.pool}
						value={values.poolId}
						error={form.error("/poolId")}
						choices={poolChoices(pools, { obstacleOf: (one) => obstacleIn(one, from) })}
						onChange={(poolId) => form.set({ poolId })}
					/>
					<SelectField
						label={t.format}
						narrow
						value={format}
						hint={formatHint(pool, format)}
						choices={formatChoices(pool)}
						onChange={(value) => form.set({ format: value })}
					/>
					<ProvisioningField
						pool={pool}
						wanted={values.provisioning}
						error={form.error("/provisioning")}
						onChange={(provisioning) => form.set({ provisioning })}
					/>
					{source === "image" && (
						<FullCopyField
							elsewhere={elsewhere}
							must={mustBeFull}
							wanted={values.fullCopy}
							onChange={(fullCopy) => form.set({ fullCopy })}
						/>
					)}
				</>
			)}
			<Disclosure title={t.options} note={t.optionsNote}>
				<DiskOptionFields
					options={optionsOf(values)}
					error={(field) => form.error(field)}
					onChange={(options, field) => {
						const cacheChosen = values.cacheChosen || options.cache !== optionsOf(values).cache;
						form.set({ options, cacheChosen }, field);
					}}
					discardIgnored={
						source === "existing"
							? existing && whyNotDiscarded(existing, poolOf(existing.poolId), vm.nodeId)
							: whyNotDiscarded(provisioningBody(pool, values.provisioning), pool, vm.nodeId)
					}
				/>
			</Disclosure>
		</Dialog>
	);
}

/** What the API is asked to make. `from`: the pool of the image that it is made of. */
function newVolume(
	vm: Vm,
	{ kind, name, poolId, sizeBytes, imageId, ...values }: Values,
	from: Pool | undefined,
): VolumeCreate {
	const pool = live.pool.peek(poolId);
	const { format, mustBeFull } = diskIn(pool, { ...values, from });
	return {
		...{ name, poolId, nodeId: vm.nodeId, format },
		...(sizeBytes === null ? {} : { sizeBytes }),
		...provisioningBody(pool, values.provisioning),
		source: kind === "image" ? { kind, imageId, fullCopy: values.fullCopy || mustBeFull } : { kind: "empty" },
	};
}
