/**
 * The next step of a VM's task, decided from what is: the spec, the task, what libvirt sees, the volumes, and what
 * this run has done already. Pure: no IO, no clock. The executor (vm-steps.ts) does the step and asks again, so a run
 * that was cut off anywhere continues by asking from the start: each step is skipped when reality shows its result,
 * or is harmless to repeat.
 */
import type { DomainState } from "../hypervisor/driver.ts";
import { type ErrorInfo, fromErrorInfo } from "../lib/errors.ts";
import { formatDuration } from "../lib/units.ts";
import { runsElsewhere } from "../model/actions.ts";
import type { Snapshot } from "../model/snapshot.ts";
import { halfRevertedObstacle } from "../model/snapshot-rules.ts";
import type { Image, Volume } from "../model/storage.ts";
import type { Task } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import { limits } from "./limits.ts";
import { fail, finish, isActive, type Planned, quietly } from "./plan-words.ts";
import { planRevert, planSnapshot } from "./snapshot-plan.ts";

export type VmView = {
	vm: Vm;
	task: Task;
	domain: DomainState | null;
	/** One for each of spec.disks; null without a record. */
	volumes: (Volume | null)[];
	/** Images in spec.cdroms; null for an empty drive or without a record. */
	discs: (Image | null)[];
	/** All volumes that are attached to the VM; those in phase "deleting" go with it. Only looked at by vm.delete. */
	attached: Volume[];
	/** Of the VM. */
	snapshots: readonly Snapshot[];
	/** The one that the task is about; null for any other task. */
	snapshot: Snapshot | null;
	/** What the task ends with saying. */
	remark: string | null;
	/** Volumes that a task of their own is making now. */
	inTheMaking: ReadonlySet<string>;
	/** What this run has done. */
	done: ReadonlySet<VmStep["kind"]>;
	/** How often this run has ended the domain. */
	destroys: number;
	/** Volumes whose files this run has deleted. */
	deleted: ReadonlySet<string>;
	/** Volumes that are not deleted, because something uses them: what it is. */
	kept: ReadonlyMap<string, string>;
	/** Images that this run has got from other nodes. */
	fetched: ReadonlySet<string>;
	/** Parts of a live change that wait for the next start. */
	notLive: readonly string[];
	/** Since the task began, over restarts of the daemon. */
	elapsedMs: number;
	/** Since the task was accepted. */
	ageMs: number;
	/** Since the last request to shut down; null when this run has not asked yet. */
	sinceRequestMs: number | null;
};

export type VmStep =
	| { kind: "create-volume"; volumeId: string }
	| { kind: "wait-for-volume"; volumeId: string }
	| { kind: "wait-for-image"; imageId: string }
	| { kind: "fetch-image"; imageId: string }
	| { kind: "adopt-volumes" }
	| { kind: "report-volumes" }
	| { kind: "prepare-networks" }
	| { kind: "prepare-seed" }
	| { kind: "define" }
	| { kind: "start"; paused: boolean }
	| { kind: "request-shutdown"; escalateInMs: number }
	| { kind: "wait"; ms: number }
	/** `afterMs`: libvirt said that it was done, and it was not; wait a little before it is told again. */
	| { kind: "destroy"; afterMs: number }
	| { kind: "reset" }
	| { kind: "pause" }
	| { kind: "resume" }
	| { kind: "apply-live" }
	| { kind: "undefine" }
	| { kind: "delete-volume"; volumeId: string }
	/** Of volumes that stay when their VM goes. */
	| { kind: "forget-snapshots" }
	/** `powerState`: what the VM is. */
	| { kind: "begin-snapshot"; powerState: NonNullable<Snapshot["powerState"]> }
	| { kind: "take-snapshot" }
	| { kind: "report-snapshot" }
	| { kind: "revert-snapshot" }
	| { kind: "remove-folder" }
	| { kind: "gone"; message: string | null }
	/** The goal is reached. `reason` becomes that of the status. */
	| { kind: "finish"; message: string | null; reason: string | null }
	| { kind: "fail"; error: ErrorInfo };

export { isActive };

/** Between two looks at a domain that is being started. */
const halfStartedMs = 500;

export function planVm(view: VmView): Planned {
	switch (view.task.kind) {
		case "vm.create":
			return view.task.input.start === true ? planStart(view) : (prepare(view) ?? finish("Created."));
		case "vm.start":
			return planStart(view);
		case "vm.shutdown":
			return planShutdown(view);
		case "vm.stop":
			return planStop(view);
		case "vm.reset":
			return planReset(view);
		case "vm.pause":
			return planPause(view);
		case "vm.resume":
			return planResume(view);
		case "vm.update":
			return planUpdate(view);
		case "vm.adopt":
			return planAdopt(view);
		case "vm.snapshot":
			return planSnapshot(view);
		case "vm.revert":
			return planRevert(view);
		case "vm.delete":
			return planDelete(view);
		default:
			return fail("internal", `A VM has no operation ${view.task.kind}.`);
	}
}

