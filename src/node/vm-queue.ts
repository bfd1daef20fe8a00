/**
 * The one mutator of one VM on this node. Everything that changes the VM's domain, files or status runs here, one after
 * the other: its tasks in the order of their acceptance, work of others that needs the VM to keep still, and looking at
 * what libvirt says. What to do next is decided by vm-plan.ts (tasks), vm-observe.ts (no task) and vm-settle.ts (the
 * end of a task); this file only drives.
 *
 *              create, adopt                start                          ┌──── pause ────┐
 *   (nothing) ──────────────► stopped ──────────────► starting ──────► running           paused
 *                 │            ▲  ▲ ▲                    │               │ ▲ └─── resume ──┘ │
 *                 │ failed     │  │ └── guest shut down ─┼───────────────┤ └── (outside) ──┐ │
 *                 ▼            │  │                      │ failed        │ shutdown, stop  │ │
 *               failed ◄───────┼──┼──────────────────────┘               ▼                 │ │
 *                 ▲ │    stop  │  └──────────────────────────────── stopping ◄─────────────┼─┘
 *                 │ └──────────┘                                                           │
 *                 └─ crash, lost by libvirt ─ (any that lives)    libvirt away ─► unknown ─┘ (read anew when it is back)
 *
 * | in between      | owner                | limit                                  | afterwards                        |
 * | --------------- | -------------------- | -------------------------------------- | --------------------------------- |
 * | starting        | vm.start, vm.create  | of each step, start itself 3 min       | failed, with the reason           |
 * | stopping        | vm.shutdown          | the task's timeoutMs, over restarts    | stop                              |
 * | stopping        | vm.stop, vm.delete   | 60 s                                   | what libvirt says, or unknown     |
 * | no network here | vm.start, vm.create  | 10 min                                 | failed, with the reason           |
 * | making volumes  | vm.create            | 10 min without progress, 24 h          | failed; what was made stays known |
 * | deleting        | vm.delete            | of each step                           | as libvirt says; delete again     |
 * | unknown         | this queue           | none: until libvirt answers            | what libvirt says                 |
 * | (any) no libvirt| the task             | 60 s, five times                       | the task fails                    |
 * | (any) no quorum | the task             | none: until there is one               | goes on, or ends as it was ended  |
 * | moving here     | vm.move              | 10 min without progress, 24 h          | here, or where it was             |
 * | adopting        | vm.adopt             | of each step; failed: until it is known whose the domain is | adopted, or foreign as before |
 * | pool not ready  | the task             | of making it ready, once: then it fails at once | what the step says     |
 *
 * A stop overtakes what waits (a shut-down, volumes in the making), a delete overtakes everything: the overtaken task
 * ends as canceled. After kill -9 the tasks are still in the state, pending or running; the next start carries them out
 * from what it finds, and since each step is skipped or repeated without harm, they end as if nothing had happened.
 */
import type { DomainState } from "../hypervisor/driver.ts";
import { toRfc3339 } from "../lib/clock.ts";
import { AppError, isAppError, toErrorInfo } from "../lib/errors.ts";
import type { Task, TaskKind } from "../model/task.ts";
import type { PowerState, Vm, VmStatus } from "../model/vm.ts";
import { limited } from "./context.ts";
import { ExclusiveWork } from "./exclusive.ts";
import { bounds, intervals, limits } from "./limits.ts";
import { networkAwaited } from "./network-wait.ts";
import { type RelocationParts, relocate } from "./relocation.ts";
import { snapshotsOf } from "./snapshot-take.ts";
import { patchVm, reportVm } from "./status.ts";
import type { TaskBoard } from "./task-board.ts";
import { Later, type TaskRun, waitsForHypervisor, withPlacement } from "./task-run.ts";
import { lookAtVm } from "./vm-look.ts";
import { mayRunHere, requireOurs } from "./vm-ours.ts";
import { planError, planVm, type VmStep, type VmView } from "./vm-plan.ts";
import { settleVm } from "./vm-settle.ts";
import { type DoableStep, doStep, isUnslotted, newVmRun, prepareStep, type StepParts, type VmRun } from "./vm-steps.ts";
import { undoTask } from "./vm-undo.ts";
import { Bell } from "./wait.ts";

export type QueueParts = StepParts &
	RelocationParts & {
		board: TaskBoard;
		/** True until the VM was looked at for the first time after the host was booted. */
		hostRestarted(vmId: string): boolean;
		seen(vmId: string): void;
	};

