/** A new local pool. */
import { useLocation } from "preact-iso";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { TextAreaField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { fits, namePattern, poolPathPattern } from "../../lib/patterns.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";

export function CreatePoolPanel({ onClose }: { onClose: () => void }) {
	const { route } = useLocation();
	const form = useForm({
		initial: { name: "", path: "", description: "" },
		validate({ name, path }): FieldErrors {
			const errors: FieldErrors = {};
			if (!fits(namePattern, name)) errors["/name"] = name === "" ? common.required : common.nameInvalid;
			if (!fits(poolPathPattern, path)) errors["/config/path"] = t.poolPathInvalid;
			return errors;
		},
		async submit({ name, path, description }) {
			const body = { name, type: "local" as const, config: { path }, ...(description === "" ? {} : { description }) };
			const { data } = await write("poolCreate", { body });
			onClose();
			route(href("pool", { poolId: data.id }));
		},
	});
	const { name, path, description } = form.values.value;
	return (
		<Dialog
			kind="panel"
			title={t.createPool}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.createPool}</SubmitButton>
				</>
			}
		>
			<p class="muted">{t.poolText}</p>
			<FormError form={form} title={t.createPoolFailed} />
			<TextField
				label={common.name}
				hint={common.nameHint}
				plain
				value={name}
				error={form.error("/name")}
				onInput={(value) => form.set({ name: value })}
			/>
			<TextField
				label={t.path}
				hint={t.poolPathHint}
				plain
				mono
				value={path}
				error={form.error("/config/path")}
				onInput={(value) => form.set({ path: value.trim() }, "/config/path")}
			/>
			<TextAreaField
				label={common.description}
				optional
				value={description}
				error={form.error("/description")}
				onInput={(value) => form.set({ description: value })}
			/>
		</Dialog>
	);
}