/** Everything that a definition needs, and the definition. Null when it is done. */
function prepare(view: VmView): Planned | null {
	for (const [index, disk] of view.vm.spec.disks.entries()) {
		const volume = view.volumes[index] ?? null;
		if (volume === null) return fail("not-found", `The volume of disk "${disk.id}" does not exist.`);
		// Overtaken by the VM's own deletion, which the state has already and this queue is about to hear of.
		if (volume.phase === "deleting" && view.vm.deleting) return fail("canceled", "The VM is being deleted.");
		if (volume.phase === "deleting") return fail("wrong-state", `Volume "${volume.name}" is being deleted.`);
		// A volume that is being resized is whole: waiting for it here would wait for a task that waits for this VM.
		if (volume.phase === "ready" || volume.phase === "resizing") continue;
		if (view.inTheMaking.has(volume.id)) return quietly({ kind: "wait-for-volume", volumeId: volume.id });
		return quietly({ kind: "create-volume", volumeId: volume.id });
	}
	for (const image of view.discs)
		if (image?.phase === "importing" || image?.phase === "uploading")
			return quietly({ kind: "wait-for-image", imageId: image.id });
	for (const image of view.discs)
		if (image !== null && image.nodeId !== null && image.nodeId !== view.vm.nodeId && !view.fetched.has(image.id))
			return quietly({ kind: "fetch-image", imageId: image.id });
	for (const kind of ["prepare-networks", "prepare-seed", "define"] as const)
		if (!view.done.has(kind)) return quietly({ kind });
	return null;
}

/** The files, the definition, and then the records say so: until the domain is ours, all of it can be taken back. */
function planAdopt({ domain, done }: VmView): Planned {
	if (domain === null) return fail("not-found", "The VM is not in libvirt any more.");
	for (const kind of ["adopt-volumes", "prepare-networks", "define", "report-volumes"] as const)
		if (!done.has(kind)) return quietly({ kind });
	return finish("Adopted.");
}

function planStart(view: VmView): Planned {
	const { domain, done } = view;
	const paused = view.task.input.paused === true;
	// libvirt is not done yet, for a daemon before us. It may still give up: a restarted libvirtd ends what was half started.
	if (domain?.powerState === "starting") return { step: { kind: "wait", ms: halfStartedMs }, showAs: "starting" };
	// It was accepted before that was known.
	const obstacle = isActive(domain) ? null : (runsElsewhere(view.vm) ?? halfRevertedObstacle(view.snapshots));
	if (obstacle !== null) return fail("wrong-state", obstacle);
	if (domain && isActive(domain)) {
		if (domain.powerState === "paused" && !paused && domain.reason !== "io-error" && !done.has("resume"))
			return { step: { kind: "resume" }, showAs: "starting" };
		return finish(null);
	}
	if (done.has("start")) {
		// It ran, and ended before we looked again.
		if (domain?.reason === "shutdown")
			return finish("Started; the guest has shut itself down.", "Shut down by the guest.");
		return fail("hypervisor", `The VM ended right after it was started (${domain?.reason ?? "it is gone"}).`);
	}
	// A crashed domain may still hold its QEMU.
	if (domain?.powerState === "failed" && view.destroys === 0) return { step: destroy(view), showAs: "starting" };
	const preparing = prepare(view);
	if (!preparing) return { step: { kind: "start", paused }, showAs: "starting" };
	// Making volumes may take hours: the VM is not "starting" before they are there.
	const starting = preparing.step.kind.startsWith("prepare-") || preparing.step.kind === "define";
	return view.task.kind === "vm.start" && starting ? { ...preparing, showAs: "starting" } : preparing;
}

function planShutdown(view: VmView): Planned {
	const { domain } = view;
	if (!isActive(domain)) return planStop(view);
	if (domain?.powerState === "paused" && view.sinceRequestMs === null)
		return fail("wrong-state", "A paused VM cannot be shut down: resume it, or stop it.");
	const timeoutMs = shutdownTimeoutMs(view);
	const remainingMs = timeoutMs - view.elapsedMs;
	if (remainingMs <= 0) return planStop(view);
	if (view.sinceRequestMs === null || view.sinceRequestMs >= limits.shutdownRepeatMs)
		return { step: { kind: "request-shutdown", escalateInMs: remainingMs }, showAs: "stopping" };
	const untilRepeatMs = limits.shutdownRepeatMs - view.sinceRequestMs;
	return { step: { kind: "wait", ms: Math.min(remainingMs, untilRepeatMs) }, showAs: "stopping" };
}

