/** Creating a VM: three fields are enough; the rest has defaults and is one click away. */

import { Monitor } from "lucide-preact";
import { useLayoutEffect, useMemo } from "preact/hooks";
import { useLocation } from "preact-iso";
import { obstacleTo } from "../../api/session.ts";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { PageSkeleton } from "../../components/feedback.tsx";
import { useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { Card, Notice, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { hashGuestPassword } from "../../lib/cloud-init.ts";
import { keepDraft, readDraft, withoutPasswords } from "../../lib/drafts.ts";
import { href } from "../../routes.ts";
import { common } from "../../strings/common.ts";
import { vm as vmText } from "../../strings/vm.ts";
import { vmCreate as t } from "../../strings/vm-create.ts";
import { AdvancedSections } from "./advanced.tsx";
import { BasicsCard } from "./basics.tsx";
import { type CreateValues, checkCreate, createBody, initialValues, planOf, type Refs } from "./values.ts";
import "./vm-create.css";

/** What is typed survives leaving the page and a reload, for who typed it; passwords do not. */
const draftKey = "vm-create";

export default function VmCreatePage() {
	const collections = [useCollection("network"), useCollection("image"), useCollection("pool"), useCollection("node")];
	const ready = collections.every(({ state }) => state.value === "ready" || state.value === "error");
	return ready ? <VmCreateForm /> : <PageSkeleton />;
}

function useRefs(): Refs {
	const images = useCollection("image").items.value;
	const pools = useCollection("pool").items.value;
	const networks = useCollection("network").items.value;
	const nodes = useCollection("node").items.value;
	const volumes = useCollection("volume").items.value;
	const vms = useCollection("vm").items.value;
	return useMemo(
		() => ({ images, pools, networks, nodes, volumes, vms }),
		[images, pools, networks, nodes, volumes, vms],
	);
}

function VmCreateForm() {
	const { route, query } = useLocation();
	const refs = useRefs();
	const oldest = [...refs.networks].sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1))[0];
	const fresh = useMemo(() => initialValues(oldest?.id ?? null), []);
	const draft = useMemo(() => readDraft<Partial<CreateValues>>(draftKey), []);
	const form = useForm<CreateValues>({
		initial: { ...fresh, ...draft, ...(query.image ? { imageId: query.image } : {}) },
		validate: (values) => checkCreate(values, refs),
		async submit(values) {
			const body = await createBody(values, refs, hashGuestPassword);
			const { data } = await write("vmCreate", { body });
			keepDraft(draftKey, null);
			route(href("vm", { vmId: data.id }));
		},
		fieldOf: (path) => path.replace(/^\/cloudInit\/users\/(\d+)\/sshKeys\/\d+$/, "/cloudInit/users/$1/sshKeys"),
	});
	const values = form.values.value;
	// Not after the next picture: the page may be left before that.
	useLayoutEffect(() => {
		if (form.dirty.value) keepDraft(draftKey, { ...values, cloudInit: withoutPasswords(values.cloudInit) });
	}, [values]);
	const startOver = () => {
		keepDraft(draftKey, null);
		form.set(fresh, "/reset");
	};
	const { steps, warnings } = planOf(values, refs);
	return (
		<Page title={t.title} icon={Monitor} parent={{ label: vmText.title, href: href("vms") }}>
			<form
				class="vm-create"
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
					<BasicsCard form={form} refs={refs} />
					<AdvancedSections form={form} refs={refs} />
				</Stack>
				<aside class="vm-create__side" aria-label={t.summary}>
					<Card title={t.summary}>
						<Stack>
							<ol class="vm-create__plan">
								{steps.map((step) => (
									<li key={step}>{step}</li>
								))}
							</ol>
							{warnings.map((warning) => (
								<Notice key={warning} tone="warning">
									{warning}
								</Notice>
							))}
							<FormError form={form} title={t.failed} />
							<div class="vm-create__buttons">
								<SubmitButton form={form} obstacle={obstacleTo("vmCreate")}>
									{t.submit}
								</SubmitButton>
								<Button href={href("vms")}>{common.cancel}</Button>
							</div>
						</Stack>
					</Card>
				</aside>
			</form>
		</Page>
	);
}
