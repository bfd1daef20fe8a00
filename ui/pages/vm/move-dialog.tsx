/** Moving a VM that is off to another node: where it fits, what is copied, and what must be certain about its own node. */
import { useState } from "preact/hooks";
import { obstacleTo } from "../../api/session.ts";
import type { Vm } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { write } from "../../api/write.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { CheckboxField, TextField } from "../../components/fields.tsx";
import { useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { resourceIcons } from "../../components/icons.ts";
import { Notice } from "../../components/layout.tsx";
import { formatBytes } from "../../lib/format.ts";
import { common } from "../../strings/common.ts";
import { move as t } from "../../strings/move.ts";
import { roomiest, roomText, type Target, targetsFor } from "../shared/placement.ts";
import { type MovePlan, planMove } from "./move.ts";
import "./move.css";

export default function MoveDialog({ vm, onClose }: { vm: Vm; onClose: () => void }) {
	const lists = [
		useCollection("node"),
		useCollection("vm"),
		useCollection("pool"),
		useCollection("network"),
		useCollection("volume"),
	] as const;
	const [nodes, vms, pools, networks, volumes] = lists;
	const known = lists.every(({ state }) => state.value === "ready");
	const from = nodes.items.value.find(({ id }) => id === vm.nodeId);
	const plan = planMove(vm, from, volumes.items.value);
	const { cpu, memory, nics } = vm.spec;
	const targets = targetsFor(
		{ memoryBytes: memory.sizeBytes, vcpus: cpu.vcpus, networkIds: nics.map(({ networkId }) => networkId) },
		{ nodes: nodes.items.value, vms: vms.items.value, pools: pools.items.value, networks: networks.items.value },
		vm.id,
	).filter(({ node }) => node.id !== vm.nodeId);
	const fromName = from?.name ?? common.unknown;

	const [isOff, setOff] = useState(false);
	const form = useForm({
		initial: { nodeId: "", confirmNodeOff: "" },
		validate: () => ({}),
		async submit({ confirmNodeOff }) {
			const confirmed = plan.gone ? { confirmNodeOff: confirmNodeOff.trim() } : {};
			await write("vmMove", { id: vm.id, body: { nodeId: chosen?.node.id ?? "", ...confirmed } });
			onClose();
		},
	});
	const { nodeId, confirmNodeOff } = form.values.value;
	const chosen = targets.find(({ node, obstacle }) => node.id === nodeId && obstacle === null) ?? roomiest(targets);
	const unconfirmed = () =>
		!isOff ? t.confirmOff : confirmNodeOff.trim() !== fromName ? common.typeToConfirm(fromName) : null;
	const obstacle =
		obstacleTo("vmMove") ??
		(known ? plan.obstacle : common.loading) ??
		(targets.length === 0 ? t.noOther : !chosen ? t.chooseFirst : plan.gone ? unconfirmed() : null);
	return (
		<Dialog
			title={t.title(vm.name)}
			onClose={onClose}
			onSubmit={() => {
				if (obstacle === null) void form.submit();
			}}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<Button type="submit" kind={plan.gone ? "danger" : "primary"} busy={form.busy.value} obstacle={obstacle}>
						{t.action}
					</Button>
				</>
			}
		>
			<FormError form={form} title={t.failed(vm.name)} />
			{known ? (
				<>
					{plan.obstacle !== null && <Notice tone="warning">{plan.obstacle}</Notice>}
					<TargetChoice targets={targets} chosen={chosen} onChoose={(id) => form.set({ nodeId: id })} />
					<WhatHappens vm={vm} plan={plan} fromName={fromName} />
				</>
			) : (
				<Skeleton lines={4} />
			)}
			{plan.gone && plan.obstacle === null && (
				<>
					<Notice tone="error" title={t.goneTitle(fromName)}>
						{t.goneText(vm.name, fromName)}
					</Notice>
					<CheckboxField label={t.isOff(fromName)} hint={t.isOffHint} checked={isOff} onChange={setOff} />
					<TextField
						label={common.typeToConfirm(fromName)}
						value={confirmNodeOff}
						error={form.error("/confirmNodeOff")}
						onInput={(value) => form.set({ confirmNodeOff: value })}
						plain
					/>
				</>
			)}
		</Dialog>
	);
}

type ChoiceProps = { targets: readonly Target[]; chosen: Target | undefined; onChoose: (nodeId: string) => void };

function TargetChoice({ targets, chosen, onChoose }: ChoiceProps) {
	const NodeIcon = resourceIcons.node;
	if (targets.length === 0) return <Notice>{t.noOther}</Notice>;
	return (
		<fieldset class="move-targets">
			<legend class="field__label">{t.target}</legend>
			<div class="move-targets__list">
				{targets.map(({ node, obstacle, vcpus, memoryLeftBytes }) => (
					<label key={node.id} class={`move-targets__target${obstacle === null ? "" : " move-targets__target--off"}`}>
						<input
							type="radio"
							name="node"
							value={node.id}
							checked={chosen?.node.id === node.id}
							disabled={obstacle !== null}
							onChange={() => onChoose(node.id)}
						/>
						<NodeIcon size={16} aria-hidden="true" />
						<span class="move-targets__name">{node.name}</span>
						<span class="move-targets__note">
							{obstacle ?? `${roomText({ memoryLeftBytes })}, ${t.vcpus(vcpus, node.status.cpuCount)}`}
						</span>
					</label>
				))}
			</div>
			<p class="field__hint">{t.targetHint}</p>
		</fieldset>
	);
}

function WhatHappens({ vm, plan, fromName }: { vm: Vm; plan: MovePlan; fromName: string }) {
	if (plan.gone || plan.obstacle !== null) return null;
	const { firmware, tpm, disks } = vm.spec;
	return (
		<section aria-label={t.what}>
			<ul class="bullets">
				{plan.copied.length > 0 ? (
					<>
						<li>{t.copies(plan.copied.length, formatBytes(plan.copyBytes), fromName)}</li>
						<li>{t.stays(vm.name)}</li>
					</>
				) : (
					<li>{disks.length === 0 ? t.noDisks : t.noCopies}</li>
				)}
				{tpm ? <li>{t.tpm}</li> : firmware !== "bios" && <li>{t.firmware}</li>}
			</ul>
		</section>
	);
}
