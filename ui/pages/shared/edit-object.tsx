/** Name, description and tags of an object, in a side panel. */
import type { OperationName } from "../../api/call.ts";
import { ApiError } from "../../api/errors.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { TextAreaField, TextField, WordsField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { fits, namePattern } from "../../lib/patterns.ts";
import { common } from "../../strings/common.ts";

type Updates = Extract<
	OperationName,
	"imageUpdate" | "poolUpdate" | "networkUpdate" | "volumeUpdate" | "nodeUpdate" | "clusterUpdate"
>;
type Props = {
	title: string;
	failed: string;
	operation: Updates;
	object: { id: string; generation: number; name: string; description?: string; tags?: readonly string[] };
	withTags?: boolean;
	onClose: () => void;
	/** The cluster has no id in its address. */
	withoutId?: boolean;
	onSaved?: () => void;
};

export function EditObjectPanel({ title, failed, operation, object, withTags, onClose, withoutId, onSaved }: Props) {
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
				await write(operation, { ...id, body: body as { name: string }, generation: object.generation }).catch(
					(error) => {
						if (!(error instanceof ApiError) || error.code !== "stale-etag") throw error;
						throw new ApiError(common.staleEdit, { status: error.status, code: error.code, operation });
					},
				);
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
					<Button type="submit" kind="primary" busy={form.busy.value}>
						{common.saveChanges}
					</Button>
				</>
			}
		>
			<FormError form={form} title={failed} />
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
