/** The fields of a pool's type. `known`: the pool that is changed; what says where its data are is not asked for then. */

import type { Node, Pool } from "../../../api/types.ts";
import { CheckboxField, TextField } from "../../../components/fields.tsx";
import type { Form } from "../../../components/form.ts";
import { storage as t } from "../../../strings/storage.ts";
import { CephFields } from "./ceph-fields.tsx";
import { IscsiFields } from "./iscsi-fields.tsx";
import { NfsFields } from "./nfs-fields.tsx";
import type { PoolValues } from "./values.ts";

export type PoolFieldsProps = { form: Form<PoolValues>; known: Pool | null };

export function TypeFields({ form, known }: PoolFieldsProps) {
	switch (form.values.value.type) {
		case "local":
			return known ? null : (
				<TextField
					label={t.path}
					hint={t.poolPathHint}
					plain
					mono
					value={form.values.value.path}
					error={form.error("/config/path")}
					onInput={(path) => form.set({ path: path.trim() }, "/config/path")}
				/>
			);
		case "nfs":
			return <NfsFields form={form} known={known} />;
		case "ceph-rbd":
			return <CephFields form={form} known={known} />;
		case "iscsi-lvm":
			return <IscsiFields form={form} known={known} />;
	}
}

/** What a node says when it was tried there stands under its name. */
export function NodesField({ form, nodes }: { form: Form<PoolValues>; nodes: readonly Node[] }) {
	const { nodeIds, type, layout } = form.values.value;
	const set = (ids: string[]) => form.set({ nodeIds: ids });
	const hint =
		type === "local" ? t.nodesHintLocal : layout === "thin" && type === "iscsi-lvm" ? t.nodesThin : t.nodesHint;
	const error = form.error("/nodeIds");
	return (
		<fieldset class="field-group pool-nodes-field">
			<legend class="visually-hidden">{t.nodes}</legend>
			{hint !== error && <p class="field__hint">{hint}</p>}
			{nodes.map(({ id, name }) => (
				<CheckboxField
					key={id}
					label={name}
					checked={nodeIds.includes(id)}
					error={nodeIds.includes(id) ? form.error(`/nodeIds/${nodeIds.indexOf(id)}`) : null}
					onChange={(checked) => set(checked ? [...nodeIds, id] : nodeIds.filter((other) => other !== id))}
				/>
			))}
			{error && (
				<p class="field__error" role="alert">
					{error}
				</p>
			)}
		</fieldset>
	);
}
