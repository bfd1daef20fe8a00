/** Checks that several groups of commands share. Each throws the AppError that the proposer gets. */
import { AppError } from "../../lib/errors.ts";
import type { Node } from "../../model/node.ts";
import type { Volume } from "../../model/storage.ts";
import { Task, type TaskKind } from "../../model/task.ts";
import { validated } from "../../model/validate.ts";
import { maxUnfinishedTasks } from "../limits.ts";
import type { TableName, Tables } from "../store.ts";
import { type ApplyContext, nouns } from "./context.ts";

type Named = Extract<TableName, "cluster" | "node" | "vm" | "pool" | "image" | "network" | "user">;

/** Names are unique for each kind, upper and lower case being the same. `ownId`: the object that is renamed. */
export function checkNameFree(context: ApplyContext, table: Named, name: string, ownId: string | null): void {
	const holder = context.state.idByName(table, name);
	if (holder !== null && holder !== ownId) throw nameTaken(table, name);
}

export function nameTaken(table: TableName, name: string): AppError {
	const message = `Another ${nouns[table]} has the name ${name} already.`;
	return new AppError("already-exists", message, { fields: [{ path: "/name", message }] });
}

/** If-Match: undefined checks nothing. */
export function checkGeneration(
	object: { generation: number },
	expectedGeneration: number | undefined,
	table: TableName,
): void {
	if (expectedGeneration === undefined || expectedGeneration === object.generation) return;
	throw new AppError(
		"stale-etag",
		`The ${nouns[table]} has changed: its generation is ${object.generation}, not ${expectedGeneration}. Read it again.`,
	);
}

/** Times of a person's choosing in the one form that sorts as text. */
export const canonicalTime = (text: string): string => new Date(text).toISOString();

/** A new object with the members that are the store's to decide. */
export const asCreated = <T extends { generation: number; createdAt: string; updatedAt: string }>(
	context: ApplyContext,
	object: T,
): T => ({ ...object, generation: 1, createdAt: context.time, updatedAt: context.time });

/** Checks the task that a command carries and adds it, pending. Returns its id. */
export function createTask(context: ApplyContext, given: unknown, kinds: readonly TaskKind[]): string {
	const task = validated(Task, given, "The task");
	if (!kinds.includes(task.kind))
		throw new AppError("invalid", `A task of kind ${task.kind} does not belong to this command.`);
	const node = context.needReferenced("node", task.nodeId, "/task/nodeId");
	if (node.status.phase === "left") throw nodeHasLeft(node);
	// Deleting is always possible: it is the way out.
	for (const { id } of task.kind.endsWith(".delete") ? [] : task.targets)
		if (unfinishedTasks(context, id).length >= maxUnfinishedTasks)
			throw new AppError(
				"too-many-requests",
				"Too much work waits for this object. Wait for some of it, or cancel it.",
			);
	context.insert("task", {
		...task,
		state: "pending",
		requester: context.command.requester,
		createdAt: context.time,
		startedAt: null,
		finishedAt: null,
		cancelRequested: false,
		error: null,
	});
	return task.id;
}

/** For what was done where the command applied. */
export function createFinishedTask(context: ApplyContext, given: Task, kinds: readonly TaskKind[]): string {
	const task = validated(Task, given, "The task");
	if (!kinds.includes(task.kind))
		throw new AppError("invalid", `A task of kind ${task.kind} does not belong to this command.`);
	const { time } = context;
	context.insert("task", {
		...{ ...task, state: "succeeded", progress: 100, requester: context.command.requester, error: null },
		...{ createdAt: time, startedAt: time, finishedAt: time, cancelable: false, cancelRequested: false },
	});
	return task.id;
}

export const nodeHasLeft = (node: Node): AppError =>
	new AppError("wrong-state", `The node ${node.name} was removed from the cluster.`);

export const onlyVotes = (node: Pick<Node, "name">): AppError =>
	new AppError("wrong-state", `The node ${node.name} is a witness: it only votes.`);

/** Nothing is made on a node that has left, or only votes. */
export function checkWorks(node: Node): void {
	if (node.status.phase === "left") throw nodeHasLeft(node);
	if (node.witness) throw onlyVotes(node);
}

/** What lies on a node that was removed is gone with it: nobody is there to delete it. */
export const isOnLostNode = (context: ApplyContext, { nodeId }: { nodeId: string | null }): boolean =>
	nodeId !== null && context.get("node", nodeId)?.status.phase === "left";

/** Tasks on an object that are not finished, oldest first. */
export const unfinishedTasks = (context: ApplyContext, targetId: string): Task[] =>
	context.state.unfinishedTasksOf(targetId);

/** Work that makes no sense any more is asked to stop. */
export function requestCancelOf(context: ApplyContext, targetId: string, exceptTaskId: string): void {
	for (const task of unfinishedTasks(context, targetId)) {
		if (task.id === exceptTaskId || !task.cancelable || task.cancelRequested) continue;
		context.update("task", task, { ...task, cancelRequested: true });
	}
}

/** The object is gone: its tasks that nobody will carry out any more end. `exceptKind` is the task that removed it. */
export function endTasksOf(context: ApplyContext, targetId: string, exceptKind: TaskKind, noun: string): void {
	for (const task of unfinishedTasks(context, targetId)) {
		// What a move left on another node has to go all the same.
		if (task.kind === exceptKind || task.kind === "volume.discard") continue;
		const error = { code: "canceled", message: `The ${noun} was deleted.` };
		context.update("task", task, { ...task, state: "canceled", finishedAt: context.time, cancelable: false, error });
	}
}

/** A change of name or description of an object that has both. */
export function describedChanges<
	T extends Tables["pool"] | Tables["image"] | Tables["network"] | Tables["snapshot"],
>(body: { name?: string; description?: string }): Partial<T> {
	return {
		...(body.name === undefined ? {} : { name: body.name }),
		...(body.description === undefined ? {} : { description: body.description }),
	} as Partial<T>;
}

export function checkNotFlattening(context: ApplyContext, { id, name }: Pick<Volume, "id" | "name">): void {
	if (context.state.unfinishedTasksOf(id).some(({ kind }) => kind === "volume.flatten"))
		throw new AppError("wrong-state", `The volume ${name} is being made to stand alone.`);
}
