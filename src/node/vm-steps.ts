/**
 * Does one step of vm-plan.ts; decides nothing. What the run has to remember between steps is in `VmRun`, which lives
 * as long as the task is carried out and is lost with the process: the planner then starts from what is.
 */
import type { DomainSpec } from "../hypervisor/driver.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { Vm, VmDifference } from "../model/vm.ts";
import { adoptVolumes, reportVolumes } from "./adoption-steps.ts";
import { limited } from "./context.ts";
import { buildDomainSpec, type DomainParts, prepareNetworks, settleDisks } from "./domain-spec.ts";
import type { ImageCopies } from "./image-copies.ts";
import { limits } from "./limits.ts";
import type { Openings } from "./openings.ts";
import { poolsSettled } from "./pool-wait.ts";
import { forgetSnapshots } from "./snapshot-delete.ts";
import { revertToSnapshot } from "./snapshot-revert.ts";
import { snapshotIdOf, takeSnapshot } from "./snapshot-take.ts";
import type { TaskRun } from "./task-run.ts";
import { seedPath, vmFolder } from "./vm-folder.ts";
import type { VmStep } from "./vm-plan.ts";
import type { Volumes } from "./volumes.ts";
import { Bell } from "./wait.ts";

export type VmRun = {
	done: Set<VmStep["kind"]>;
	destroys: number;
	deleted: Set<string>;
	kept: Map<string, string>;
	fetched: Set<string>;
	notLive: string[];
	bridges: Map<string, string> | null;
	/** Generation that the definition has now. */
	definedGeneration: number | null;
	/** What still differs from the spec after a live change. */
	differences: VmDifference[] | null;
	requestedMonotonicMs: number | null;
	/** Of the disks in the snapshot, as they were taken. */
	sizes: { volumeId: string; sizeBytes: number }[];
	/** What the task ends with saying. */
	remark: string | null;
	/** The VM's record as libvirt is to have it, from prepareStep to doStep. */
	domain: DomainSpec | null;
	/** Since when it waits for a network. */
	networkSinceMonotonicMs: number | null;
};

export const newVmRun = (): VmRun => ({
	done: new Set(),
	destroys: 0,
	deleted: new Set(),
	kept: new Map(),
	fetched: new Set(),
	notLive: [],
	bridges: null,
	definedGeneration: null,
	differences: null,
	requestedMonotonicMs: null,
	sizes: [],
	remark: null,
	domain: null,
	networkSinceMonotonicMs: null,
});

export type StepParts = DomainParts & { volumes: Volumes; copies: ImageCopies; openings: Openings };
/** Steps that are done here: the others are waits and ends, which are the queue's. */
export type DoableStep = Exclude<
	VmStep,
	{ kind: "wait" | "wait-for-volume" | "wait-for-image" | "finish" | "fail" | "gone" }
>;

/** Steps that take long or take slots of their own: they do not hold one of the node's VM slots. */
export const isUnslotted = (step: VmStep): boolean =>
	step.kind === "create-volume" ||
	step.kind === "fetch-image" ||
	step.kind === "delete-volume" ||
	step.kind === "forget-snapshots" ||
	step.kind === "revert-snapshot" ||
	step.kind === "adopt-volumes";

/** The part of a step that asks the VM's pools, and holds no slot: what hangs in one pool is not to be in the way of VMs on others. */
export async function prepareStep(
	parts: StepParts,
	vm: Vm,
	step: DoableStep,
	run: VmRun,
	task: TaskRun,
): Promise<void> {
	await poolsSettled(parts.context, parts.pools, vm.spec, step, task);
	run.domain = null;
	if (step.kind !== "define" && step.kind !== "start" && step.kind !== "apply-live") return;
	await settleDisks(parts.volumeMoves, vm);
	if (step.kind !== "define") await parts.openings.openOf(vm);
	if (step.kind !== "start") run.domain = await buildDomainSpec(parts, vm, run);
}

