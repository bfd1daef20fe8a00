/** Name, description and tags of an object, in a side panel. */
import type { OperationName } from "../../api/call.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { TextAreaField, TextField, WordsField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { SubmitButton } from "../../components/submit-button.tsx";
import { fits, namePattern } from "../../lib/patterns.ts";
import { common } from "../../strings/common.ts";
import { type Captured, CapturedErrors, useCaptured } from "./captured.tsx";

type Updates = Extract<
	OperationName,
	"snapshotUpdate" | "imageUpdate" | "poolUpdate" | "networkUpdate" | "volumeUpdate" | "nodeUpdate" | "clusterUpdate"
>;
type Edited = { id: string; generation: number; name: string; description?: string; tags?: readonly string[] };
type Props = {
	title: string;
	failed: string;
	operation: Updates;
	/** As it is now; the form keeps to what it was when it was opened. */
	object: Edited;
	withTags?: boolean;
	onClose: () => void;
	/** The cluster has no id in its address. */
	withoutId?: boolean;
	onSaved?: () => void;
};

export function EditObjectPanel(props: Props) {
	const captured = useCaptured(props.object);
	return <EditForm key={captured.turn} {...props} captured={captured} />;
}

function EditForm(props: Omit<Props, "object"> & { captured: Captured<Edited> }) {
	const { title, failed, operation, captured, withTags, onClose, withoutId, onSaved } = props;
	const object = captured.base;
	const form = useForm({
		initial: { name: object.name, description: object.description ?? "", tags: [...(object.tags ?? [])] },
		validate: ({ name }): FieldErrors => (fits(namePattern, name) ? {} : { "/name": common.nameInvalid }),
		async submit({ name, description, tags }) {
			const body = {
				...(name !== object.name ? { name } : {}),
				...(object.description !== undefined && description !== object.description ? { description } : {}),
				...(withTags && tags.join() !== object.tags?.join() ? { tags } : {}),
			};
			if (Object.keys(body).length > 0) {
				const id = withoutId ? {} : { id: object.id };
				await write(operation, { ...id, body: body as { name: string }, generation: object.generation });
				onSaved?.();
			}
			onClose();
		},
	});
	const { name, description, tags } = form.values.value;
	return (
		<Dialog
			kind={object.description === undefined ? "modal" : "panel"}
			title={title}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{common.saveChanges}</SubmitButton>
				</>
			}
		>
			<CapturedErrors form={form} title={failed} captured={captured} />
			<TextField
				label={common.name}
				hint={common.nameHint}
				plain
				value={name}
				error={form.error("/name")}
				onInput={(value) => form.set({ name: value })}
			/>
			{object.description !== undefined && (
				<TextAreaField
					label={common.description}
					optional
					value={description}
					error={form.error("/description")}
					onInput={(value) => form.set({ description: value })}
				/>
			)}
			{withTags && (
				<WordsField
					label={common.tags}
					optional
					hint={common.tagsHint}
					values={tags}
					error={form.error("/tags")}
					onChange={(value) => form.set({ tags: value })}
				/>
			)}
		</Dialog>
	);
}
