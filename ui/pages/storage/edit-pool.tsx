/** Name and description of a pool, how it is reached, its credentials and nodes, in a side panel. Where its data are stays. */
import { useEffect } from "preact/hooks";
import type { Pool } from "../../api/types.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { FieldGroup } from "../../components/field.tsx";
import { TextAreaField, TextField } from "../../components/fields.tsx";
import { useForm } from "../../components/form.ts";
import { SubmitButton } from "../../components/submit-button.tsx";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { type Captured, CapturedErrors, useCaptured } from "../shared/captured.tsx";
import { useNodes } from "../shared/node-column.tsx";
import { probeTimeoutMs } from "./pool-form/ask.ts";
import { NodesField, TypeFields } from "./pool-form/fields.tsx";
import { ProbeButton, ProbeResult, useProbe } from "./pool-form/probe.tsx";
import { checkPool, configOf, credentialsOf, type PoolValues, usesPools, valuesOf } from "./pool-form/values.ts";
import "./storage.css";

type Props = { pool: Pool; onClose: () => void };

export function EditPoolPanel(props: Props) {
	const captured = useCaptured(props.pool);
	return <EditForm key={captured.turn} captured={captured} onClose={props.onClose} />;
}

function EditForm({ captured, onClose }: { captured: Captured<Pool>; onClose: () => void }) {
	const pool = captured.base;
	// Those that it is on are shown whatever they are: they can be taken out of it.
	const nodes = useNodes().filter((node) => usesPools(node) || pool.nodeIds.includes(node.id));
	const choose = nodes.length > 1;
	const form = useForm<PoolValues>({
		initial: valuesOf(pool),
		validate: (values) => checkPool(values, { known: pool, choose }),
		async submit(values) {
			const body = changesOf(pool, values);
			if (Object.keys(body).length > 0)
				await write("poolUpdate", { id: pool.id, body, generation: pool.generation, timeoutMs: probeTimeoutMs });
			onClose();
		},
	});
	const values = form.values.value;
	const probe = useProbe({
		...{ poolId: pool.id, type: pool.type, config: configOf(values), nodeIds: values.nodeIds },
		...credentialsOf(values),
	});
	useEffect(() => form.forget(), [JSON.stringify([configOf(values), values.nodeIds])]);
	if (!choose) form.error("/nodeIds/0");
	return (
		<Dialog
			kind="panel"
			title={t.editPoolTitle(pool.name)}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<ProbeButton form={form} probe={probe} />
					<span class="edit-pool__gap" />
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{common.saveChanges}</SubmitButton>
				</>
			}
		>
			<CapturedErrors form={form} title={t.editFailed} captured={captured} />
			<TextField
				label={common.name}
				hint={common.nameHint}
				plain
				value={values.name}
				error={form.error("/name")}
				onInput={(name) => form.set({ name })}
			/>
			<TextAreaField
				label={common.description}
				optional
				rows={2}
				value={values.description}
				error={form.error("/description")}
				onInput={(description) => form.set({ description })}
			/>
			{pool.type !== "local" && (
				<FieldGroup title={t.reach}>
					<TypeFields form={form} known={pool} />
				</FieldGroup>
			)}
			{choose && (
				<FieldGroup title={t.nodes}>
					<NodesField form={form} nodes={nodes} />
				</FieldGroup>
			)}
			<ProbeResult probe={probe} />
		</Dialog>
	);
}

const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/** Only what is another now: a change of how it is reached is tried on all of its nodes. */
function changesOf(pool: Pool, values: PoolValues) {
	const { name, description, nodeIds } = values;
	const config = configOf(values);
	return {
		...(name === pool.name ? {} : { name }),
		...(description === pool.description ? {} : { description }),
		...(isSame([...nodeIds].sort(), [...pool.nodeIds].sort()) ? {} : { nodeIds }),
		...(isSame(config, configOf(valuesOf(pool))) ? {} : { config }),
		...credentialsOf(values),
	};
}
