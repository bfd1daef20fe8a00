/** Name, image, size. */
import { useState } from "preact/hooks";
import type { Image } from "../../api/types.ts";
import { Button } from "../../components/button.tsx";
import { FieldRow } from "../../components/field.tsx";
import { NumberField, SegmentedField, SelectField, TextField } from "../../components/fields.tsx";
import type { Form } from "../../components/form.ts";
import { resourceIcons } from "../../components/icons.ts";
import { Card, Notice, Stack } from "../../components/layout.tsx";
import { SizeField } from "../../components/size-field.tsx";
import { SearchBox } from "../../components/table/search-box.tsx";
import { formatBytes } from "../../lib/format.ts";
import { matchScore } from "../../lib/fuzzy.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { move } from "../../strings/move.ts";
import { vmCreate as t } from "../../strings/vm-create.ts";
import { roomText } from "../shared/placement.ts";
import { readyImages } from "../storage/choices.ts";
import { type CreateValues, diskBytesFor, nodesFor, noImage, type Refs, type SizeName, sizes } from "./values.ts";

type Props = { form: Form<CreateValues>; refs: Refs };

export function BasicsCard({ form, refs }: Props) {
	const values = form.values.value;
	const setSize = (size: SizeName) => {
		if (size === "custom") form.set({ size, diskBytes: diskBytesFor(values, refs) }, "/size");
		else form.set({ size, ...sizes[size] }, "/vcpus", "/memoryBytes", "/disks/0/sizeBytes");
	};
	return (
		<Card title={t.basics}>
			<Stack>
				<TextField
					label={t.name}
					hint={common.nameHint}
					value={values.name}
					plain
					error={form.error("/name")}
					onInput={(name) => form.set({ name })}
				/>
				<ImagePicker form={form} refs={refs} />
				<SegmentedField
					label={t.size}
					large
					value={values.size}
					choices={[
						...(Object.keys(sizes) as (keyof typeof sizes)[]).map((value) => ({
							value: value as SizeName,
							label: t.sizes[value],
							note: t.sizeNote(
								sizes[value].vcpus,
								formatBytes(sizes[value].memoryBytes),
								formatBytes(diskBytesFor({ ...values, size: value }, refs) ?? 0),
							),
						})),
						{ value: "custom", label: t.sizes.custom, note: t.customNote },
					]}
					onChange={setSize}
				/>
				{values.size === "custom" && (
					<FieldRow>
						<NumberField
							label={t.vcpus}
							min={1}
							max={512}
							value={values.vcpus}
							error={form.error("/vcpus")}
							onInput={(vcpus) => form.set({ vcpus })}
						/>
						<SizeField
							label={t.memory}
							value={values.memoryBytes}
							error={form.error("/memoryBytes")}
							onInput={(memoryBytes) => form.set({ memoryBytes })}
						/>
						<SizeField
							label={t.disk}
							value={values.diskBytes}
							error={form.error("/disks/0/sizeBytes")}
							onInput={(diskBytes) => form.set({ diskBytes }, "/disks/0/sizeBytes")}
						/>
					</FieldRow>
				)}
				<NodeField form={form} refs={refs} />
			</Stack>
		</Card>
	);
}

/** Nothing to choose in a single-node cluster. */
function NodeField({ form, refs }: Props) {
	const { nodeId } = form.values.value;
	const targets = nodesFor(form.values.value, refs);
	if (targets.length < 2) return null;
	return (
		<SelectField
			label={move.node}
			hint={nodeId === "" ? move.automaticHint : undefined}
			value={nodeId}
			error={form.error("/nodeId")}
			choices={[
				{ value: "", label: move.automatic },
				...targets.map(({ node, obstacle, memoryLeftBytes }) => ({
					value: node.id,
					label: move.nodeChoice(node.name, obstacle ?? roomText({ memoryLeftBytes })),
					disabled: obstacle !== null,
				})),
			]}
			onChange={(value) => form.set({ nodeId: value })}
		/>
	);
}

const searchFrom = 8;

function ImagePicker({ form, refs }: Props) {
	const [search, setSearch] = useState("");
	const { imageId } = form.values.value;
	const all = [...readyImages(refs.images, "disk"), ...readyImages(refs.images, "iso")];
	const shown = all.filter(
		(image) => image.id === imageId || matchScore(search, `${image.name} ${image.tags.join(" ")}`) !== null,
	);
	const error = form.error("/disks/0/imageId");
	const choose = (id: string) => form.set({ imageId: id }, "/disks/0/imageId");
	return (
		<fieldset class="image-picker">
			<legend class="field__label">{t.image}</legend>
			<p class="field__hint">{t.imageHint}</p>
			{all.length === 0 && (
				<Notice
					actions={
						<Button small href={`${href("images")}?add=upload`}>
							{t.addImage}
						</Button>
					}
				>
					{t.noImages}
				</Notice>
			)}
			{all.length >= searchFrom && <SearchBox value={search} onInput={setSearch} label={t.imageSearch} />}
			<div class="image-picker__list">
				{shown.map((image) => (
					<ImageChoice
						key={image.id}
						value={image.id}
						name={image.name}
						note={imageNote(image)}
						checked={image.id === imageId}
						invalid={error !== null}
						onChoose={choose}
					/>
				))}
				{shown.length === 0 && all.length > 0 && <p class="muted">{t.noMatch}</p>}
				<ImageChoice
					value={noImage}
					name={t.imageNone}
					note={t.imageNoneNote}
					checked={imageId === noImage}
					invalid={error !== null}
					onChoose={choose}
				/>
			</div>
			{error && (
				<p class="field__error" role="alert">
					{error}
				</p>
			)}
		</fieldset>
	);
}

const imageNote = ({ format, virtualSizeBytes, fileSizeBytes }: Image): string =>
	format === "iso"
		? t.imageIso(formatBytes(fileSizeBytes ?? 0))
		: t.imageDisk(format, formatBytes(virtualSizeBytes ?? fileSizeBytes ?? 0));

function ImageChoice(props: {
	value: string;
	name: string;
	note: string;
	checked: boolean;
	invalid: boolean;
	onChoose: (value: string) => void;
}) {
	const IconOf = props.value === noImage ? resourceIcons.volume : resourceIcons.image;
	return (
		<label class="image-picker__choice">
			<input
				type="radio"
				name="image"
				value={props.value}
				checked={props.checked}
				aria-invalid={props.invalid || undefined}
				onChange={() => props.onChoose(props.value)}
			/>
			<IconOf size={16} aria-hidden="true" />
			<span class="image-picker__name">{props.name}</span>
			<span class="image-picker__note">{props.note}</span>
		</label>
	);
}
