/**
 * One task being carried out: its signal, its progress (coalesced: at most one report a second and one in flight) and
 * its end. The state is the truth: a task that somebody else has finished meanwhile is not finished again.
 */
import { type Timer, toRfc3339 } from "../lib/clock.ts";
import { AppError, isAppError, toErrorInfo } from "../lib/errors.ts";
import { isFinished, type Task } from "../model/task.ts";
import type { Progress } from "../storage/driver.ts";
import type { NodeContext } from "./context.ts";
import { bounds, intervals, limits } from "./limits.ts";

type Report = { progress: number | null; message: string | null };

export class TaskRun {
	readonly task: Task;
	/** Aborted with an AppError `canceled` when the task is canceled or superseded, or the node stops. */
	readonly signal: AbortSignal;
	readonly #context: NodeContext;
	readonly #startedMonotonicMs: number;
	#cancelable: boolean;
	#last: Report;
	#wanted: Report | null = null;
	#lastReportMs = Number.NEGATIVE_INFINITY;
	#reporting: Promise<void> | null = null;
	#timer: Timer | null = null;
	#ended = false;

	private constructor(context: NodeContext, task: Task, signal: AbortSignal, cancelable: boolean) {
		this.#context = context;
		this.task = task;
		this.signal = signal;
		this.#cancelable = cancelable;
		this.#last = { progress: task.progress, message: task.message };
		const startedAtMs = task.startedAt === null ? context.clock.nowMs() : Date.parse(task.startedAt);
		const elapsedMs = Math.max(0, context.clock.nowMs() - startedAtMs);
		this.#startedMonotonicMs = context.clock.monotonicMs() - elapsedMs;
	}

	/**
	 * Marks the task as running. Null when it is finished already (canceled while it waited). `Later` while it is not known
	 * whether it is: nothing is begun without a quorum, be it for the second time.
	 */
	static async begin(
		context: NodeContext,
		task: Task,
		signal: AbortSignal,
		cancelable: boolean,
	): Promise<TaskRun | null> {
		if (task.state === "running" && task.cancelable === cancelable) {
			// Begun by a run of before. This copy may not know yet that it was ended since, and the VM taken over.
			await upToDate(context, "It is not known whether this is still to be done.");
			const known = context.store.get("task", task.id);
			if (known === null || isFinished(known.state)) return null;
			return new TaskRun(context, known, signal, cancelable);
		}
		try {
			await context.propose({ kind: "taskUpdate", id: task.id, state: "running", cancelable });
		} catch (error) {
			if (isAppError(error, "wrong-state") || isAppError(error, "not-found")) return null;
			throw error;
		}
		const startedAt = task.startedAt ?? toRfc3339(context.clock.nowMs());
		return new TaskRun(context, { ...task, state: "running", startedAt }, signal, cancelable);
	}

	/** Milliseconds since the task began, a restart of the daemon in between included. */
	elapsedMs(): number {
		return this.#context.clock.monotonicMs() - this.#startedMonotonicMs;
	}

	/** Handed to long steps of drivers. */
	readonly progress: Progress = (ratio, message) => {
		const percent = ratio === null ? null : Math.round(Math.min(1, Math.max(0, ratio)) * 100);
		this.report({ progress: percent, message: message ?? this.#last.message });
	};

	/** What it is doing now, for people. */
	say(message: string): void {
		this.report({ progress: this.#last.progress, message });
	}

	report(report: Report): void {
		if (this.#ended || (report.progress === this.#last.progress && report.message === this.#last.message)) return;
		this.#last = report;
		this.#wanted = report;
		this.#flush();
	}

	/** Now, or when the time for it has come: what it says last may be true for hours. */
	#flush(): void {
		const { clock, stopping } = this.#context;
		if (this.#wanted === null || this.#reporting || this.#timer || stopping.aborted) return;
		const waitMs = this.#lastReportMs + intervals.progressMs - clock.monotonicMs();
		if (waitMs > 0) {
			this.#timer = clock.schedule(waitMs, () => {
				this.#timer = null;
				this.#flush();
			});
			return;
		}
		this.#lastReportMs = clock.monotonicMs();
		this.#reporting = this.#send().finally(() => {
			this.#reporting = null;
			this.#flush();
		});
	}

	async #send(): Promise<void> {
		const wanted = this.#wanted;
		this.#wanted = null;
		if (!wanted) return;
		try {
			await this.#context.proposer.proposeSystem({
				kind: "taskUpdate",
				id: this.task.id,
				state: "running",
				...wanted,
			});
		} catch (error) {
			this.#context.logger.debug("progress was not recorded", { taskId: this.task.id, error });
		}
	}

	async setCancelable(cancelable: boolean): Promise<void> {
		if (this.#cancelable === cancelable) return;
		this.#cancelable = cancelable;
		await this.#context.propose({ kind: "taskUpdate", id: this.task.id, state: "running", cancelable });
	}

	succeed(message: string | null): Promise<void> {
		return this.#finish({ state: "succeeded", progress: 100, message });
	}

	/** `canceled` errors end the task as canceled, all others as failed. */
	fail(error: unknown): Promise<void> {
		const info = toErrorInfo(error);
		if (info.code === "internal") this.#context.logger.error("a task failed", { taskId: this.task.id, error });
		if (info.code === "canceled") return this.#finish({ state: "canceled", message: info.message });
		return this.#finish({ state: "failed", error: info });
	}

	async #finish(end: {
		state: "succeeded" | "failed" | "canceled";
		progress?: number;
		message?: string | null;
		error?: ReturnType<typeof toErrorInfo>;
	}): Promise<void> {
		this.#ended = true;
		this.#wanted = null;
		this.#timer?.cancel();
		await this.#reporting;
		try {
			await this.#context.propose({ kind: "taskUpdate", id: this.task.id, cancelable: false, ...end });
		} catch (error) {
			if (isAppError(error, "wrong-state") || isAppError(error, "not-found")) return;
			throw error;
		}
	}
}

/** Does `work`; where libvirt is away, waits for it and does it again, as often as limits.ts allows. */
export async function onceHypervisorAnswers<T>(
	{ connection }: NodeContext,
	run: Pick<TaskRun, "say" | "signal">,
	work: () => Promise<T>,
): Promise<T> {
	for (let waits = 1; ; waits++) {
		const { epoch } = connection;
		try {
			return await work();
		} catch (error) {
			const away = !connection.connected || connection.epoch !== epoch;
			if (!isAppError(error, "unavailable") || !away || waits > bounds.hypervisorWaits) throw error;
			run.say(waitsForHypervisor);
			await connection.wait(limits.hypervisorWaitMs, run.signal);
		}
	}
}

export const waitsForHypervisor = "Waits for libvirt, which does not answer";

/**
 * Neither done nor failed: the task stays, and is tried again after a while. For what must not be given up (a disk that has moved
 * away is to be removed) and for what cannot be known now (whether a command was applied).
 */
export class Later extends Error {
	override name = "Later";
}

/** Waits until this copy has all that was decided before. `Later`, with that sentence, while nobody can say what that is. */
export async function upToDate({ store }: Pick<NodeContext, "store">, unknown: string): Promise<void> {
	await store.readIndex().catch((cause) => {
		throw new Later(unknown, { cause });
	});
}

/** Why a new object is on this node, when that was chosen for whoever made it; with what else there is to say. */
export function withPlacement({ input }: Pick<Task, "input">, message: string | null): string | null {
	if (typeof input.placement !== "string") return message;
	return message === null ? input.placement : `${message} ${input.placement}`;
}

export const canceledByPerson = (): AppError => new AppError("canceled", "Canceled.");
