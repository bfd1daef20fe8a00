/** Content of a pool that no record names becomes a volume. */
import { useLocation } from "preact-iso";
import { isShared } from "../../../../src/model/storage-rules.ts";
import type { Pool } from "../../../api/types.ts";
import { write } from "../../../api/write.ts";
import { Button } from "../../../components/button.tsx";
import { Dialog } from "../../../components/dialog.tsx";
import { SelectField, TextField } from "../../../components/fields.tsx";
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

/** Of its snapshots. Nothing is chosen for anybody: one way they are lost, the other way the volume cannot be moved. */
type Fate = "" | "delete" | "keep";

export function AdoptDialog({ pool, row, onClose }: { pool: Pool; row: OrphanRow; onClose: () => void }) {
	const { route } = useLocation();
	const form = useForm({
		initial: { name: "", snapshots: "" as Fate },
		validate: ({ name, snapshots }): FieldErrors => ({
			...(fits(namePattern, name) ? {} : { "/name": name === "" ? common.required : common.nameInvalid }),
			...(row.snapshots !== undefined && snapshots === "" ? { "/snapshots": t.snapshotsToChoose } : {}),
		}),
		async submit({ name, snapshots }) {
			const query = isShared(pool) ? {} : { nodeId: row.nodeId };
			const body = { volumeId: row.orphanId, name, ...(snapshots === "" ? {} : { snapshots }) };
			const { data } = await write("poolOrphanAdopt", { id: pool.id, query, body });
			onClose();
			route(href("volume", { volumeId: data.id }));
		},
	});
	const { name, snapshots } = form.values.value;
	const deletes = snapshots === "delete";
	return (
		<Dialog
			title={t.adoptTitle}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form} danger={deletes}>
						{deletes ? t.adoptAndDelete : t.adopt}
					</SubmitButton>
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
				value={name}
				error={form.error("/name")}
				onInput={(typed) => form.set({ name: typed })}
			/>
			{row.snapshots !== undefined && (
				<SelectField
					label={t.snapshots(row.snapshots)}
					hint={deletes ? t.snapshotsDeletedHint : t.snapshotsHint}
					value={snapshots}
					choices={[
						{ value: "", label: common.toChoose },
						{ value: "delete", label: t.deleteSnapshots },
						{ value: "keep", label: t.keepSnapshots },
					]}
					error={form.error("/snapshots")}
					onChange={(chosen) => form.set({ snapshots: chosen })}
				/>
			)}
		</Dialog>
	);
}
