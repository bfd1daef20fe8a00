/** Tasks: everything that takes longer than a request, with progress, owner and end. */
import { type Static, Type } from "@sinclair/typebox";
import {
	ErrorInfoSchema,
	Id,
	Nullable,
	NullableTimestamp,
	PageOf,
	ResourceRef,
	Strict,
	StringEnum,
	Timestamp,
} from "./schema.ts";

export const taskKinds = [
	"vm.create",
	"vm.start",
	"vm.shutdown",
	"vm.stop",
	"vm.reset",
	"vm.pause",
	"vm.resume",
	"vm.update",
	"vm.delete",
	"vm.adopt",
	"vm.move",
	"vm.snapshot",
	"vm.revert",
	"snapshot.delete",
	"volume.create",
	"volume.resize",
	"volume.delete",
	"volume.discard",
	"volume.move",
	"volume.check",
	"volume.flatten",
	"image.import",
	"image.delete",
	"network.create",
	"network.delete",
	"pool.create",
	"pool.delete",
	"pool.deleteOrphans",
] as const;
export const TaskKind = StringEnum(taskKinds, { $id: "TaskKind" });
export type TaskKind = (typeof taskKinds)[number];

export const taskStates = ["pending", "running", "succeeded", "failed", "canceled"] as const;
export const TaskState = StringEnum(taskStates, { $id: "TaskState" });
export type TaskState = (typeof taskStates)[number];
export const isFinished = (state: TaskState): boolean =>
	state === "succeeded" || state === "failed" || state === "canceled";

export const Requester = Strict(
	{
		kind: StringEnum(["user", "token", "local", "system"] as const),
		id: Nullable(Type.String()),
		name: Type.String(),
	},
	{
		$id: "Requester",
		description: "Who asked: a user's session, an API token, root on the local socket, or the system",
	},
);
export type Requester = Static<typeof Requester>;

export const Task = Strict(
	{
		id: Id,
		kind: TaskKind,
		state: TaskState,
		/** Percent, 0 to 100; null when it cannot be known. */
		progress: Nullable(Type.Number({ minimum: 0, maximum: 100 })),
		/** What it is doing now, for people. */
		message: Nullable(Type.String()),
		targets: Type.Array(ResourceRef),
		requester: Requester,
		/** The node that carries it out. */
		nodeId: Id,
		parentId: Nullable(Id),
		createdAt: Timestamp,
		startedAt: NullableTimestamp,
		finishedAt: NullableTimestamp,
		cancelable: Type.Boolean(),
		cancelRequested: Type.Boolean(),
		error: Nullable(ErrorInfoSchema),
		/** Arguments of the operation, for its executor ("timeoutMs", "sizeBytes", "start" …). */
		input: Type.Record(Type.String(), Type.Unknown()),
	},
	{ $id: "Task" },
);
export type Task = Static<typeof Task>;
export const TaskPage = PageOf(Type.Ref(Task), "TaskPage");
