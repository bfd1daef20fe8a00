/** A new storage pool: its type, how it is reached, on which nodes; tried before it is made. */
import { useEffect, useLayoutEffect, useMemo } from "preact/hooks";
import { useLocation } from "preact-iso";
import { poolPlace } from "../../../src/model/storage-rules.ts";
import { toApiError } from "../../api/errors.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Node } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { PageSkeleton } from "../../components/feedback.tsx";
import { SegmentedField, TextAreaField, TextField } from "../../components/fields.tsx";
import { useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Card, Notice, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { keepDraft, readDraft } from "../../lib/drafts.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { storage as t } from "../../strings/storage.ts";
import { useNodes } from "../shared/node-column.tsx";
import { probeTimeoutMs } from "./pool-form/ask.ts";
import { NodesField, TypeFields } from "./pool-form/fields.tsx";
import { Overwrite, useFound } from "./pool-form/overwrite.tsx";
import { ProbeButton, ProbeResult, useProbe } from "./pool-form/probe.tsx";
import {
	checkPool,
	configOf,
	credentialsOf,
	foundOn,
	newPool,
	overwriteOf,
	type PoolValues,
	usesPools,
	withoutSecrets,
} from "./pool-form/values.ts";
import "./storage.css";

/** What is typed survives leaving the page and a reload, for who typed it; keys and passwords do not. */
const draftKey = "pool-create";
const types = ["local", "nfs", "ceph-rbd", "iscsi-lvm"] as const;

export default function CreatePoolPage() {
	const { state } = useCollection("node");
	return state.value === "ready" || state.value === "error" ? <CreatePoolForm /> : <PageSkeleton />;
}

function CreatePoolForm() {
	const { route } = useLocation();
	const nodes = useNodes().filter(usesPools);
	const choose = nodes.length > 1;
	const fresh = useMemo(() => newPool(nodes.map(({ id }) => id)), []);
	const draft = useMemo(() => readDraft<Partial<PoolValues>>(draftKey), []);
	const form = useForm<PoolValues>({
		// Nodes of a draft may be gone by now.
		initial: { ...fresh, ...draft, nodeIds: fresh.nodeIds.filter((id) => draft?.nodeIds?.includes(id) ?? true) },
		validate: (values) => checkPool(values, { known: null, choose }),
		async submit(values) {
			const { name, type, description } = values;
			const body = { name, ...bodyOf(values, choose), type, ...(description === "" ? {} : { description }) };
			const { data } = await write("poolCreate", { body, timeoutMs: probeTimeoutMs }).catch((error: unknown) => {
				// It holds something that no test has named yet.
				if (toApiError(error).fields.some(({ path }) => path === "/overwrite")) void probe.run();
				throw error;
			});
			keepDraft(draftKey, null);
			route(href("pool", { poolId: data.id }));
		},
	});
	const values = form.values.value;
	const body = { type: values.type, ...bodyOf(values, choose) };
	const probe = useProbe(body);
	useFound(form, probe);
	useEffect(() => form.forget(), [JSON.stringify(body)]);
	// Not after the next picture: the page may be left before that.
	useLayoutEffect(() => {
		if (form.dirty.value) keepDraft(draftKey, withoutSecrets(values));
	}, [values]);
	const startOver = () => {
		keepDraft(draftKey, null);
		form.set(fresh, "/reset");
	};
	// Of the only node that there is: said with the failure.
	if (!choose) form.error("/nodeIds/0");
	return (
		<Page title={t.createPool} icon={resourceIcons.pool} parent={{ label: t.title, href: href("storage") }}>
			<form
				class="create-pool"
				noValidate
				onSubmit={(event) => {
					event.preventDefault();
					void form.submit();
				}}
			>
				<Stack>
					{draft && (
						<Notice
							actions={
								<Button small onClick={startOver}>
									{t.startOver}
								</Button>
							}
						>
							{t.draft}
						</Notice>
					)}
					<Card title={t.basics}>
						<Stack>
							<TextField
								label={common.name}
								hint={common.nameHint}
								plain
								value={values.name}
								error={form.error("/name")}
								onInput={(name) => form.set({ name })}
							/>
							<SegmentedField
								label={t.type}
								large
								value={values.type}
								choices={types.map((value) => ({ value, label: t.types[value], note: t.typeNotes[value] }))}
								onChange={(type) => {
									form.set({ type });
									form.forgive();
								}}
							/>
							<TextAreaField
								label={common.description}
								optional
								rows={2}
								value={values.description}
								error={form.error("/description")}
								onInput={(description) => form.set({ description })}
							/>
						</Stack>
					</Card>
					<Card title={t.reach}>
						<Stack>
							<TypeFields key={values.type} form={form} known={null} />
						</Stack>
					</Card>
					{choose && (
						<Card title={t.nodes}>
							<NodesField form={form} nodes={nodes} />
						</Card>
					)}
				</Stack>
				<aside class="create-pool__side" aria-label={t.whatHappens}>
					<Card title={t.whatHappens}>
						<Stack>
							<ol class="create-pool__plan">
								{planOf(values, nodes, choose).map((step) => (
									<li key={step}>{step}</li>
								))}
							</ol>
							<ProbeResult probe={probe} />
							<Overwrite form={form} />
							<FormError form={form} title={t.createPoolFailed} />
							<div class="create-pool__buttons">
								<SubmitButton form={form} obstacle={obstacleTo("poolCreate")}>
									{t.createPool}
								</SubmitButton>
								<ProbeButton form={form} probe={probe} />
								<Button href={href("storage")}>{common.cancel}</Button>
							</div>
						</Stack>
					</Card>
				</aside>
			</form>
		</Page>
	);
}

const bodyOf = (values: PoolValues, choose: boolean) => ({
	config: configOf(values),
	...credentialsOf(values),
	...(choose ? { nodeIds: values.nodeIds } : {}),
	...overwriteOf(values),
});

function planOf(values: PoolValues, nodes: readonly Node[], choose: boolean): string[] {
	const names = nodes.filter(({ id }) => values.nodeIds.includes(id)).map(({ name }) => name);
	const where = choose ? names.join(", ") || t.plan.nowhere : t.plan.thisNode;
	const found = foundOn(values);
	return [t.plan.tried(where), ...(found === null ? [] : [t.plan.destroyed(found)]), becomes(values)];
}

function becomes(values: PoolValues): string {
	const { type, path, server, exportPath, cephPool } = values;
	switch (type) {
		case "local":
			return path === "" ? t.plan.localSomewhere : t.plan.local(path);
		case "nfs":
			return server === "" || exportPath === "" ? t.plan.nfsSomewhere : t.plan.nfs(poolPlace(configOf(values)));
		case "ceph-rbd":
			return cephPool === "" ? t.plan.cephSomewhere : t.plan.ceph(poolPlace(configOf(values)));
		case "iscsi-lvm":
			return t.plan.iscsi;
	}
}
