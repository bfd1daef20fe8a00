/** What deleting a VM loses. */
import type { Vm, Volume } from "../../api/types.ts";
import { useObject } from "../../api/use.ts";
import { Notice } from "../../components/layout.tsx";
import { formatBytes } from "../../lib/format.ts";
import { vm as t } from "../../strings/vm.ts";

export function DeleteVmText({ vm, volumes }: { vm: Vm; volumes: readonly Volume[] }) {
	const runs = vm.status.powerState === "running" || vm.status.powerState === "paused";
	const node = useObject("node", vm.nodeId);
	const removed = node.state === "ready" && node.object.status.phase === "left" ? node.object.name : null;
	if (removed !== null) return <Notice tone="warning">{t.deleteOfRemoved(removed)}</Notice>;
	return (
		<>
			{runs && <Notice tone="warning">{t.deleteRunning}</Notice>}
			<div>
				<p>{t.deleteLost}</p>
				<ul class="bullets">
					<li>{t.deleteVm}</li>
					{volumes.map(({ id, name, sizeBytes }) => (
						<li key={id}>
							{name} <span class="muted">{formatBytes(sizeBytes)}</span>
						</li>
					))}
				</ul>
			</div>
		</>
	);
}