/** Call prepareStep before. */
export async function doStep(parts: StepParts, vm: Vm, step: DoableStep, run: VmRun, task: TaskRun): Promise<void> {
	const { context } = parts;
	const { hypervisor } = context;
	const call = (what: string, limitMs: number, work: () => Promise<void>) => limited(context, what, limitMs, work);
	await settleDisks(parts.volumeMoves, vm);
	switch (step.kind) {
		case "create-volume":
			await parts.volumes.make(step.volumeId, task, vm.id);
			await task.setCancelable(false);
			break;
		case "fetch-image": {
			const image = context.store.get("image", step.imageId);
			if (!image) throw new AppError("not-found", "The image in a CD-ROM drive does not exist any more.");
			await parts.copies.ensure(image, task);
			await task.setCancelable(false);
			run.fetched.add(image.id);
			break;
		}
		case "adopt-volumes":
			await adoptVolumes(parts, vm);
			break;
		case "report-volumes":
			await reportVolumes(parts, vm);
			break;
		case "prepare-networks":
			run.bridges = await prepareNetworks(parts.networks, vm, run);
			await parts.networks.requireFreeMacs(vm);
			await task.setCancelable(false);
			break;
		case "prepare-seed":
			await prepareSeed(parts, vm);
			break;
		case "define": {
			await context.folders.make(vmFolder(context.dataDir, vm.id));
			const domain = prepared(run);
			await call("Defining the VM", limits.defineMs, () => hypervisor.define(domain));
			run.definedGeneration = vm.generation;
			break;
		}
		case "start":
			await call("Starting the VM", limits.startMs, () => hypervisor.start(vm.id, { paused: step.paused }));
			break;
		case "request-shutdown":
			await requestShutdown(parts, vm, step.escalateInMs, run, task);
			break;
		case "destroy":
			await endDomain(parts, vm, step.afterMs, run);
			break;
		case "reset":
			await call("Resetting the VM", limits.controlMs, () => hypervisor.reset(vm.id));
			break;
		case "pause":
			await call("Pausing the VM", limits.controlMs, () => hypervisor.pause(vm.id));
			break;
		case "resume":
			await parts.liveMerges.settle(vm.id);
			await call("Resuming the VM", limits.controlMs, () => hypervisor.resume(vm.id));
			break;
		case "apply-live":
			await applyLive(parts, vm, run);
			break;
		case "undefine":
			await call("Removing the VM's definition", limits.controlMs, () => hypervisor.undefine(vm.id));
			break;
		case "delete-volume":
			await deleteVolume(parts, step.volumeId, run, task);
			break;
		case "begin-snapshot":
			await context.propose({
				...{ kind: "snapshotStatus", id: snapshotIdOf(task), phase: "creating", powerState: step.powerState },
			});
			break;
		case "take-snapshot":
			await takeSnapshot(parts, vm, snapshotIdOf(task), (sizes) => {
				run.sizes = sizes;
			});
			break;
		case "report-snapshot":
			await context.propose({
				...{ kind: "snapshotStatus", id: snapshotIdOf(task), phase: "ready", consistency: "crash" },
				...{ sizes: run.sizes, error: null },
			});
			break;
		case "revert-snapshot":
			run.remark = await revertToSnapshot(parts, vm, snapshotIdOf(task), task);
			break;
		case "forget-snapshots":
			run.remark = await forgetSnapshots(parts, vm, task);
			break;
		case "remove-folder":
			await call("Removing the VM's folder", limits.removeFolderMs, () => context.vmState.remove(vm.id));
			break;
	}
	run.done.add(step.kind);
}

function prepared({ domain }: VmRun): DomainSpec {
	if (domain === null) throw new AppError("internal", "The VM's definition was not prepared.");
	return domain;
}