type StepsEnd = { message: string | null; reason: string | null; gone: boolean };

export class VmQueue {
	readonly vmId: string;
	readonly #parts: QueueParts;
	readonly #bell = new Bell();
	readonly #exclusive = new ExclusiveWork();
	#running: Promise<void> | null = null;
	#current: Task | null = null;
	#look: { compare: boolean } | null = null;
	#addresses: VmStatus["addresses"] | undefined;
	#failures = 0;

	constructor(parts: QueueParts, vmId: string) {
		this.#parts = parts;
		this.vmId = vmId;
	}

	/** Something may have changed: look at the tasks, and with `look` at the domain too. Returns at once. */
	wake(look?: { compare: boolean }): void {
		if (look) this.#look = { compare: look.compare || (this.#look?.compare ?? false) };
		this.#overtake();
		this.#bell.ring();
		if (this.#parts.context.stopping.aborted || this.#running) return;
		this.#running = this.#loop();
	}

	/** Null while nothing is done here. Never rejects. */
	get running(): Promise<void> | null {
		return this.#running;
	}

	get task(): Task | null {
		return this.#current;
	}

	setAddresses(addresses: VmStatus["addresses"]): void {
		this.#addresses = addresses;
		this.wake({ compare: false });
	}

	/**
	 * Runs `work` in the queue, after the tasks that are there, with nothing else happening to the VM. Fails with the
	 * signal's reason, or `timeout` when it is not its turn for so long; null: there is no such limit.
	 */
	whileStill<T>(
		signal: AbortSignal,
		work: (active: boolean) => Promise<T>,
		waitMs: number | null = limits.exclusiveWaitMs,
	): Promise<T> {
		const { clock } = this.#parts.context;
		const result = this.#exclusive.add({ clock, signal, waitMs }, async () => work(await this.#isActive()));
		this.wake();
		return result;
	}

	async #isActive(): Promise<boolean> {
		const domain = await this.#readDomain();
		return domain !== null && domain.powerState !== "stopped" && domain.powerState !== "failed";
	}

