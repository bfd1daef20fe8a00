/** What was done with this VM, newest first. */
import type { Vm } from "../../api/types.ts";
import { vm as t } from "../../strings/vm.ts";
import { TaskHistory } from "../tasks/task-history.tsx";

export const VmTasksTab = ({ vm }: { vm: Vm }) => (
	<TaskHistory name="vm-tasks" caption={t.tasks.caption} targetId={vm.id} empty={t.tasks.empty} />
);
