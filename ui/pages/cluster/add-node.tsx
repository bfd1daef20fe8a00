/**
 * Adding a node: a join token, the command to run on the new machine, and the node as it comes. The token's text is in
 * one answer only, so closing does not bring it back.
 */
import { CircleDashed } from "lucide-preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { call } from "../../api/call.ts";
import { useClusterStatus } from "../../api/cluster-status.ts";
import { live } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import type { JoinToken, Node } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { StateBadge } from "../../components/badge.tsx";
import { Button } from "../../components/button.tsx";
import { CopyButton } from "../../components/copy.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Spinner } from "../../components/feedback.tsx";
import { FieldRow } from "../../components/field.tsx";
import { CheckboxField, NumberField, SelectField } from "../../components/fields.tsx";
import { type FieldErrors, useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { Disclosure, Notice } from "../../components/layout.tsx";
import { ResourceLink } from "../../components/resource-link.tsx";
import { nodeLook } from "../../components/states.ts";
import { SubmitButton } from "../../components/submit-button.tsx";
import { isSpare, isVoter } from "../../lib/outlook.ts";
import { byName } from "../../lib/sort.ts";
import { common } from "../../strings/common.ts";
import { members as t } from "../../strings/members.ts";
import { OpenTokens, TokenExpiry, useOpenTokens } from "./join-tokens.tsx";
import "./cluster.css";

const mostUses = 64;
type Expiry = keyof typeof t.expiries;
/** As it was answered. */
type Made = { token: JoinToken; command: string; witness: boolean };

export function AddNodePanel({ onClose }: { onClose: () => void }) {
	const [made, setMade] = useState<Made | null>(null);
	return made ? (
		<JoinPanel made={made} onAnother={() => setMade(null)} onClose={onClose} />
	) : (
		<TokenForm onMade={setMade} onClose={onClose} />
	);
}

function TokenForm({ onMade, onClose }: { onMade: (made: Made) => void; onClose: () => void }) {
	const open = useOpenTokens();
	const form = useForm({
		initial: { uses: 1 as number | null, expiry: "60" as Expiry, witness: false },
		validate: ({ uses }): FieldErrors =>
			uses !== null && Number.isInteger(uses) && uses >= 1 && uses <= mostUses
				? {}
				: { "/uses": common.numberRange("1", String(mostUses)) },
		async submit({ uses, expiry, witness }) {
			const { data } = await call("joinTokenCreate", {
				body: { uses: uses ?? 1, expiresInMs: Number(expiry) * 60_000 },
			});
			live.joinToken.upsert(data.token);
			onMade({ token: data.token, command: `${data.command}${witness ? " --witness" : ""}`, witness });
		},
	});
	const { uses, expiry, witness } = form.values.value;
	return (
		<Dialog
			kind="panel"
			title={t.addTitle}
			onClose={onClose}
			onSubmit={() => void form.submit()}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<SubmitButton form={form} obstacle={obstacleTo("joinTokenCreate")}>
						{t.makeToken}
					</SubmitButton>
				</>
			}
		>
			<p>{t.addText}</p>
			<FormError form={form} title={t.makeFailed} />
			<FieldRow>
				<NumberField
					label={t.uses}
					hint={t.usesHint}
					min={1}
					max={mostUses}
					value={uses}
					error={form.error("/uses")}
					onInput={(value) => form.set({ uses: value })}
				/>
				<SelectField
					label={t.validFor}
					value={expiry}
					error={form.error("/expiresInMs")}
					choices={(Object.keys(t.expiries) as Expiry[])
						.sort((a, b) => Number(a) - Number(b))
						.map((value) => ({ value, label: t.expiries[value] }))}
					onChange={(value) => form.set({ expiry: value })}
				/>
			</FieldRow>
			<CheckboxField
				label={t.asWitness}
				hint={t.asWitnessHint}
				checked={witness}
				onChange={(value) => form.set({ witness: value })}
			/>
			{open.length > 0 && (
				<Disclosure title={t.openTokens} note={String(open.length)}>
					<p class="muted">{t.openTokensText}</p>
					<OpenTokens tokens={open} />
				</Disclosure>
			)}
		</Dialog>
	);
}

function JoinPanel({ made, onAnother, onClose }: { made: Made; onAnother: () => void; onClose: () => void }) {
	const token = live.joinToken.one(made.token.id).value;
	const open = useOpenTokens(made.token.id);
	const addresses = useMemo(() => addressesOf(live.node.items.peek()), []);
	return (
		<Dialog
			kind="panel"
			title={t.addTitle}
			onClose={onClose}
			footer={
				<>
					<Button onClick={onAnother}>{t.another}</Button>
					<Button kind="primary" onClick={onClose}>
						{t.done}
					</Button>
				</>
			}
		>
			<p>{t.on}:</p>
			<ol class="join-steps">
				<li>{t.steps.install}</li>
				<li>{t.steps.reach(addresses)}</li>
				<li>{t.steps.clock}</li>
				<li>{t.steps.run}</li>
			</ol>
			<div class="join-command">
				<div class="join-command__bar">
					<TokenExpiry token={made.token} />
					<CopyButton text={made.command} label={t.copyCommand} />
				</div>
				{/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
				<section class="join-command__text" tabIndex={0} aria-label={t.command}>
					{made.command}
				</section>
			</div>
			<Notice tone="warning">{t.secret}</Notice>
			<p class="muted">{t.brings}</p>
			<Arrivals token={token ?? made.token} />
			{open.length > 0 && (
				<Disclosure title={t.openTokens} note={String(open.length)}>
					<OpenTokens tokens={open} />
				</Disclosure>
			)}
		</Dialog>
	);
}

const addressesOf = (nodes: readonly Node[]): string =>
	[...nodes]
		.filter(({ status }) => status.phase !== "left")
		.sort(byName)
		.flatMap(({ peerAddresses }) => peerAddresses[0] ?? [])
		.join(", ");

/** The nodes that came with the token, from their first sign of life to votes of their own. */
function Arrivals({ token }: { token: JoinToken }) {
	const nodes = useCollection("node").items.value;
	const status = useClusterStatus();
	// A token that is used up goes away, and with it the list of who came.
	const seen = useRef(new Set<string>());
	for (const { nodeId } of token.admitted) seen.current.add(nodeId);
	const came = nodes.filter(({ id }) => seen.current.has(id)).sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
	const textOf = ({ id, status: { phase, reason } }: Node): string => {
		const member = status?.members.find(({ nodeId }) => nodeId === id);
		if (phase === "joining" && member && !member.reachable)
			return t.phaseText.unreached(member.name, member.peerAddresses.join(", "));
		if (phase === "joining") return t.phaseText.joining;
		if (status && member && isSpare(member, status) && phase === "ready") return t.phaseText.spare;
		if (!member || !isVoter(member)) return t.phaseText.learner;
		return phase === "ready" ? t.phaseText.ready : t.phaseText.other(reason);
	};
	return (
		<section class="arrivals" aria-label={t.arrived} aria-live="polite">
			{came.map((node) => (
				<div key={node.id} class="arrivals__node">
					<ResourceLink kind="node" id={node.id} />
					<StateBadge look={nodeLook(node.status.phase)} note={node.status.reason} />
					<span class="arrivals__text">{textOf(node)}</span>
				</div>
			))}
			{token.usesLeft > 0 && (
				<div class="arrivals__node">
					{came.length === 0 ? <Spinner label={t.waiting} /> : <CircleDashed size={16} aria-hidden="true" />}
					<span class="arrivals__text">{t.waitingText}</span>
				</div>
			)}
		</section>
	);
}
