/** Making a volume larger. */

import { GiB } from "../../../src/lib/units.ts";
import type { Volume } from "../../api/types.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SizeField } from "../../components/size-field.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { formatBytes } from "../../lib/format.ts";
import { common } from "../../strings/common.ts";
import { devices as t } from "../../strings/devices.ts";

export function ResizeDialog({ volume, onClose }: { volume: Volume; onClose: () => void }) {
	const now = formatBytes(volume.sizeBytes);
	const form = useForm<{ sizeBytes: number | null }>({
		initial: { sizeBytes: volume.sizeBytes + 10 * GiB },
		validate: ({ sizeBytes }): Record<string, string> =>
			sizeBytes === null || sizeBytes <= volume.sizeBytes ? { "/sizeBytes": t.resizeSmaller(now) } : {},
		async submit({ sizeBytes }) {
			await write("volumeResize", { id: volume.id, body: { sizeBytes: sizeBytes ?? 0 } });
			onClose();
		},
	});
	return (
		<Dialog
			title={t.resizeTitle(volume.name)}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.resize}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.resizeFailed} />
			<SizeField
				label={t.size}
				hint={t.resizeHint(now)}
				value={form.values.value.sizeBytes}
				error={form.error("/sizeBytes")}
				onInput={(sizeBytes) => form.set({ sizeBytes })}
			/>
		</Dialog>
	);
}
