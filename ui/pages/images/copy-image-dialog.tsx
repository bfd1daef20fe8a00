/** A copy of an image in another pool. */
import { useLocation } from "preact-iso";
import { isShared } from "../../../src/model/storage-rules.ts";
import type { Image, Pool } from "../../api/types.ts";
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
import { images as t } from "../../strings/images.ts";
import { poolChoices } from "../storage/choices.ts";

export function CopyImageDialog({ image, onClose }: { image: Image; onClose: () => void }) {
	const { route } = useLocation();
	const pools = useCollection("pool").items.value;
	const form = useForm({
		initial: { name: t.copyName(image.name), poolId: "" },
		validate({ name, poolId }): FieldErrors {
			const errors: FieldErrors = {};
			if (!fits(namePattern, name)) errors["/name"] = common.nameInvalid;
			if (poolId === "") errors["/poolId"] = t.copyChoose;
			return errors;
		},
		async submit({ name, poolId }) {
			const source = { kind: "image" as const, imageId: image.id };
			const { data } = await write("imageCreate", { body: { name, poolId, source } });
			onClose();
			route(href("image", { imageId: data.id }));
		},
	});
	const { name, poolId } = form.values.value;
	const target = pools.find(({ id }) => id === poolId);
	const obstacleOf = ({ id }: Pool) => (id === image.poolId ? t.copyThere : null);
	return (
		<Dialog
			title={t.copyTitle(image.name)}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.copy}</SubmitButton>
				</>
			}
		>
			<p class="muted">{t.copyText}</p>
			<FormError form={form} title={t.copyFailed} />
			<TextField
				label={common.name}
				hint={common.nameHint}
				plain
				value={name}
				error={form.error("/name")}
				onInput={(value) => form.set({ name: value }, "/name")}
			/>
			<SelectField
				label={t.pool}
				hint={target && !isShared(target) ? t.nodeHint : undefined}
				value={poolId}
				error={form.error("/poolId")}
				choices={[{ value: "", label: common.toChoose }, ...poolChoices(pools, { forImages: true, obstacleOf })]}
				onChange={(value) => form.set({ poolId: value }, "/poolId")}
			/>
		</Dialog>
	);
}