	async #loop(): Promise<void> {
		// The caller goes on first: a burst of events makes one round.
		await Promise.resolve();
		const { context, board } = this.#parts;
		while (!context.stopping.aborted) {
			try {
				const task = board.ofTarget("vm", this.vmId)[0];
				const exclusive = task ? undefined : this.#exclusive.shift();
				if (task) await this.#carryOut(task);
				else if (exclusive) await exclusive();
				else if (this.#look) await this.#lookNow();
				else break;
				this.#failures = 0;
			} catch (error) {
				if (context.stopping.aborted) break;
				// The state cannot be written, or a bug: everything is still to be done, later.
				this.#failures += 1;
				const isLater = error instanceof Later;
				const delayMs = Math.min(1_000 * 2 ** Math.min(this.#failures, 6), isLater ? 10_000 : 60_000);
				const level = !isLater ? "error" : this.#failures === 1 ? "warn" : "debug";
				context.logger[level]("a VM's queue failed; it goes on later", { vmId: this.vmId, delayMs, error });
				await new Bell().wait(context.clock, delayMs, context.stopping).catch(() => {});
			}
		}
		// In the same turn as the decision to end: a wake after it begins a new loop.
		this.#running = null;
	}

	async #lookNow(): Promise<void> {
		const { context } = this.#parts;
		const look = this.#look;
		this.#look = null;
		await lookAtVm(this.#parts, this.vmId, { compare: look?.compare ?? false, addresses: this.#addresses });
		// Addresses are those of one life of the guest.
		if (context.store.get("vm", this.vmId)?.status.startedAt === null) this.#addresses = undefined;
	}

	/** Ends the current task when a newer one makes it pointless. */
	#overtake(): void {
		const current = this.#current;
		if (!current) return;
		const by = this.#parts.board
			.ofTarget("vm", this.vmId)
			.find((task) => task.id !== current.id && overtakes(task.kind, current.kind));
		if (by) this.#parts.board.abort(current.id, overtaken(by.kind));
	}

	async #carryOut(task: Task): Promise<void> {
		const { board, context } = this.#parts;
		const run = await board.begin(task.id, task.kind === "vm.shutdown" || task.kind === "vm.move");
		if (!run) return board.forget(task.id);
		this.#current = task;
		try {
			if (task.kind === "vm.move" || task.kind === "volume.discard") {
				await relocate(this.#parts, this.vmId, run);
				this.#look = { compare: true };
				return;
			}
			this.#overtake();
			const memory = newVmRun();
			try {
				const end = await this.#takeSteps(run, memory);
				if (!end.gone) await this.#settle(run, memory, { kind: "success", reason: end.reason });
				await run.succeed(withPlacement(task, end.message));
			} catch (error) {
				if (context.stopping.aborted || error instanceof Later) throw error;
				const undone = await undoTask(this.#parts, this.vmId, run, memory, error);
				if (!undone) await this.#settle(run, memory, { kind: "failure", error: toErrorInfo(error) });
				await run.fail(error);
			} finally {
				this.#parts.networks.release(memory);
			}
		} finally {
			this.#current = null;
		}
	}

	async #takeSteps(run: TaskRun, memory: VmRun): Promise<StepsEnd> {
		const { context } = this.#parts;
		let waits = 0;
		for (let count = 0; count < bounds.stepsPerTask; count++) {
			context.stopping.throwIfAborted();
			run.signal.throwIfAborted();
			const { epoch } = context.connection;
			try {
				const end = await this.#takeStep(run, memory);
				if (end) return end;
			} catch (error) {
				const libvirtAway = !context.connection.connected || context.connection.epoch !== epoch;
				if (!isAppError(error, "unavailable") || !libvirtAway || ++waits > bounds.hypervisorWaits) throw error;
				run.say(waitsForHypervisor);
				await context.connection.wait(limits.hypervisorWaitMs, run.signal);
			}
		}
		throw new AppError("internal", "The operation did not come to an end.");
	}

	/** One step. Null: there are more. */
	async #takeStep(run: TaskRun, memory: VmRun): Promise<StepsEnd | null> {
		const { context, board } = this.#parts;
		const vm = context.store.get("vm", this.vmId);
		if (!vm) {
			if (run.task.kind === "vm.delete") return { message: null, reason: null, gone: true };
			throw new AppError("canceled", "The VM does not exist any more.");
		}
		requireOurs(context, vm);
		const domain = await this.#readDomain();
		const now = context.clock.monotonicMs();
		const volumes = vm.spec.disks.map((disk) => context.store.get("volume", disk.volumeId));
		const making = vm.spec.disks.map((disk) => disk.volumeId).filter((id) => board.find("volume.create", id) !== null);
		const view: VmView = {
			vm,
			task: run.task,
			domain,
			volumes,
			discs: vm.spec.cdroms.map(({ imageId }) => (imageId === null ? null : context.store.get("image", imageId))),
			attached: run.task.kind === "vm.delete" ? context.store.all("volume", { vmId: vm.id }) : [],
			inTheMaking: new Set(making),
			done: memory.done,
			destroys: memory.destroys,
			deleted: memory.deleted,
			kept: memory.kept,
			fetched: memory.fetched,
			...{ notLive: memory.notLive, remark: memory.remark, ...snapshotsOf(context, run.task, vm) },
			elapsedMs: run.elapsedMs(),
			ageMs: context.clock.nowMs() - Date.parse(run.task.createdAt),
			sinceRequestMs: memory.requestedMonotonicMs === null ? null : now - memory.requestedMonotonicMs,
		};
		const { step, showAs } = planVm(view);
		if (step.kind === "finish") return { message: step.message, reason: step.reason, gone: false };
		if (step.kind === "fail") throw planError(step);
		if (showAs !== null || run.task.kind === "vm.create") await this.#show(showAs, run.task.id);
		if (step.kind === "gone") {
			await context.propose({ kind: "vmGone", id: vm.id, nodeId: context.nodeId });
			return { message: step.message, reason: null, gone: true };
		}
		if (step.kind === "wait") {
			await this.#bell.wait(context.clock, step.ms, run.signal);
			return null;
		}
		if (step.kind === "wait-for-volume" || step.kind === "wait-for-image") {
			await this.#waitForOther(step, run);
			return null;
		}
		try {
			await this.#do(vm.id, step, run, memory);
		} catch (error) {
			if (step.kind !== "prepare-networks" || !(await this.#waitForNetwork(vm, error, run, memory))) throw error;
		}
		return null;
	}

	async #do(vmId: string, step: Exclude<DoableStep, { kind: "gone" }>, run: TaskRun, memory: VmRun): Promise<void> {
		const { context } = this.#parts;
		const vm = context.store.get("vm", vmId);
		if (!vm) return;
		// Without a quorum no slot is taken. With one it may be minutes until there is a slot: by then the answer is an old one.
		await mayRunHere(context, vmId, step, run);
		const work = async () => {
			await mayRunHere(context, vmId, step, run);
			await doStep(this.#parts, vm, step, memory, run);
		};
		if (isUnslotted(step)) return work();
		await prepareStep(this.#parts, vm, step, memory, run);
		await context.vmSteps.run(work);
	}

	/**
	 * What makes the volume or image is a task of its own, which has an end; the queue is woken by what it reports. It may
	 * itself need this VM to keep still (a copy of one of its disks): that is let in, or both would wait for ever.
	 */
	async #waitForOther(step: Extract<VmStep, { kind: "wait-for-volume" | "wait-for-image" }>, run: TaskRun) {
		const { context } = this.#parts;
		const isVolume = step.kind === "wait-for-volume";
		const other = isVolume ? context.store.get("volume", step.volumeId) : context.store.get("image", step.imageId);
		run.say(`Waits for ${isVolume ? "volume" : "image"} "${other?.name ?? "?"}"`);
		await run.setCancelable(true);
		await this.#waitAWhile(limits.copyIdleMs, run);
	}

	/** False: there is nothing to wait for, or it was waited for long enough. The VM's record may be changed meanwhile. */
	async #waitForNetwork(vm: Vm, error: unknown, run: TaskRun, memory: VmRun): Promise<boolean> {
		const { context } = this.#parts;
		const what = networkAwaited(context, vm, run.task.kind, error);
		const now = context.clock.monotonicMs();
		memory.networkSinceMonotonicMs ??= now;
		if (what === null || now - memory.networkSinceMonotonicMs >= limits.networkWaitMs) return false;
		run.say(what);
		await run.setCancelable(true);
		await this.#waitAWhile(intervals.networkRetryMs, run);
		return true;
	}

	async #waitAWhile(ms: number, run: TaskRun): Promise<void> {
		const exclusive = this.#exclusive.shift();
		if (exclusive) await exclusive();
		else await this.#bell.wait(this.#parts.context.clock, ms, run.signal);
	}

