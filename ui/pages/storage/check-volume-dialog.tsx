/** Looking for damage in volumes, and mending it. What was found is on the page of each. */
import { useState } from "preact/hooks";
import type { Volume } from "../../api/types.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { CheckboxField } from "../../components/fields.tsx";
import { useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";

type Props = { volumes: readonly Volume[]; repair?: boolean; onClose: () => void };

export function CheckVolumeDialog({ volumes, repair: asked = false, onClose }: Props) {
	// Those of several that have begun do not begin again when another one fails.
	const [begun, setBegun] = useState<readonly string[]>([]);
	const form = useForm({
		initial: { repair: asked },
		validate: () => ({}),
		async submit(body) {
			for (const { id } of volumes.filter((volume) => !begun.includes(volume.id))) {
				await write("volumeCheck", { id, body });
				setBegun((ids) => [...ids, id]);
			}
			onClose();
		},
	});
	const { repair } = form.values.value;
	const [only, ...others] = volumes;
	return (
		<Dialog
			title={only && others.length === 0 ? t.checkTitle(only.name) : t.checkManyTitle(volumes.length)}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{repair ? t.checkRepair : t.check}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.checkFailed} />
			<p>{t.checkText}</p>
			<CheckboxField
				label={t.repair}
				hint={t.repairHint}
				checked={repair}
				onChange={(value) => form.set({ repair: value })}
			/>
		</Dialog>
	);
}
