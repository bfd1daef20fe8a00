/**
 * The unfinished tasks of this node, kept up from the store's events: what is to be done, in the order in which it was
 * accepted, and the signal that ends each. The store is the truth; this is an index of it.
 */
import { present } from "../lib/assert.ts";
import type { Event } from "../model/event.ts";
import type { ResourceKind } from "../model/schema.ts";
import { isFinished, type Task, type TaskKind } from "../model/task.ts";
import type { NodeContext } from "./context.ts";
import { discardOf } from "./discard.ts";
import { canceledByPerson, TaskRun } from "./task-run.ts";

type Entry = { task: Task; abort: AbortController };

export class TaskBoard {
	readonly #context: NodeContext;
	readonly #entries = new Map<string, Entry>();
	readonly #byTarget = new Map<string, Set<string>>();
	readonly #onTask: (task: Task) => void;

	/** `onTask` hears of each unfinished task of this node when it comes and when it changes; it must be quick. */
	constructor(context: NodeContext, onTask: (task: Task) => void) {
		this.#context = context;
		this.#onTask = onTask;
	}

	/** Reads everything anew: at start, and when events may have been missed. */
	load(): void {
		const known = this.#context.store.all("task", { state: ["pending", "running"] });
		const mine = known.filter((task) => task.nodeId === this.#context.nodeId);
		const ids = new Set(mine.map((task) => task.id));
		for (const id of [...this.#entries.keys()]) if (!ids.has(id)) this.#drop(id);
		for (const task of mine.sort(byAge)) this.#put(task);
	}

	onEvent(event: Event): void {
		if (event.target.kind !== "task") return;
		const task = event.object as Task | null;
		if (task === null || isFinished(task.state)) this.#drop(event.target.id);
		else if (task.nodeId === this.#context.nodeId) this.#put(task);
	}

	all(): Task[] {
		return [...this.#entries.values()].map((entry) => entry.task);
	}

	/** In the order of their acceptance. */
	ofTarget(kind: ResourceKind, id: string): Task[] {
		const ids = this.#byTarget.get(`${kind}:${id}`) ?? [];
		return [...ids].map((taskId) => present(this.#entries.get(taskId), "indexed task").task);
	}

	find(kind: TaskKind, targetId: string): Task | null {
		const resource = kind.slice(0, kind.indexOf(".")) as ResourceKind;
		return this.ofTarget(resource, targetId).find((task) => task.kind === kind) ?? null;
	}

	/** Begins the task, as it is now; null when it is finished already. */
	async begin(taskId: string, cancelable: boolean): Promise<TaskRun | null> {
		const entry = this.#entries.get(taskId);
		if (!entry) return null;
		return TaskRun.begin(this.#context, entry.task, entry.abort.signal, cancelable);
	}

	/** Turned out to be finished before its event came. */
	forget(taskId: string): void {
		this.#drop(taskId);
	}

	/** Ends a task that is no longer wanted; its owner cleans up. */
	abort(taskId: string, reason: Error): void {
		this.#entries.get(taskId)?.abort.abort(reason);
	}

	abortAll(reason: Error): void {
		for (const entry of this.#entries.values()) entry.abort.abort(reason);
	}

	#put(task: Task): void {
		const entry = this.#entries.get(task.id) ?? { task, abort: new AbortController() };
		entry.task = task;
		this.#entries.set(task.id, entry);
		const key = targetKey(task);
		this.#byTarget.set(key, (this.#byTarget.get(key) ?? new Set()).add(task.id));
		if (task.cancelRequested) entry.abort.abort(canceledByPerson());
		this.#onTask(task);
	}

	/** Finished, by us or by somebody else: then whoever still works on it stops. */
	#drop(taskId: string): void {
		const entry = this.#entries.get(taskId);
		if (!entry) return;
		this.#entries.delete(taskId);
		const key = targetKey(entry.task);
		const siblings = this.#byTarget.get(key);
		siblings?.delete(taskId);
		if (siblings?.size === 0) this.#byTarget.delete(key);
		entry.abort.abort(canceledByPerson());
	}
}

const byAge = (a: Task, b: Task): number => compareText(a.createdAt, b.createdAt) || compareText(a.id, b.id);
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const targetKey = (task: Task): string => {
	const target = targetOf(task);
	return target ? `${target.kind}:${target.id}` : "none";
};

/** What the task is about: the first target of the kind that its own kind begins with; of a discard, what it removes. */
export function targetOf(task: Task): { kind: ResourceKind; id: string } | null {
	const discard = discardOf(task);
	if (discard?.kind === "vm") return { kind: "vm", id: discard.vmId };
	if (discard?.kind === "volume") return { kind: "volume", id: discard.volumeId };
	const kind = task.kind.slice(0, task.kind.indexOf("."));
	return task.targets.find((target) => target.kind === kind) ?? null;
}
