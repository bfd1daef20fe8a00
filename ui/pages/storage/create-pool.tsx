/** A new local pool. */
import { useLocation } from "preact-iso";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { FieldGroup } from "../../components/field.tsx";
import { CheckboxField, TextAreaField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { fits, namePattern, poolPathPattern } from "../../lib/patterns.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { move } from "../../strings/move.ts";
import { storage as t } from "../../strings/storage.ts";
import { useNodes } from "../shared/node-column.tsx";

export function CreatePoolPanel({ onClose }: { onClose: () => void }) {
	const { route } = useLocation();
	const able = useNodes().filter(({ witness, status }) => !witness && status.phase !== "left");
	const choose = able.length > 1;
	const form = useForm({
		initial: { name: "", path: "", description: "", nodeIds: able.map(({ id }) => id) },
		validate({ name, path, nodeIds }): FieldErrors {
			const errors: FieldErrors = {};
			if (!fits(namePattern, name)) errors["/name"] = name === "" ? common.required : common.nameInvalid;
			if (!fits(poolPathPattern, path)) errors["/config/path"] = t.poolPathInvalid;
			if (choose && nodeIds.length === 0) errors["/nodeIds"] = move.poolNodesNone;
			return errors;
		},
		async submit({ name, path, description, nodeIds }) {
			const body = {
				...{ name, type: "local" as const, config: { path } },
				...(choose ? { nodeIds } : {}),
				...(description === "" ? {} : { description }),
			};
			const { data } = await write("poolCreate", { body });
			onClose();
			route(href("pool", { poolId: data.id }));
		},
	});
	const { name, path, description, nodeIds } = form.values.value;
	const toggle = (id: string, on: boolean) =>
		form.set({ nodeIds: on ? [...nodeIds, id] : nodeIds.filter((other) => other !== id) });
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
			{choose && (
				<FieldGroup title={move.poolNodes} hint={move.poolNodesHint}>
					{able.map(({ id, name: node }) => (
						<CheckboxField
							key={id}
							label={node}
							checked={nodeIds.includes(id)}
							onChange={(checked) => toggle(id, checked)}
						/>
					))}
					{form.error("/nodeIds") && (
						<p class="field__error" role="alert">
							{form.error("/nodeIds")}
						</p>
					)}
				</FieldGroup>
			)}
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
