/** API tokens: one's own, or everybody's for administrators. */
import { KeyRound, Plus, Trash2 } from "lucide-preact";
import { h } from "preact";
import { useState } from "preact/hooks";
import { roleAtLeast } from "../../../src/model/permissions.ts";
import { call } from "../../api/call.ts";
import { live } from "../../api/live/live.ts";
import { me, obstacleTo, role as ownRole } from "../../api/session.ts";
import type { Role, Token } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { act } from "../../api/write.ts";
import { Label } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { confirm } from "../../components/confirm.tsx";
import { CopyButton } from "../../components/copy.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { EmptyState } from "../../components/feedback.tsx";
import { SelectField, TextField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { Notice } from "../../components/layout.tsx";
import type { Action } from "../../components/menu.tsx";
import { nowMs, RelativeTime } from "../../components/relative-time.tsx";
import { RefLink } from "../../components/resource-link.tsx";
import { SubmitButton } from "../../components/submit-button.tsx";
import { DataTable } from "../../components/table/data-table.tsx";
import type { Column } from "../../components/table/types.ts";
import { fits, tokenNamePattern } from "../../lib/patterns.ts";
import { access } from "../../strings/access.ts";
import { common } from "../../strings/common.ts";

const t = access.tokens;
const ownerName = ({ userId }: Token): string =>
	userId === me.value?.requester.id
		? (me.value?.requester.name ?? "")
		: (live.user.one(userId).value?.name ?? `${userId.slice(0, 8)}…`);

export const TokenOwner = ({ token }: { token: Token }) => (
	<RefLink kind="user" id={token.userId} name={ownerName(token)} />
);

export function TokenExpiry({ token: { expiresAt } }: { token: Token }) {
	if (expiresAt !== null && Date.parse(expiresAt) < nowMs.value) return <Label tone="red">{t.expired}</Label>;
	return <RelativeTime time={expiresAt} fallback={t.never} />;
}

const columns: readonly Column<Token>[] = [
	{
		id: "name",
		header: common.name,
		cell: ({ id, name }) => <RefLink kind="token" id={id} name={name} />,
		sort: ({ name }) => name,
		fixed: true,
		card: "title",
	},
	{ id: "owner", header: t.owner, cell: (token) => <TokenOwner token={token} />, sort: ownerName, width: "150px" },
	{ id: "role", header: access.role, cell: ({ role }) => access.roles[role], sort: ({ role }) => role, width: "140px" },
	{
		id: "expires",
		header: t.expires,
		cell: (token) => <TokenExpiry token={token} />,
		sort: ({ expiresAt }) => expiresAt,
		width: "130px",
	},
	{
		id: "createdAt",
		header: common.created,
		cell: ({ createdAt }) => <RelativeTime time={createdAt} />,
		sort: ({ createdAt }) => createdAt,
		width: "120px",
	},
];

/** `of`: one user's; everybody's without. A token can be made for oneself only. */
export function TokensTable({ of }: { of?: string | null }) {
	const tokens = useCollection("token");
	const [creating, setCreating] = useState(false);
	const everybody = of === undefined;
	const rows = everybody ? tokens.items.value : tokens.items.value.filter(({ userId }) => userId === of);
	const create = (everybody || of === me.value?.requester.id) && (
		<Button small kind="primary" icon={Plus} obstacle={obstacleTo("tokenCreate")} onClick={() => setCreating(true)}>
			{t.add}
		</Button>
	);
	return (
		<>
			<DataTable
				name="tokens"
				caption={t.caption}
				rows={rows}
				columns={everybody ? columns : columns.filter(({ id }) => id !== "owner")}
				rowLabel={({ name }) => name}
				inAddress={everybody}
				searchText={everybody ? ({ name }) => name : undefined}
				state={tokens.state.value}
				error={tokens.error.value}
				onRetry={() => void tokens.reload()}
				tools={create}
				rowActions={(token) => [deleteTokenAction(token)]}
				empty={
					<EmptyState icon={KeyRound} title={t.emptyTitle} text={t.emptyText}>
						{create}
					</EmptyState>
				}
			/>
			{creating && <CreateTokenDialog onClose={() => setCreating(false)} />}
		</>
	);
}

export const deleteTokenAction = (token: Token, after?: () => void): Action => ({
	id: "delete",
	label: t.delete,
	icon: Trash2,
	danger: true,
	obstacle: obstacleTo("tokenDelete"),
	onSelect: () => void deleteToken(token, after),
});

async function deleteToken(token: Token, after?: () => void): Promise<void> {
	const title = t.deleteTitle(token.name);
	const body = h("p", {}, t.deleteText);
	if (!(await confirm({ title, body, confirmLabel: t.delete, danger: true }))) return;
	if (await act(title, "tokenDelete", { id: token.id })) after?.();
}

type Expiry = keyof typeof t.expiries;
const dayMs = 24 * 3600_000;

function CreateTokenDialog({ onClose }: { onClose: () => void }) {
	const [secret, setSecret] = useState<string | null>(null);
	const form = useForm({
		initial: { name: "", role: "viewer" as Role, expiry: "90" as Expiry },
		validate: ({ name }): FieldErrors =>
			fits(tokenNamePattern, name) ? {} : { "/name": name === "" ? common.required : t.nameInvalid },
		async submit({ name, role, expiry }) {
			const expiresAt = expiry === "never" ? null : new Date(Date.now() + Number(expiry) * dayMs).toISOString();
			const { data } = await call("tokenCreate", { body: { name, role, expiresAt } });
			setSecret(data.secret);
		},
	});
	if (secret !== null) {
		return (
			<Dialog
				title={t.created}
				onClose={onClose}
				footer={
					<Button kind="primary" onClick={onClose}>
						{t.done}
					</Button>
				}
			>
				<Notice tone="warning">{t.createdText}</Notice>
				<TextField label={t.secret} value={secret} onInput={() => {}} mono plain />
				<div>
					<CopyButton text={secret} />
				</div>
			</Dialog>
		);
	}
	const { name, role, expiry } = form.values.value;
	const highest = ownRole.value ?? "viewer";
	return (
		<Dialog
			title={t.addTitle}
			onClose={onClose}
			dirty={form.dirty.value && !form.busy.value}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form}>{t.add}</SubmitButton>
				</>
			}
		>
			<FormError form={form} title={t.addFailed} />
			<TextField
				label={common.name}
				hint={t.nameHint}
				plain
				value={name}
				error={form.error("/name")}
				onInput={(value) => form.set({ name: value })}
			/>
			<SelectField
				label={access.role}
				hint={t.roleHint}
				value={role}
				error={form.error("/role")}
				choices={(["viewer", "operator", "admin"] as const)
					.filter((value) => roleAtLeast(highest, value))
					.map((value) => ({ value, label: access.roles[value] }))}
				onChange={(value) => form.set({ role: value })}
			/>
			<SelectField
				label={t.expiry}
				value={expiry}
				error={form.error("/expiresAt")}
				choices={(["30", "90", "365", "never"] as const).map((value) => ({ value, label: t.expiries[value] }))}
				onChange={(value) => form.set({ expiry: value })}
			/>
		</Dialog>
	);
}
