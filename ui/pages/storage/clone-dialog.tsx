/** A copy of a volume. */
import { useLocation } from "preact-iso";
import { formatsOf } from "../../../src/model/storage-rules.ts";
import { clusterStatus } from "../../api/cluster-status.ts";
import { live } from "../../api/live/live.ts";
import type { Volume } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { CheckboxField, SelectField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { fits, namePattern } from "../../lib/patterns.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { copiesAll, isWrittenTo, type Provisioning, poolChoices, provisioningBody } from "./choices.ts";
import { moveTargets } from "./move-targets.ts";
import { ProvisioningField } from "./provisioning-field.tsx";

export function CloneDialog({ volume, onClose }: { volume: Volume; onClose: () => void }) {
	const { route } = useLocation();
	const pools = useCollection("pool").items.value;
	const vms = useCollection("vm").items.value;
	const form = useForm({
		initial: {
			...{ name: t.cloneName(volume.name), fullCopy: false, poolId: volume.poolId },
			provisioning: "thin" as Provisioning,
		},
		validate: ({ name }): FieldErrors => (fits(namePattern, name) ? {} : { "/name": common.nameInvalid }),
		async submit({ name, poolId, provisioning }) {
			const where = elsewhere ? { poolId } : {};
			const body = { name, fullCopy: isWhole, ...where, ...provisioningBody(target, provisioning) };
			const { data } = await write("volumeClone", { id: volume.id, body });
			onClose();
			route(href("volume", { volumeId: data.id }));
		},
	});
	const { name, fullCopy, poolId, provisioning } = form.values.value;
	const elsewhere = poolId !== volume.poolId;
	// Read where the volume is, written in the other pool: what a move needs, a copy needs.
	const nameOf = (id: string) => live.node.peek(id)?.name ?? common.unknown;
	const targets = new Map(moveTargets([volume], { pools, vms, nameOf }).map((one) => [one.pool.id, one.obstacle]));
	const choices = poolChoices(pools, {
		obstacleOf: ({ id }) => (id === volume.poolId ? null : (targets.get(id) ?? null)),
	});
	const target = pools.find(({ id }) => id === poolId);
	const mustStandAlone = isWrittenTo(volume, target, clusterStatus.value?.members ?? []);
	const mustBeFull = elsewhere || mustStandAlone || copiesAll(target, volume.format, provisioning);
	const isWhole = fullCopy || mustBeFull;
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
			<SelectField
				label={t.filterPool}
				hint={elsewhere && target ? t.cloneFormat(formatsOf(target)[0] ?? volume.format) : undefined}
				value={poolId}
				choices={choices}
				error={form.error("/poolId")}
				onChange={(value) => form.set({ poolId: value })}
			/>
			<ProvisioningField
				pool={target}
				wanted={provisioning}
				error={form.error("/provisioning")}
				onChange={(value) => form.set({ provisioning: value })}
			/>
			<CheckboxField
				label={t.fullCopy}
				hint={elsewhere ? t.fullCopyElsewhere : mustStandAlone ? t.fullCopyAttached : t.fullCopyHint}
				checked={isWhole}
				disabled={mustBeFull}
				onChange={(value) => form.set({ fullCopy: value })}
			/>
		</Dialog>
	);
}
