/** Writes as the pages do them: the task shows at once and is followed; a failure is told with its details. */
import { type CallOptions, type CallResult, call, type OperationName } from "./call.ts";
import { live, liveSnapshots } from "./live/live.ts";
import { toastFailure, toastSuccess } from "./notify.ts";
import { followTask } from "./tasks.ts";
import type { LiveKind, Snapshot, Task } from "./types.ts";

/** Calls, shows the task, and lets failures pass to the caller (forms show them in place). */
export async function write<Operation extends OperationName>(
	operation: Operation,
	options: CallOptions<Operation> = {},
): Promise<CallResult<Operation>> {
	const result = await call(operation, options);
	remember(operation, result.data);
	if (result.taskId !== null) void followTask(result.taskId);
	return result;
}

/** As `write`, for buttons and menus: a failure becomes a message that stays. False when it failed. */
export async function act<Operation extends OperationName>(
	what: string,
	operation: Operation,
	options: CallOptions<Operation> = {},
	success?: string,
): Promise<boolean> {
	try {
		await write(operation, options);
		if (success) toastSuccess(success);
		return true;
	} catch (error) {
		toastFailure(what, error);
		return false;
	}
}

const plurals: Partial<Record<string, LiveKind>> = {
	vm: "vm",
	volume: "volume",
	pool: "pool",
	image: "image",
	network: "network",
	node: "node",
	user: "user",
};

/** Answers that are not of the kind that their operation is named after. */
const otherKinds: Partial<Record<OperationName, LiveKind>> = { poolOrphanAdopt: "volume" };

/** Puts an answer into the store before its event arrives, so that the page that opens next has it. */
function remember(operation: OperationName, data: unknown): void {
	if (typeof data !== "object" || data === null || !("id" in data)) return;
	if ("kind" in data && "requester" in data) {
		if (!live.task.peek((data as Task).id)) live.task.upsert(data as Task);
		return;
	}
	const noun = /^[a-z]+/.exec(operation)?.[0] ?? "";
	const kind = otherKinds[operation] ?? plurals[noun];
	const known = noun === "snapshot" ? liveSnapshots.of((data as Snapshot).vmId) : kind && live[kind];
	if (!known || !("generation" in data)) return;
	const collection = known as unknown as {
		peek(id: string): { generation?: number } | undefined;
		upsert(object: { id: string }): void;
	};
	const object = data as { id: string; generation: number };
	const before = collection.peek(object.id);
	// An answer of the same generation may carry an older status than the events since.
	if (!before || (before.generation ?? 0) < object.generation) collection.upsert(object);
}
