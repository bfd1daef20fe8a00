/** Adding an image: upload, download by URL, or a file that is on the node. */

import { useEffect, useRef, useState } from "preact/hooks";
import { obstacleTo, role } from "../../api/session.ts";
import type { ImageCreate } from "../../api/types.ts";
import { startUpload } from "../../api/uploads.ts";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { SegmentedField, SelectField, TextAreaField, TextField, WordsField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { Disclosure, Notice } from "../../components/layout.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { formatFromName, type ImageFormat, nameFromFile, sniffFormat } from "../../lib/image-file.ts";
import { fits, imageUrlPattern, namePattern, sha256Pattern } from "../../lib/patterns.ts";
import { common } from "../../strings/common.ts";
import { images as t } from "../../strings/images.ts";
import { move } from "../../strings/move.ts";
import { useNodes } from "../shared/node-column.tsx";
import { poolChoices } from "../storage/choices.ts";
import { FileInput } from "./file-input.tsx";

type Source = "upload" | "url" | "path";
type Values = {
	source: Source;
	name: string;
	/** True once the name was typed: it then no longer follows the file. */
	named: boolean;
	url: string;
	path: string;
	format: ImageFormat;
	sha256: string;
	poolId: string;
	nodeId: string;
	description: string;
	tags: string[];
};

function check(values: Values, file: File | null): FieldErrors {
	const errors: FieldErrors = {};
	if (!fits(namePattern, values.name)) errors["/name"] = values.name === "" ? common.required : common.nameInvalid;
	if (values.source === "upload" && !file) errors["/fileSizeBytes"] = t.fileRequired;
	if (values.source === "upload" && file?.size === 0) errors["/fileSizeBytes"] = t.fileEmpty;
	if (values.source === "url" && !fits(imageUrlPattern, values.url)) errors["/source/url"] = t.urlInvalid;
	if (values.source === "path" && !values.path.startsWith("/")) errors["/source/path"] = t.pathInvalid;
	if (values.sha256 !== "" && !fits(sha256Pattern, values.sha256)) errors["/sha256"] = t.sha256Invalid;
	return errors;
}

function bodyOf(values: Values, file: File | null): ImageCreate {
	const source: ImageCreate["source"] =
		values.source === "url"
			? { kind: "url", url: values.url }
			: values.source === "path"
				? { kind: "path", path: values.path }
				: { kind: "upload" };
	return {
		name: values.name,
		format: values.format,
		source,
		...(values.source === "upload" && file ? { fileSizeBytes: file.size } : {}),
		...(values.sha256 === "" ? {} : { sha256: values.sha256 }),
		...(values.poolId === "" ? {} : { poolId: values.poolId }),
		...(values.nodeId === "" ? {} : { nodeId: values.nodeId }),
		...(values.description === "" ? {} : { description: values.description }),
		...(values.tags.length === 0 ? {} : { tags: values.tags }),
	};
}

/** `poolId`: the pool that it was opened from; else empty. */
type Props = { source: Source; file: File | null; poolId: string; onClose: () => void };

export function AddImagePanel({ source, file: dropped, poolId: wanted, onClose }: Props) {
	const pools = useCollection("pool").items.value;
	const nodes = useNodes().filter(({ witness, status }) => !witness && status.phase !== "left");
	const [file, setFile] = useState<File | null>(null);
	/** By the file's first bytes; null before there is one. */
	const [detected, setDetected] = useState<ImageFormat | "unknown" | null>(null);
	const current = useRef(file);
	current.current = file;
	const form = useForm<Values>({
		initial: {
			source,
			name: "",
			named: false,
			url: "",
			path: "",
			format: "qcow2",
			sha256: "",
			poolId: wanted,
			nodeId: "",
			description: "",
			tags: [],
		},
		validate: (values) => check(values, file),
		async submit(values) {
			const { data } = await write("imageCreate", { body: bodyOf(values, file) });
			onClose();
			if (values.source === "upload" && file) await startUpload(data.id, file);
		},
	});
	const values = form.values.value;
	const takeFile = async (chosen: File) => {
		setFile(chosen);
		if (!values.named) form.set({ name: nameFromFile(chosen.name) }, "/fileSizeBytes");
		const format = await sniffFormat(chosen);
		if (current.current !== chosen) return;
		setDetected(format ?? "unknown");
		form.set({ format: format ?? "raw" });
	};
	useEffect(() => {
		if (dropped) void takeFile(dropped);
	}, [dropped]);
	const takeLocation = (change: Partial<Values>, text: string, field: string) => {
		const name = values.named ? {} : { name: nameFromFile(text) };
		form.set({ ...change, ...name, format: formatFromName(text) }, field);
	};
	const hasPart = (poolId: string, nodeId: string) =>
		pools.find(({ id }) => id === poolId)?.nodeIds.includes(nodeId) ?? true;
	const pathObstacle = role.value === "admin" ? null : t.pathObstacle;
	return (
		<Dialog
			kind="panel"
			title={t.addTitle}
			onClose={onClose}
			dirty={(form.dirty.value || file !== null) && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form} obstacle={obstacleTo("imageCreate")}>
						{values.source === "upload" ? t.upload : t.add}
					</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.addFailed} />
			<SegmentedField
				label={t.source}
				value={values.source}
				choices={[
					{ value: "upload", label: t.sources.upload },
					{ value: "url", label: t.sources.url },
					{ value: "path", label: t.sources.path, disabled: pathObstacle !== null },
				]}
				hint={pathObstacle ?? undefined}
				onChange={(value) => form.set({ source: value })}
			/>
			{values.source === "upload" && (
				<FileInput file={file} error={form.error("/fileSizeBytes")} onFile={(chosen) => void takeFile(chosen)} />
			)}
			{values.source === "url" && (
				<TextField
					label={t.url}
					type="url"
					hint={t.urlHint}
					value={values.url}
					plain
					error={form.error("/source/url")}
					onInput={(url) => takeLocation({ url: url.trim() }, url.trim(), "/source/url")}
				/>
			)}
			{values.source === "path" && (
				<TextField
					label={t.path}
					hint={t.pathHint}
					value={values.path}
					plain
					mono
					error={form.error("/source/path")}
					onInput={(path) => takeLocation({ path }, path, "/source/path")}
				/>
			)}
			<TextField
				label={common.name}
				value={values.name}
				plain
				error={form.error("/name")}
				onInput={(name) => form.set({ name, named: true }, "/name")}
			/>
			<SelectField
				label={t.format}
				hint={values.source === "upload" && detected === values.format ? t.formatDetected(detected) : t.formatHint}
				value={values.format}
				error={form.error("/format")}
				choices={(["qcow2", "raw", "iso"] as const).map((value) => ({ value, label: t.formats[value] }))}
				onChange={(format) => form.set({ format })}
			/>
			{detected !== null && values.source === "upload" && detected !== values.format && (
				<Notice tone="warning">{detected === "unknown" ? t.formatUnknown : t.formatDetected(detected)}</Notice>
			)}
			{(pools.length > 1 || values.poolId !== "") && (
				<SelectField
					label={t.pool}
					value={values.poolId}
					error={form.error("/poolId")}
					choices={[{ value: "", label: common.defaultChoice }, ...poolChoices(pools, { forImages: true })]}
					onChange={(poolId) => form.set(hasPart(poolId, values.nodeId) ? { poolId } : { poolId, nodeId: "" })}
				/>
			)}
			{nodes.length > 1 && (
				<SelectField
					label={move.node}
					hint={values.source === "path" ? t.nodeOfPath : values.nodeId === "" ? undefined : t.nodeHint}
					value={values.nodeId}
					error={form.error("/nodeId")}
					choices={[
						{ value: "", label: t.nodeAsked },
						...nodes.map(({ id, name }) => {
							const fits = hasPart(values.poolId, id);
							return { value: id, label: fits ? name : t.notInPool(name), disabled: !fits };
						}),
					]}
					onChange={(nodeId) => form.set({ nodeId })}
				/>
			)}
			<Disclosure title={common.moreFields} note={[t.sha256, common.description, common.tags].join(", ")}>
				<TextField
					label={t.sha256}
					optional
					hint={t.sha256Hint}
					value={values.sha256}
					plain
					mono
					error={form.error("/sha256")}
					onInput={(sha256) => form.set({ sha256: sha256.trim().toLowerCase() })}
				/>
				<TextAreaField
					label={common.description}
					optional
					value={values.description}
					error={form.error("/description")}
					onInput={(description) => form.set({ description })}
				/>
				<WordsField
					label={common.tags}
					optional
					hint={common.tagsHint}
					values={values.tags}
					error={form.error("/tags")}
					onChange={(tags) => form.set({ tags })}
				/>
			</Disclosure>
		</Dialog>
	);
}
