/** The history of all tasks. */
import { ListChecks } from "lucide-preact";
import { Page } from "../../components/page.tsx";
import { tasks as t } from "../../strings/tasks.ts";
import { TaskHistory } from "./task-history.tsx";

export default function TasksPage() {
	return (
		<Page title={t.title} icon={ListChecks} fill>
			<TaskHistory name="tasks" caption={t.title} empty={t.emptyText} fill />
		</Page>
	);
}