	async #show(powerState: PowerState | null, taskId: string): Promise<void> {
		const { context } = this.#parts;
		await patchVm(context, this.vmId, { taskId, ...(powerState === null ? {} : { powerState, reason: null }) });
	}

	#readDomain(): Promise<DomainState | null> {
		const { context } = this.#parts;
		return limited(context, "Reading the VM's state", limits.readMs, () => context.hypervisor.getDomain(this.vmId));
	}

	async #settle(run: TaskRun, memory: VmRun, outcome: Parameters<typeof settleVm>[0]["outcome"]): Promise<void> {
		const { context, board } = this.#parts;
		const vm = context.store.get("vm", this.vmId);
		if (!vm || vm.nodeId !== context.nodeId) return;
		if (outcome.kind === "failure") await this.#parts.volumes.giveUp(vm, outcome.error, board);
		// The next task takes the VM over as it is: an in-between state would only flicker.
		const next = board.ofTarget("vm", this.vmId).find((task) => task.id !== run.task.id);
		if (outcome.kind === "failure" && outcome.error.code === "canceled" && next && overtakes(next.kind, run.task.kind))
			return;
		const domain = await this.#readDomain().catch(() => "unreachable" as const);
		const settled = settleVm({
			vm,
			taskKind: run.task.kind,
			domain,
			outcome,
			definedGeneration: memory.definedGeneration ?? definedBefore(run.task.kind, domain),
			started: memory.done.has("start"),
			differences: memory.differences,
			notLive: memory.notLive,
			accelerator: context.accelerator.kind,
			now: toRfc3339(context.clock.nowMs()),
		});
		this.#parts.seen(this.vmId);
		await reportVm(context, this.vmId, settled);
		if (domain === "unreachable") this.#look = { compare: true };
	}
}

/** An adoption that fails although the domain is ours: its definition was the last thing that worked. */
const definedBefore = (kind: TaskKind, domain: DomainState | null | "unreachable"): number | null =>
	kind === "vm.adopt" && domain !== "unreachable" ? (domain?.definedGeneration ?? null) : null;

const waits: readonly TaskKind[] = ["vm.create", "vm.start", "vm.shutdown"];

function overtakes(newer: TaskKind, current: TaskKind): boolean {
	if (newer === "vm.delete") return current !== "vm.delete";
	return newer === "vm.stop" && waits.includes(current);
}

const overtaken = (by: TaskKind): AppError =>
	new AppError("canceled", by === "vm.delete" ? "The VM is being deleted." : "Overtaken by a stop.");
