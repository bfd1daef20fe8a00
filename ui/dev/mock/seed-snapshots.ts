/** Snapshots that the mock starts with: the first VM has some, in a tree with branches. */
import type { Snapshot } from "../../api/types.ts";
import type { MockState } from "./state.ts";

const daysAgo = (days: number): string => new Date(Date.now() - days * 24 * 3600_000).toISOString();

export function seedSnapshots(state: MockState): void {
	const [vm] = state.tables.vm.values();
	if (!vm) return;
	const disks = vm.spec.disks.flatMap(({ id: diskId, volumeId }) => {
		const volume = state.tables.volume.get(volumeId);
		return volume ? [{ diskId, volumeId, sizeBytes: volume.sizeBytes }] : [];
	});
	const taken = (name: string, days: number, parent: Snapshot | null, change: Partial<Snapshot> = {}): Snapshot =>
		state.put("snapshot", {
			...{ ...state.metadata(), createdAt: daysAgo(days), name, description: "", vmId: vm.id },
			...{ parentId: parent?.id ?? null, current: false, phase: "ready", powerState: "running", consistency: "crash" },
			...{ disks, error: null, ...change },
		});
	const installed = taken("installed", 8, null, {
		...{ powerState: "stopped", description: "The system as it was installed, with its keys and nothing else." },
	});
	const configured = taken("configured", 6, installed, { description: "The shop runs. Certificates until October." });
	const trial = taken("php-9-trial", 4, configured, { description: "Broke the search." });
	taken("php-9-trial-2", 3.5, trial, { powerState: "paused" });
	taken("before-upgrade", 0.3, configured, { current: true });
}