async function prepareSeed({ context }: StepParts, vm: Vm): Promise<void> {
	const folder = vmFolder(context.dataDir, vm.id);
	await context.folders.make(folder);
	const path = seedPath(folder);
	if (vm.spec.cloudInit === null) return context.folders.removeSeed(folder);
	await limited(context, "Writing the cloud-init seed", limits.seedMs, (signal) => context.seeds({ path, vm, signal }));
}

async function endDomain({ context }: StepParts, vm: Vm, afterMs: number, run: VmRun): Promise<void> {
	if (afterMs > 0) await new Bell().wait(context.clock, afterMs, context.stopping);
	run.destroys += 1;
	try {
		await limited(context, "Stopping the VM", limits.destroyMs, () => context.hypervisor.destroy(vm.id));
	} catch (error) {
		// What counts is what is seen afterwards.
		if (!isAppError(error, "not-found")) throw error;
	}
}

/** The clock of the time-out is the task's (see TaskRun.elapsedMs); this only asks, and says how long is left. */
async function requestShutdown(
	{ context }: StepParts,
	vm: Vm,
	escalateInMs: number,
	run: VmRun,
	task: TaskRun,
): Promise<void> {
	await task.setCancelable(true);
	const at = new Date(context.clock.nowMs() + escalateInMs).toISOString().slice(11, 19);
	task.say(`Asked the guest to shut down; if it does not, it is stopped at ${at} UTC.`);
	run.requestedMonotonicMs = context.clock.monotonicMs();
	try {
		await limited(context, "Asking the guest to shut down", limits.requestShutdownMs, () =>
			context.hypervisor.requestShutdown(vm.id),
		);
	} catch (error) {
		// A guest that does not even take the request is stopped when the time is up; away is away.
		if (isAppError(error, "unavailable")) throw error;
		context.logger.info("a guest did not take the request to shut down", { vmId: vm.id, error });
	}
}

async function applyLive(parts: StepParts, vm: Vm, run: VmRun): Promise<void> {
	const { context } = parts;
	const domain = prepared(run);
	const changes = await limited(context, "Changing the running VM", limits.liveChangeMs, () =>
		context.hypervisor.applyLive(domain),
	);
	run.definedGeneration = vm.generation;
	run.notLive = changes
		.filter((change) => !change.applied)
		.map((change) => `${change.field}${change.reason === null ? "" : ` (${change.reason})`}`);
	const left = await limited(context, "Comparing the VM with its spec", limits.readMs, () =>
		context.hypervisor.compare(domain),
	);
	run.differences = left.map((difference) => ({ ...difference, repair: repairLater(difference.repair) }));
}

/** What a live change could not do is done by the next start. */
export const repairLater = (repair: VmDifference["repair"]): VmDifference["repair"] =>
	repair === "automatic" ? "next-start" : repair;

/** Those of the VM that goes are forgotten by then: of one that had the volume before. */
function requireInNoSnapshot({ store }: StepParts["context"], volumeId: string): void {
	const vmId = store.get("volume", volumeId)?.vmId;
	const snapshot = store.all("snapshot", { volumeId }).find((one) => one.vmId !== vmId);
	if (!snapshot) return;
	const vm = store.get("vm", snapshot.vmId)?.name ?? snapshot.vmId;
	throw new AppError("in-use", `It is a part of the snapshot "${snapshot.name}" of VM "${vm}".`);
}

/** The record goes with the VM's (vmGone), unless the volume has to stay. */
async function deleteVolume(
	{ context, volumes }: StepParts,
	volumeId: string,
	run: VmRun,
	task: TaskRun,
): Promise<void> {
	try {
		requireInNoSnapshot(context, volumeId);
		await volumes.deleteWithVm(volumeId, task);
		run.deleted.add(volumeId);
	} catch (error) {
		if (!isAppError(error, "in-use")) throw error;
		run.kept.set(volumeId, error.message);
		await volumes.keep(volumeId, error);
		context.logger.info("a volume stays although its VM goes", { volumeId, error });
	}
}
