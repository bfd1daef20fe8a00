/**
 * A node that is gone for good is given up: what is lost with it, and that it is off, are confirmed with its name. Or one that does not
 * get to the end of joining, which may be on.
 */
import { useState } from "preact/hooks";
import { call } from "../../api/call.ts";
import { toastSuccess } from "../../api/notify.ts";
import { obstacleTo } from "../../api/session.ts";
import type { ClusterStatus, Node } from "../../api/types.ts";
import { Button } from "../../components/button.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { Skeleton } from "../../components/feedback.tsx";
import { CheckboxField, TextField } from "../../components/fields.tsx";
import { useForm } from "../../components/form.ts";
import { FormError } from "../../components/form-error.tsx";
import { formatBytes } from "../../lib/format.ts";
import { common } from "../../strings/common.ts";
import { members as t } from "../../strings/members.ts";
import { type Belongings, bytesOf, namesOf, useBelongings } from "./belongings.ts";
import { AfterThis } from "./consequences.tsx";

type Props = { node: Node; status: ClusterStatus | null; onClose: () => void; onGone: () => void };

export function RemoveDialog({ node, status, onClose, onGone }: Props) {
	const belongings = useBelongings(node.id);
	const [isOff, setOff] = useState(false);
	const form = useForm({
		initial: { confirmName: "" },
		validate: () => ({}),
		async submit({ confirmName }) {
			await call("nodeRemove", { id: node.id, body: { confirmName: confirmName.trim() } });
			toastSuccess(t.removed(node.name));
			onGone();
		},
	});
	const { confirmName } = form.values.value;
	// Nothing of the cluster's runs there, so it need not be off.
	const isJoining = node.status.phase === "joining";
	const wantsOff = !isJoining && !isOff ? t.confirmOff : null;
	const wantsName = confirmName.trim() === node.name ? null : common.typeToConfirm(node.name);
	const obstacle = obstacleTo("nodeRemove") ?? wantsOff ?? wantsName;
	return (
		<Dialog
			title={t.removeTitle(node.name)}
			onClose={onClose}
			onSubmit={() => {
				if (obstacle === null) void form.submit();
			}}
			footer={
				<>
					<Button onClick={onClose}>{common.cancel}</Button>
					<Button type="submit" kind="danger" busy={form.busy.value} obstacle={obstacle}>
						{t.removeConfirm}
					</Button>
				</>
			}
		>
			<FormError form={form} title={t.removeFailed(node.name)} />
			<p>{isJoining ? t.removeJoining(node.name) : t.removeIntro(node.name)}</p>
			<section class="consequences" aria-label={t.onIt}>
				<h3>{t.onIt}</h3>
				{belongings.known ? <WhatIsLost belongings={belongings} /> : <Skeleton lines={2} />}
			</section>
			{status && <AfterThis status={status} nodeId={node.id} />}
			{!isJoining && <CheckboxField label={t.removeOff} hint={t.removeOffHint} checked={isOff} onChange={setOff} />}
			<TextField
				label={common.typeToConfirm(node.name)}
				value={confirmName}
				error={form.error("/confirmName")}
				onInput={(value) => form.set({ confirmName: value })}
				plain
			/>
		</Dialog>
	);
}

function WhatIsLost({ belongings: { vms, volumes, images, pools } }: { belongings: Belongings }) {
	const named = (objects: readonly { name: string }[]): string => {
		const { names, more } = namesOf(objects);
		return t.andMore(names, more);
	};
	const lost = [
		...(vms.length > 0 ? [t.vms(vms.length, named(vms))] : []),
		...(volumes.length > 0 ? [t.volumes(volumes.length, formatBytes(bytesOf(volumes)))] : []),
		...(images.length > 0 ? [t.images(images.length, named(images))] : []),
		...(pools.length > 0 ? [t.pools(named(pools))] : []),
	];
	if (lost.length === 0) return <p class="muted">{t.nothingOnIt}</p>;
	return (
		<ul class="bullets">
			{lost.map((text) => (
				<li key={text}>{text}</li>
			))}
		</ul>
	);
}
