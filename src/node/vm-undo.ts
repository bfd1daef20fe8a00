/** What a VM's task that failed leaves is taken back, where the task itself has to see to that. */
import { undoAdoption } from "./adoption-steps.ts";
import type { SnapshotParts } from "./snapshot-disks.ts";
import { abandonSnapshot, snapshotIdOf } from "./snapshot-take.ts";
import type { TaskRun } from "./task-run.ts";
import type { VmRun } from "./vm-steps.ts";

/** True when nothing is left of the VM's record. Fails while it is not known what there is to be taken back; then it is tried again. */
export async function undoTask(
	parts: SnapshotParts,
	vmId: string,
	run: TaskRun,
	memory: Pick<VmRun, "sizes">,
	error: unknown,
): Promise<boolean> {
	if (run.task.kind === "vm.adopt") return undoAdoption(parts, vmId, error);
	if (run.task.kind === "vm.snapshot") await abandonSnapshot(parts, snapshotIdOf(run), memory.sizes, error);
	return false;
}
