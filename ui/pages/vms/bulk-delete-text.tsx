/** What deleting many VMs loses. */
import type { Vm } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { StateDot } from "../../components/badge.tsx";
import { Notice } from "../../components/layout.tsx";
import { vmLook } from "../../components/states.ts";
import { formatCount } from "../../lib/format.ts";
import { vm as t } from "../../strings/vm.ts";
import "./vms.css";

const mostNamed = 20;
/** States in which a VM is cut off. */
const alive = new Set(["running", "paused", "starting", "stopping"]);

type Props = { vms: readonly Vm[]; volumes: { count: number; size: string } | null };

export function BulkDeleteText({ vms, volumes }: Props) {
	const cutOff = vms.filter(({ status }) => alive.has(status.powerState)).length;
	const removed = new Set(
		useCollection("node").items.value.flatMap(({ id, status }) => (status.phase === "left" ? [id] : [])),
	);
	const ofRemoved = vms.filter(({ nodeId }) => removed.has(nodeId)).length;
	const unnamed = vms.length - mostNamed;
	return (
		<>
			{cutOff > 0 && <Notice tone="warning">{t.bulk.cutOff(cutOff, vms.length)}</Notice>}
			{ofRemoved > 0 && <Notice tone="warning">{t.bulk.deleteOfRemoved(ofRemoved)}</Notice>}
			<div>
				<p>{t.deleteLost}</p>
				<ul class="bullets">
					<li>{t.bulk.deleteVms(formatCount(vms.length))}</li>
					{volumes && <li>{t.bulk.deleteTheirVolumes(formatCount(volumes.count), volumes.size)}</li>}
				</ul>
			</div>
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
