/** A volume by itself: empty or from an image. */
import { useLocation } from "preact-iso";
import { GiB, MiB } from "../../../src/lib/units.ts";
import { isShared } from "../../../src/model/storage-rules.ts";
import type { Pool } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/fields.tsx";
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
	copyObstacle,
	diskIn,
	formatChoices,
	formatHint,
	type Provisioning,
	poolChoices,
	provisioningBody,
	readyImages,
} from "./choices.ts";
import { FullCopyField } from "./full-copy-field.tsx";
import { ProvisioningField } from "./provisioning-field.tsx";

type Values = {
	name: string;
	imageId: string;
	sizeBytes: number | null;
	/** "": the image's, or the one that the node chooses. */
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
	const poolOf = ({ imageId, poolId }: Pick<Values, "imageId" | "poolId">) => {
		const id = poolId === "" ? images.find((image) => image.id === imageId)?.poolId : poolId;
		return pools.find((pool) => pool.id === id);
	};
	/** Where the image is that it is made of. */
	const sourceOf = ({ imageId }: Values) => poolOf({ imageId, poolId: "" });
	const nameOf = (id: string) => nodes.find((node) => node.id === id)?.name ?? common.unknown;
	const obstacleOf = (pool: Pool, values: Values) => {
		const from = sourceOf(values);
		const nodeId = values.nodeId === "" || isShared(pool) ? null : values.nodeId;
		return from ? copyObstacle(pool, { from, nodeId, nameOf }) : null;
	};
	const form = useForm<Values>({
		initial: {
			...{ name: "", imageId: "", sizeBytes: 20 * GiB, poolId: "", nodeId: "" },
			...{ format: "qcow2", provisioning: "thin", fullCopy: false },
		},
		validate(values): FieldErrors {
			const { name, imageId, sizeBytes } = values;
			const errors: FieldErrors = {};
			const pool = poolOf(values);
			const obstacle = pool ? obstacleOf(pool, values) : null;
			if (obstacle !== null) errors["/poolId"] = obstacle;
			const least = images.find(({ id }) => id === imageId)?.virtualSizeBytes ?? 0;
			if (!fits(namePattern, name)) errors["/name"] = name === "" ? common.required : common.nameInvalid;
			if (sizeBytes === null || sizeBytes < MiB) errors["/sizeBytes"] = common.numberMin("1 MiB");
			else if (sizeBytes < least) errors["/sizeBytes"] = t.imageNeeds(formatBytes(least));
			return errors;
		},
		async submit(values) {
			const { name, imageId, sizeBytes, poolId, nodeId, provisioning } = values;
			const pool = poolOf(values);
			const { format, mustBeFull } = diskIn(pool, { ...values, from: sourceOf(values) });
			const fullCopy = values.fullCopy || mustBeFull;
			const { data } = await write("volumeCreate", {
				body: {
					name,
					sizeBytes: sizeBytes ?? GiB,
					...(pool === undefined && format === "qcow2" ? {} : { format }),
					...(poolId === "" ? {} : { poolId }),
					...(nodeId === "" || (pool && isShared(pool)) ? {} : { nodeId }),
					...provisioningBody(pool, provisioning),
					...(imageId === "" ? {} : { source: { kind: "image" as const, imageId, fullCopy } }),
				},
			});
			onClose();
			route(href("volume", { volumeId: data.id }));
		},
	});
	const values = form.values.value;
	const [pool, from] = [poolOf(values), sourceOf(values)];
	const { format, elsewhere, mustBeFull } = diskIn(pool, { ...values, from });
	const onNoNode = pool !== undefined && isShared(pool);
	const hasBoth = (nodeId: string) => [pool, from].every((one) => one === undefined || one.nodeIds.includes(nodeId));
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
			<SelectField
				label={t.filterPool}
				value={values.poolId}
				error={form.error("/poolId")}
				choices={[
					{ value: "", label: from ? t.poolOfImage(from.name) : common.defaultChoice },
					...poolChoices(pools, { obstacleOf: (one) => obstacleOf(one, values) }),
				]}
				onChange={(poolId) => form.set({ poolId })}
			/>
			{nodes.length > 1 && !onNoNode && (
				<SelectField
					label={move.node}
					hint={values.nodeId === "" ? move.automaticStorage : undefined}
					value={values.nodeId}
					error={form.error("/nodeId")}
					choices={[
						{ value: "", label: move.automatic },
						...nodes.map(({ id, name }) => ({ value: id, label: name, disabled: !hasBoth(id) })),
					]}
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
				<FullCopyField
					elsewhere={elsewhere}
					must={mustBeFull}
					wanted={values.fullCopy}
					onChange={(fullCopy) => form.set({ fullCopy })}
				/>
			)}
		</Dialog>
	);
}
