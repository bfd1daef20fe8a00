/**
 * What a VM's status becomes when a task of it ends. Pure. Success says what the task reached; failure says what is
 * left of the VM: one that could not be started is `failed`, one that merely refused a change is as it was, with the
 * error beside it. In-between states end here in any case.
 */
import type { DomainState } from "../hypervisor/driver.ts";
import type { ErrorInfo } from "../lib/errors.ts";
import type { TaskKind } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import { isStale, type Observed, observeVm, type Status, withoutTime } from "./vm-observe.ts";
import { isActive } from "./vm-plan.ts";

export type Outcome =
	| { kind: "success"; reason: string | null }
	/** Failed or canceled; `error.code` tells which. */
	| { kind: "failure"; error: ErrorInfo };

export type Ending = {
	vm: Vm;
	taskKind: TaskKind;
	domain: DomainState | null | "unreachable";
	outcome: Outcome;
	/** The definition was brought to this generation. */
	definedGeneration: number | null;
	/** This run started the VM. */
	started: boolean;
	/** Parts of a change that wait for the next start. */
	differences: Status["differences"] | null;
	notLive: readonly string[];
	accelerator: "kvm" | "tcg";
	/** RFC 3339. */
	now: string;
};

export function settleVm(ending: Ending): Observed {
	const { vm, domain } = ending;
	const before: Status = withoutTime({
		...vm.status,
		taskId: null,
		observedGeneration: ending.definedGeneration ?? vm.status.observedGeneration,
	});
	if (domain === "unreachable") return settleUnseen(ending, before);
	return domain && isActive(domain) ? settleActive(ending, before, domain) : settleOff(ending, before);
}

function settleActive(ending: Ending, before: Status, domain: DomainState): Observed {
	const { outcome, vm } = ending;
	const powerState = domain.powerState === "paused" ? "paused" : "running";
	const stale = isStale(domain, before);
	const fresh = ending.started && !stale;
	const differences = ending.differences ?? (fresh ? [] : before.differences);
	const waits = differences.length > 0 || ending.notLive.length > 0;
	const status: Status = {
		...before,
		powerState,
		reason: outcome.kind === "success" ? outcome.reason : reasonOfFailure(ending),
		pendingRestart: ending.differences ? waits : stale || (!fresh && before.pendingRestart),
		differences,
		accelerator: ending.started ? ending.accelerator : (before.accelerator ?? ending.accelerator),
		startedAt: ending.started ? ending.now : (before.startedAt ?? ending.now),
		error: errorOf(outcome),
	};
	// A pause by QEMU because of a disk error is nobody's wish.
	const wanted = domain.reason === "io-error" ? "running" : powerState;
	return { status, desiredPower: vm.deleting ? vm.desiredPower : wanted };
}

function reasonOfFailure({ taskKind, outcome }: Ending): string | null {
	if (taskKind === "vm.shutdown" && outcome.kind === "failure" && outcome.error.code === "canceled")
		return "The shut-down was canceled; the guest may still follow the request.";
	return null;
}

/** Tasks that leave a VM behind which cannot be relied on when they fail. */
const makesVm: readonly TaskKind[] = ["vm.create", "vm.start", "vm.adopt"];

function settleOff(ending: Ending, before: Status): Observed {
	const { outcome, taskKind, domain } = ending;
	const off: Status = {
		...before,
		pendingRestart: false,
		differences: ending.differences ?? [],
		accelerator: null,
		startedAt: null,
		addresses: [],
		error: errorOf(outcome),
	};
	if (outcome.kind === "success") {
		const leaves: readonly TaskKind[] = ["vm.update", "vm.snapshot"];
		const stays = leaves.includes(taskKind) && before.powerState === "failed";
		const state = stays ? { powerState: "failed" as const, error: before.error } : { powerState: "stopped" as const };
		return { status: { ...off, reason: stays ? before.reason : outcome.reason, ...state }, desiredPower: "stopped" };
	}
	// A start that was called off before anything came of it leaves the VM as it was.
	if (taskKind === "vm.start" && outcome.error.code === "canceled" && before.powerState !== "starting")
		return { status: { ...off, error: before.error }, desiredPower: "stopped" };
	if (taskKind === "vm.start" && outcome.error.code === "canceled")
		return { status: { ...off, powerState: "stopped", reason: null }, desiredPower: "stopped" };
	if (makesVm.includes(taskKind))
		return {
			status: { ...off, powerState: "failed", reason: outcome.error.message, error: outcome.error },
			desiredPower: "stopped",
		};
	if (taskKind === "vm.shutdown" || taskKind === "vm.stop" || taskKind === "vm.delete")
		return { status: { ...off, powerState: "stopped", reason: null }, desiredPower: "stopped" };
	// Pause, resume, reset, update: the VM went off by itself meanwhile, or was off.
	const observed = observeVm({
		vm: { ...ending.vm, status: { ...ending.vm.status, ...before } },
		domain: domain === "unreachable" ? null : domain,
		now: ending.now,
		hostRestarted: false,
		accelerator: ending.accelerator,
		differences: [],
	});
	return { ...observed, status: { ...observed.status, error: errorOf(outcome) ?? observed.status.error } };
}

/** libvirt does not answer at the end of a task: what was in between is unknown, and the task has failed. */
function settleUnseen(ending: Ending, before: Status): Observed {
	const observed = observeVm({
		vm: { ...ending.vm, status: { ...ending.vm.status, ...before } },
		domain: "unreachable",
		now: ending.now,
		hostRestarted: false,
		accelerator: ending.accelerator,
	});
	const neverMade = ending.taskKind === "vm.create" && before.powerState === "stopped";
	const status: Status = { ...observed.status, error: errorOf(ending.outcome) };
	if (neverMade && ending.outcome.kind === "failure")
		return {
			status: { ...status, powerState: "failed", reason: ending.outcome.error.message },
			desiredPower: "stopped",
		};
	return { status, desiredPower: observed.desiredPower };
}

/** That something could not be done in this state, or was canceled, says nothing about the VM. */
function errorOf(outcome: Outcome): ErrorInfo | null {
	if (outcome.kind === "success") return null;
	return outcome.error.code === "wrong-state" || outcome.error.code === "canceled" ? null : outcome.error;
}
