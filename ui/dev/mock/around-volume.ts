/** What the mock refuses for what is around a volume, as the API does: copies, images, snapshots, work, a VM that runs with it. */
import { diskReadObstacle } from "../../../src/model/actions.ts";
import { type AroundVolume, volumeDeletionObstacle, volumeWorkObstacle } from "../../../src/model/volume-rules.ts";
import type { Volume } from "../../api/types.ts";
import { isFinished } from "../../lib/task-state.ts";
import { MockProblem } from "./request.ts";
import type { MockState } from "./state.ts";

export const refuse = (obstacle: string | null | undefined, code: "in-use" | "wrong-state" = "in-use"): void => {
	if (obstacle) throw new MockProblem(409, code, obstacle);
};

export const aroundVolume = ({ tables }: MockState): AroundVolume => ({
	volumes: [...tables.volume.values()],
	images: [...tables.image.values()],
	snapshots: [...tables.snapshot.values()],
	vmNameOf: (id) => tables.vm.get(id)?.name,
});

export function refuseWork(state: MockState, volume: Volume): void {
	const tasks = [...state.tables.task.values()].filter(
		(task) => !isFinished(task.state) && task.targets.some(({ id }) => id === volume.id),
	);
	refuse(volumeWorkObstacle(volume, tasks), "wrong-state");
}

/** For deleting it, and for moving it to another pool. */
export function refuseKept(state: MockState, volume: Volume): void {
	refuse(volumeDeletionObstacle(volume, aroundVolume(state)));
	refuseWork(state, volume);
}

export function refuseAttached(state: MockState, { name, vmId }: Volume): void {
	if (vmId !== null) refuse(`The volume ${name} is attached to the VM ${state.tables.vm.get(vmId)?.name ?? vmId}.`);
}

/** For what reads it from outside. */
export function refuseRunning(state: MockState, { vmId }: Volume): void {
	const vm = vmId === null ? undefined : state.tables.vm.get(vmId);
	refuse(vm && diskReadObstacle(vm));
}
