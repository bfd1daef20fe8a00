/** `limiquantix task`: work that takes time. */
import { type Task, taskKinds, taskStates } from "../../model/task.ts";
import { relativeTime } from "../format.ts";
import { choices, texts } from "../options.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { awaitTask, mustHaveSucceeded, taskFields, waitOptions } from "../tasks.ts";
import { type Noun, verb } from "../verb.ts";

const taskArgument = { "<task>": "id of the task" } as const;
const defaultLimit = 100;

export const taskNoun: Noun = {
	name: "task",
	summary: "work that takes time",
	verbs: [
		verb({
			name: "list",
			summary: "List tasks, newest first",
			description: `The newest ${defaultLimit}, unless --limit says otherwise.`,
			examples: ["limiquantix task list", "limiquantix task list --state running --state pending"],
			options: {
				state: choices("--state <state>", taskStates, "only these; several times for several"),
				kind: choices("--kind <kind>", taskKinds, "only these"),
				target: texts("--target <id>", "tasks that work on this object"),
				...listOptions(["createdAt"]),
			},
			async run(cli, _, { state, kind, target, limit, search, sort }) {
				const query = given({ state, kind, targetId: target, search, sort });
				const tasks: Task[] = await allPages(cli, "taskList", query, limit ?? defaultLimit);
				const now = cli.io.clock.nowMs();
				await cli.output.list(
					tasks,
					[
						{ header: "CREATED", value: (task) => relativeTime(task.createdAt, now) },
						{ header: "KIND", value: (task) => task.kind },
						{ header: "TARGET", value: ({ targets }) => targets.map(({ name, id }) => name ?? id).join(", ") },
						{ header: "STATE", value: (task) => task.state, state: true },
						{
							header: "PROGRESS",
							value: ({ progress }) => (progress === null ? null : `${Math.floor(progress)} %`),
							right: true,
						},
						{ header: "BY", value: ({ requester }) => requester.name },
						{ header: "MESSAGE", value: (task) => task.error?.message ?? task.message },
						{ header: "ID", value: (task) => task.id },
					],
					(task) => task.id,
				);
			},
		}),
		verb({
			name: "show",
			summary: "Show a task",
			examples: ["limiquantix task show 01890a5d-ac96-774b-bcce-b302099a8057"],
			arguments: taskArgument,
			async run(cli, { task }) {
				const { body } = await cli.call("taskGet", { path: { id: task } });
				await cli.output.object(body, taskFields(cli, body), body.id);
			},
		}),
		verb({
			name: "wait",
			summary: "Wait until a task is finished",
			description: "Fails when the task failed or was canceled.",
			examples: ["limiquantix task wait 01890a5d-ac96-774b-bcce-b302099a8057 --timeout 5m"],
			arguments: taskArgument,
			options: { timeout: waitOptions.timeout },
			async run(cli, { task }, { timeout }) {
				const finished = mustHaveSucceeded(await awaitTask(cli, task, timeout));
				await cli.output.object(finished, taskFields(cli, finished), finished.id);
			},
		}),
		verb({
			name: "cancel",
			summary: "Ask a task to stop",
			description:
				"Only some tasks can be stopped on their way; they undo what they did. One whose node is not heard of ends at once.",
			examples: ["limiquantix task cancel 01890a5d-ac96-774b-bcce-b302099a8057"],
			arguments: taskArgument,
			async run(cli, { task }) {
				const { body } = await cli.call("taskCancel", { path: { id: task } });
				await cli.output.object(body, taskFields(cli, body), body.id);
			},
		}),
	],
};
