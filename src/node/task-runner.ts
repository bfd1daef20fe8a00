/**
 * Carries out the tasks that are not about VMs, each target's one after the other; VM tasks are handed to their queues.
 * A task whose end could not be written stays unfinished and is tried again at the next round (node.ts, 30 s).
 */
import { AppError } from "../lib/errors.ts";
import type { ResourceKind } from "../model/schema.ts";
import type { Task, TaskKind } from "../model/task.ts";
import type { NodeContext } from "./context.ts";
import { type TaskBoard, targetOf } from "./task-board.ts";
import { Later, type TaskRun } from "./task-run.ts";

/** Does the work; resolves with a message for people or null. */
export type TaskHandler = (targetId: string, run: TaskRun) => Promise<string | null>;
export type TaskHandlers = Partial<Record<TaskKind, TaskHandler>>;

export class TaskRunner {
	readonly #context: NodeContext;
	readonly #board: TaskBoard;
	readonly #handlers: TaskHandlers;
	readonly #wakeVm: (vmId: string) => void;
	/** Targets that are being worked on. */
	readonly #busy = new Map<string, Promise<void>>();

	constructor(context: NodeContext, board: TaskBoard, handlers: TaskHandlers, wakeVm: (vmId: string) => void) {
		this.#context = context;
		this.#board = board;
		this.#handlers = handlers;
		this.#wakeVm = wakeVm;
	}

	/** There is a task, or it changed. Returns at once. */
	offer(task: Task): void {
		if (this.#context.stopping.aborted) return;
		const target = targetOf(task);
		const key = `${target?.kind}:${target?.id}`;
		if (!target) this.#context.logger.error("a task has no target", { taskId: task.id });
		else if (target.kind === "vm") this.#wakeVm(target.id);
		else if (this.#busy.has(key)) this.#overtake(target.kind, target.id);
		else this.#busy.set(key, this.#work(key, target.kind, target.id));
	}

	/** Nobody wants what is being made of something that is to be deleted. */
	#overtake(kind: ResourceKind, id: string): void {
		const [current, ...others] = this.#board.ofTarget(kind, id);
		if (current && others.some((task) => task.kind.endsWith(".delete")))
			this.#board.abort(current.id, new AppError("canceled", "It is being deleted."));
	}

	/** Everything unfinished once more. */
	offerAll(): void {
		for (const task of this.#board.all()) this.offer(task);
	}

	running(): Promise<void>[] {
		return [...this.#busy.values()];
	}

	async #work(key: string, kind: ResourceKind, id: string): Promise<void> {
		await Promise.resolve();
		try {
			const postponed = new Set<string>();
			for (;;) {
				const task = this.#board.ofTarget(kind, id).find((one) => !postponed.has(one.id));
				if (!task || this.#context.stopping.aborted) break;
				const error = await this.#carryOut(task, id).then(
					() => null,
					(reason: unknown) => reason,
				);
				if (error === null) continue;
				// What was left where a volume came from is removed when that pool is there again; the volume does not wait for it.
				if (task.kind !== "volume.discard" || !(error instanceof Later)) throw error;
				postponed.add(task.id);
				this.#context.logger.debug("what has moved away is removed later", { target: key, error });
			}
		} catch (error) {
			if (!this.#context.stopping.aborted)
				this.#context.logger.error("a task could not be carried out; it is tried again later", { target: key, error });
		}
		this.#busy.delete(key);
	}

	async #carryOut(task: Task, targetId: string): Promise<void> {
		const run = await this.#board.begin(task.id, false);
		if (!run) return this.#board.forget(task.id);
		const handler = this.#handlers[task.kind];
		let message: string | null;
		try {
			if (!handler) throw new Error(`there is no handler for ${task.kind}`);
			message = await handler(targetId, run);
		} catch (error) {
			if (this.#context.stopping.aborted) return;
			if (error instanceof Later) throw error;
			return run.fail(error);
		}
		return run.succeed(message);
	}
}
