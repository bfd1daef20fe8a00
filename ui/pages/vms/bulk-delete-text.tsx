/** What deleting many VMs loses. */
import type { Vm, Volume } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { StateDot } from "../../components/badge.tsx";
import { Notice } from "../../components/layout.tsx";
import { vmLook } from "../../components/states.ts";
import { formatCount } from "../../lib/format.ts";
import { vm as t } from "../../strings/vm.ts";
import { deletionOf, namesOf } from "../vm/deletion.ts";
import { sizeOf } from "../vm/vm-actions.ts";
import "./vms.css";

const mostNamed = 20;
/** States in which a VM is cut off. */
const alive = new Set(["running", "paused", "starting", "stopping"]);

/** `volumes`: those that go with them. */
type Props = { vms: readonly Vm[]; volumes: readonly Volume[] };

export function BulkDeleteText({ vms, volumes }: Props) {
	const cutOff = vms.filter(({ status }) => alive.has(status.powerState)).length;
	const removed = new Set(
		useCollection("node").items.value.flatMap(({ id, status }) => (status.phase === "left" ? [id] : [])),
	);
	const { lost, forgotten, kept } = deletionOf(vms, volumes, removed);
	const unnamed = vms.length - mostNamed;
	return (
		<>
			{cutOff > 0 && <Notice tone="warning">{t.bulk.cutOff(cutOff, vms.length)}</Notice>}
			{forgotten.vms.length > 0 && <Notice tone="warning">{t.bulk.deleteOfRemoved(forgotten.vms.length)}</Notice>}
			{lost.vms.length > 0 && (
				<WhatGoes title={t.deleteLost} vms={t.bulk.deleteVms(formatCount(lost.vms.length))} volumes={lost.volumes} />
			)}
			{forgotten.vms.length > 0 && (
				<WhatGoes
					title={t.deleteForgotten}
					vms={t.bulk.forgetVms(formatCount(forgotten.vms.length))}
					volumes={forgotten.volumes}
				/>
			)}
			{kept.length > 0 && <p>{t.deleteKept(namesOf(kept))}</p>}
			<div>
				<ul class="bulk-names" aria-label={t.caption}>
					{vms.slice(0, mostNamed).map((vm) => (
						<li key={vm.id}>
							<StateDot look={vmLook(vm)} />
							<span>{vm.name}</span>
						</li>
					))}
				</ul>
				{unnamed > 0 && <p class="muted">{t.bulk.more(formatCount(unnamed))}</p>}
			</div>
		</>
	);
}

function WhatGoes({ title, vms, volumes }: { title: string; vms: string; volumes: readonly Volume[] }) {
	return (
		<div>
			<p>{title}</p>
			<ul class="bullets">
				<li>{vms}</li>
				{volumes.length > 0 && <li>{t.bulk.deleteTheirVolumes(formatCount(volumes.length), sizeOf(volumes))}</li>}
			</ul>
		</div>
	);
}
