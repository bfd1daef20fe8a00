/** A volume by itself: empty or from an image. */
import { useLocation } from "preact-iso";
import { GiB, MiB } from "../../../src/lib/units.ts";
import { isShared } from "../../../src/model/storage-rules.ts";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { CheckboxField, SelectField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SizeField } from "../../components/size-field.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { formatBytes } from "../../lib/format.ts";
import { fits, namePattern } from "../../lib/patterns.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { move } from "../../strings/move.ts";
import { storage as t } from "../../strings/storage.ts";
import { useNodes } from "../shared/node-column.tsx";
import {
	copiesAll,
	formatChoices,
	formatHint,
	formatIn,
	type Provisioning,
	poolChoices,
	provisioningBody,
	readyImages,
} from "./choices.ts";
import { ProvisioningField } from "./provisioning-field.tsx";

type Values = {
	name: string;
	imageId: string;
	sizeBytes: number | null;
	poolId: string;
	nodeId: string;
	format: "qcow2" | "raw";
	provisioning: Provisioning;
	fullCopy: boolean;
};

export function CreateVolumePanel({ onClose }: { onClose: () => void }) {
	const { route } = useLocation();
	const pools = useCollection("pool").items.value;
	const nodes = useNodes().filter(({ witness, status }) => !witness && status.phase !== "left");
	const images = readyImages(useCollection("image").items.value, "disk");
	const poolOf = ({ imageId, poolId }: Values) => {
		const id = imageId === "" ? poolId : images.find((image) => image.id === imageId)?.poolId;
		return pools.find((pool) => pool.id === id);
	};
	const form = useForm<Values>({
		initial: {
			...{ name: "", imageId: "", sizeBytes: 20 * GiB, poolId: "", nodeId: "" },
			...{ format: "qcow2", provisioning: "thin", fullCopy: false },
		},
		validate({ name, imageId, sizeBytes }): FieldErrors {
			const errors: FieldErrors = {};
			const least = images.find(({ id }) => id === imageId)?.virtualSizeBytes ?? 0;
			if (!fits(namePattern, name)) errors["/name"] = name === "" ? common.required : common.nameInvalid;
			if (sizeBytes === null || sizeBytes < MiB) errors["/sizeBytes"] = common.numberMin("1 MiB");
			else if (sizeBytes < least) errors["/sizeBytes"] = t.imageNeeds(formatBytes(least));
			return errors;
		},
		async submit(values) {
			const { name, imageId, sizeBytes, poolId, nodeId, provisioning } = values;
			const pool = poolOf(values);
			const format = formatIn(pool, values.format);
			const fullCopy = values.fullCopy || copiesAll(pool, format, provisioning);
			const { data } = await write("volumeCreate", {
				body: {
					name,
					sizeBytes: sizeBytes ?? GiB,
					...(pool === undefined && format === "qcow2" ? {} : { format }),
					...(poolId === "" || imageId !== "" ? {} : { poolId }),
					...(nodeId === "" || imageId !== "" || (pool && isShared(pool)) ? {} : { nodeId }),
					...provisioningBody(pool, provisioning),
					...(imageId === "" ? {} : { source: { kind: "image" as const, imageId, fullCopy } }),
				},
			});
			onClose();
			route(href("volume", { volumeId: data.id }));
		},
	});
	const values = form.values.value;
	const pool = poolOf(values);
	const format = formatIn(pool, values.format);
	const isWhole = copiesAll(pool, format, values.provisioning);
	const onNoNode = pool !== undefined && isShared(pool);
	return (
		<Dialog
			kind="panel"
			title={t.createVolume}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.createVolume}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.createVolumeFailed} />
			<TextField
				label={common.name}
				hint={common.nameHint}
				plain
				value={values.name}
				error={form.error("/name")}
				onInput={(name) => form.set({ name })}
			/>
			<SelectField
				label={t.source}
				value={values.imageId}
				error={form.error("/source/imageId")}
				choices={[
					{ value: "", label: t.sources.empty },
					...images.map(({ id, name }) => ({ value: id, label: `${t.sources.image}: ${name}` })),
				]}
				onChange={(imageId) => {
					const least = images.find(({ id }) => id === imageId)?.virtualSizeBytes ?? 0;
					form.set({ imageId, sizeBytes: Math.max(values.sizeBytes ?? 0, least) });
				}}
			/>
			<SizeField
				label={t.size}
				narrow
				value={values.sizeBytes}
				error={form.error("/sizeBytes")}
				onInput={(sizeBytes) => form.set({ sizeBytes })}
			/>
			{values.imageId === "" && (
				<SelectField
					label={t.filterPool}
					value={values.poolId}
					error={form.error("/poolId")}
					choices={[{ value: "", label: common.defaultChoice }, ...poolChoices(pools)]}
					onChange={(poolId) => form.set({ poolId })}
				/>
			)}
			{values.imageId === "" && nodes.length > 1 && !onNoNode && (
				<SelectField
					label={move.node}
					hint={values.nodeId === "" ? move.automaticStorage : undefined}
					value={values.nodeId}
					error={form.error("/nodeId")}
					choices={[{ value: "", label: move.automatic }, ...nodes.map(({ id, name }) => ({ value: id, label: name }))]}
					onChange={(nodeId) => form.set({ nodeId })}
				/>
			)}
			<SelectField
				label={t.format}
				narrow
				hint={formatHint(pool, format)}
				value={format}
				error={form.error("/format")}
				choices={formatChoices(pool)}
				onChange={(value) => form.set({ format: value })}
			/>
			<ProvisioningField
				pool={pool}
				wanted={values.provisioning}
				error={form.error("/provisioning")}
				onChange={(provisioning) => form.set({ provisioning })}
			/>
			{values.imageId !== "" && (
				<CheckboxField
					label={t.fullCopy}
					hint={t.fullCopyHint}
					checked={values.fullCopy || isWhole}
					disabled={isWhole}
					onChange={(fullCopy) => form.set({ fullCopy })}
				/>
			)}
		</Dialog>
	);
}