export function shutdownTimeoutMs(view: Pick<VmView, "task" | "vm">): number {
	const given = view.task.input.timeoutMs;
	return typeof given === "number" && Number.isFinite(given) && given >= 0 ? given : view.vm.spec.shutdownTimeoutMs;
}

/**
 * Ends whatever process there is; null when there is none. A crashed domain may still hold its QEMU: ending it is
 * harmless when it does not. A libvirtd that has just been restarted may not have taken the domain back yet and say that
 * there is nothing to end: so what counts is what is seen afterwards, and it is told three times.
 */
function end(view: VmView): Planned | null {
	const { domain, destroys } = view;
	if (!isActive(domain) && (domain?.powerState !== "failed" || destroys > 0)) return null;
	if (destroys >= maxDestroys) return fail("hypervisor", "The VM goes on although it was told to end at once.");
	return { step: destroy(view), showAs: "stopping" };
}

const maxDestroys = 3;
const destroy = (view: VmView): VmStep => ({ kind: "destroy", afterMs: view.destroys * 1_000 });

function planStop(view: VmView): Planned {
	const ending = end(view);
	if (ending) return ending;
	if (view.task.kind === "vm.shutdown" && view.destroys > 0) {
		const said = `The guest did not shut down within ${formatDuration(shutdownTimeoutMs(view))}; it was stopped.`;
		return finish(said, said);
	}
	return finish(null);
}

function planReset(view: VmView): Planned {
	if (view.done.has("reset")) return finish(null);
	if (!isActive(view.domain)) return fail("wrong-state", "The VM does not run any more, so it was not reset.");
	// At least once: a daemon that ended in the middle cannot know whether QEMU had reset it. Long after, nobody wants it.
	if (view.ageMs > limits.staleResetMs)
		return fail("timeout", "The VM was not reset: the request is too old by now. Reset it again if it still needs it.");
	return quietly({ kind: "reset" });
}

function planPause(view: VmView): Planned {
	if (!isActive(view.domain)) return fail("wrong-state", "The VM does not run any more, so it was not paused.");
	if (view.domain?.powerState === "paused") return finish(null);
	if (view.done.has("pause")) return fail("hypervisor", "The VM goes on although it was told to pause.");
	return quietly({ kind: "pause" });
}

function planResume(view: VmView): Planned {
	if (!isActive(view.domain)) return fail("wrong-state", "The VM does not run any more, so it was not resumed.");
	if (view.domain?.powerState !== "paused") return finish(null);
	if (!view.done.has("resume")) return quietly({ kind: "resume" });
	const why = view.domain.reason === "io-error" ? " A disk still gives errors." : "";
	return fail("hypervisor", `The VM stays paused although it was told to resume.${why}`);
}

function planUpdate(view: VmView): Planned {
	const preparing = prepare(view);
	if (preparing) return preparing;
	if (!isActive(view.domain)) return finish(null);
	if (!view.done.has("apply-live")) return quietly({ kind: "apply-live" });
	if (view.notLive.length === 0) return finish(null);
	return finish(`Waits for the next start: ${view.notLive.join("; ")}`);
}

/** The domain first: nothing that it still uses may go. Then what it used, then the record. */
function planDelete(view: VmView): Planned {
	const { domain, done } = view;
	if (domain !== null) {
		const ending = end(view);
		if (ending) return ending;
		if (done.has("undefine"))
			return fail("hypervisor", "libvirt keeps the definition of the VM although it was removed.");
		return quietly({ kind: "undefine" });
	}
	if (!done.has("forget-snapshots") && view.snapshots.length > 0) return quietly({ kind: "forget-snapshots" });
	const next = view.attached.find((volume) => volume.phase === "deleting" && !view.deleted.has(volume.id));
	if (next) return quietly({ kind: "delete-volume", volumeId: next.id });
	if (!done.has("remove-folder")) return quietly({ kind: "remove-folder" });
	const kept = view.attached
		.filter((volume) => view.kept.has(volume.id))
		.map((volume) => `Volume "${volume.name}" stays: ${view.kept.get(volume.id)}`);
	return quietly({ kind: "gone", message: [...kept, view.remark].filter((text) => text !== null).join(" ") || null });
}

/** A plan that cannot go on, as an error. */
export const planError = (step: Extract<VmStep, { kind: "fail" }>) => fromErrorInfo(step.error);
