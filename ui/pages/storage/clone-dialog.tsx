/** A copy of a volume. */
import { useLocation } from "preact-iso";
import { live } from "../../api/live/live.ts";
import type { Volume } from "../../api/types.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { CheckboxField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { fits, namePattern } from "../../lib/patterns.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { copiesAll } from "./choices.ts";

export function CloneDialog({ volume, onClose }: { volume: Volume; onClose: () => void }) {
	const { route } = useLocation();
	// What a VM writes to cannot be the base of another disk.
	const mustBeFull = copiesAll(live.pool.peek(volume.poolId), volume.format) || volume.vmId !== null;
	const form = useForm({
		initial: { name: t.cloneName(volume.name), fullCopy: mustBeFull },
		validate: ({ name }): FieldErrors => (fits(namePattern, name) ? {} : { "/name": common.nameInvalid }),
		async submit(body) {
			const { data } = await write("volumeClone", { id: volume.id, body });
			onClose();
			route(href("volume", { volumeId: data.id }));
		},
	});
	const { name, fullCopy } = form.values.value;
	return (
		<Dialog
			title={t.cloneTitle(volume.name)}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.clone}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.cloneFailed} />
			<TextField
				label={common.name}
				plain
				value={name}
				error={form.error("/name")}
				onInput={(value) => form.set({ name: value })}
			/>
			<CheckboxField
				label={t.fullCopy}
				hint={volume.vmId === null ? t.fullCopyHint : t.fullCopyAttached}
				checked={fullCopy}
				disabled={mustBeFull}
				onChange={(value) => form.set({ fullCopy: value })}
			/>
		</Dialog>
	);
}
