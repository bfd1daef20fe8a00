/** An image made of a volume, to make further VMs of. */
import { useLocation } from "preact-iso";
import { live } from "../../api/live/live.ts";
import type { Pool, Volume } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { SelectField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { fits, namePattern } from "../../lib/patterns.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { poolChoices } from "./choices.ts";
import { moveTargets } from "./move-targets.ts";

export function MakeImageDialog({ volume, onClose }: { volume: Volume; onClose: () => void }) {
	const { route } = useLocation();
	const form = useForm({
		initial: {
			...{ name: volume.name.replace(/-disk-\d+$/, ""), format: "qcow2" as "qcow2" | "raw" },
			poolId: volume.poolId,
		},
		validate: ({ name }): FieldErrors => (fits(namePattern, name) ? {} : { "/name": common.nameInvalid }),
		async submit({ name, format, poolId }) {
			const source = { kind: "volume" as const, volumeId: volume.id };
			const where = poolId === volume.poolId ? {} : { poolId };
			const { data } = await write("imageCreate", { body: { name, format, ...where, source } });
			onClose();
			route(href("image", { imageId: data.id }));
		},
	});
	const { name, format, poolId } = form.values.value;
	const pools = useCollection("pool").items.value;
	const vms = useCollection("vm").items.value;
	// Read where the volume is, written in the other pool: what a move needs, an image needs.
	const nameOf = (id: string) => live.node.peek(id)?.name ?? common.unknown;
	const targets = new Map(moveTargets([volume], { pools, vms, nameOf }).map((one) => [one.pool.id, one.obstacle]));
	const obstacleOf = ({ id }: Pool) => (id === volume.poolId ? null : (targets.get(id) ?? null));
	return (
		<Dialog
			title={t.makeImageTitle(volume.name)}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.makeImage}</SubmitButton>
				</>
			}
		>
			<p class="muted">{t.makeImageText}</p>
			<FormError form={form} title={t.makeImageFailed} />
			<TextField
				label={common.name}
				plain
				value={name}
				error={form.error("/name")}
				onInput={(value) => form.set({ name: value })}
			/>
			<SelectField
				label={t.filterPool}
				value={poolId}
				error={form.error("/poolId")}
				choices={poolChoices(pools, { forImages: true, obstacleOf })}
				onChange={(value) => form.set({ poolId: value })}
			/>
			<SelectField
				label={t.format}
				narrow
				value={format}
				error={form.error("/format")}
				choices={[
					{ value: "qcow2", label: "qcow2" },
					{ value: "raw", label: "raw" },
				]}
				onChange={(value) => form.set({ format: value })}
			/>
		</Dialog>
	);
}
