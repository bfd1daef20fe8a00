/** Content of a pool that no record names becomes a volume. */
import { useLocation } from "preact-iso";
import { isShared } from "../../../../src/model/storage-rules.ts";
import type { Pool } from "../../../api/types.ts";
import { write } from "../../../api/write.ts";
import { Button } from "../../../components/button.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { CheckboxField, TextField } from "../../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../../components/form.ts";
import { FormError } from "../../../components/form-error.tsx";
import { Properties } from "../../../components/layout.tsx";
import { SubmitButton } from "../../../components/submit-button.tsx";
import { formatBytes } from "../../../lib/format.ts";
import { fits, namePattern } from "../../../lib/patterns.ts";
import { href } from "../../../routes.ts";
import { common } from "../../../strings/common.ts";
import { orphans as t } from "../../../strings/orphans.ts";
import { storage } from "../../../strings/storage.ts";
import type { OrphanRow } from "./orphans.ts";

export function AdoptDialog({ pool, row, onClose }: { pool: Pool; row: OrphanRow; onClose: () => void }) {
	const { route } = useLocation();
	const form = useForm({
		initial: { name: "", deletesSnapshots: true },
		validate: ({ name }): FieldErrors =>
			fits(namePattern, name) ? {} : { "/name": name === "" ? common.required : common.nameInvalid },
		async submit({ name, deletesSnapshots }) {
			const query = isShared(pool) ? {} : { nodeId: row.nodeId };
			const fate = deletesSnapshots ? ("delete" as const) : ("keep" as const);
			const body = { volumeId: row.orphanId, name, ...(row.snapshots === undefined ? {} : { snapshots: fate }) };
			const { data } = await write("poolOrphanAdopt", { id: pool.id, query, body });
			onClose();
			route(href("volume", { volumeId: data.id }));
		},
	});
	return (
		<Dialog
			title={t.adoptTitle}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.adopt}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.adoptFailed} />
			<p>{t.adoptText}</p>
			<Properties
				items={[
					[
						common.id,
						<span key="id" class="mono">
							{row.orphanId}
						</span>,
					],
					row.sizeBytes !== null && [storage.size, formatBytes(row.sizeBytes)],
					row.format !== null && [storage.format, row.format],
				]}
			/>
			<TextField
				label={common.name}
				hint={common.nameHint}
				plain
				autoFocus
				value={form.values.value.name}
				error={form.error("/name")}
				onInput={(name) => form.set({ name })}
			/>
			{row.snapshots !== undefined && (
				<CheckboxField
					label={t.deleteSnapshots(row.snapshots)}
					hint={t.deleteSnapshotsHint}
					checked={form.values.value.deletesSnapshots}
					error={form.error("/snapshots")}
					onChange={(deletesSnapshots) => form.set({ deletesSnapshots })}
				/>
			)}
		</Dialog>
	);
}
