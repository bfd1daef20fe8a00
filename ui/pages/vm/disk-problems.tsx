/** What is wrong with the disks of a VM, or with the pools that they are in, as far as the API says it. */
import type { Vm } from "../../api/types.ts";
import { useCollection } from "../../api/use.ts";
import { Notice } from "../../components/layout.tsx";
import { devices as t } from "../../strings/devices.ts";
import { states } from "../../strings/states.ts";

export function DiskProblems({ vm }: { vm: Vm }) {
	const problems = useDiskProblems(vm);
	if (problems.length === 0) return null;
	return (
		<Notice tone="error" title={t.problems}>
			<ul>
				{problems.map((text) => (
					<li key={text}>{text}</li>
				))}
			</ul>
		</Notice>
	);
}

function useDiskProblems(vm: Vm): string[] {
	const volumes = useCollection("volume");
	const pools = useCollection("pool");
	const node = useCollection("node").one(vm.nodeId).value;
	const poolIds = new Set<string>();
	const ofVolumes = vm.spec.disks.flatMap(({ id, volumeId }) => {
		const volume = volumes.one(volumeId).value;
		if (volume === undefined)
			return volumes.state.value === "ready" && !volumes.partial.value ? [t.volumeMissing(id)] : [];
		poolIds.add(volume.poolId);
		if (volume.error) return [t.volumeFailed(volume.name, volume.error.message)];
		return volume.phase === "error" ? [t.volumeBroken(volume.name)] : [];
	});
	const ofPools = [...poolIds].flatMap((id) => {
		const pool = pools.one(id).value;
		const here = pool?.nodes.find(({ nodeId }) => nodeId === vm.nodeId);
		if (!pool || !here || here.health === "healthy") return [];
		return [t.poolTrouble(pool.name, node?.name ?? vm.nodeId, states.poolHealth[here.health], here.reason)];
	});
	return [...ofVolumes, ...ofPools];
}
