/** Rules of a VM that need nothing but the VM: consistency of its spec, kinds of change, work that is under way. */
import type { FieldError } from "../lib/errors.ts";
import { runsElsewhere, type VmAction, vmActionObstacle } from "./actions.ts";
import { isFinished, type Task, type TaskKind } from "./task.ts";
import type { DesiredPower, Vm, VmSpec, VmStatus } from "./vm.ts";

/** What the schema cannot say: unique device ids, references within the spec, limits between members. */
export function vmSpecProblems(spec: VmSpec): FieldError[] {
	const problems: FieldError[] = [];
	if (spec.cpu.maxVcpus < spec.cpu.vcpus) problems.push({ path: "/spec/cpu/maxVcpus", message: "is less than vcpus" });
	if (spec.memory.maxSizeBytes < spec.memory.sizeBytes)
		problems.push({ path: "/spec/memory/maxSizeBytes", message: "is less than sizeBytes" });
	const devices = new Set<string>();
	const addDevices = (member: string, list: readonly { id: string }[]) => {
		list.forEach((device, position) => {
			if (devices.has(device.id))
				problems.push({ path: `/spec/${member}/${position}/id`, message: `device id ${device.id} is used twice` });
			devices.add(device.id);
		});
	};
	addDevices("disks", spec.disks);
	addDevices("cdroms", spec.cdroms);
	addDevices("nics", spec.nics);
	repeated(spec.bootOrder).forEach((position) => {
		problems.push({ path: `/spec/bootOrder/${position}`, message: "is named twice" });
	});
	spec.bootOrder.forEach((id, position) => {
		if (!devices.has(id)) problems.push({ path: `/spec/bootOrder/${position}`, message: `there is no device ${id}` });
	});
	repeated(spec.disks.map((disk) => disk.volumeId)).forEach((position) => {
		problems.push({ path: `/spec/disks/${position}/volumeId`, message: "is attached twice" });
	});
	repeated(spec.nics.map((nic) => nic.mac)).forEach((position) => {
		problems.push({ path: `/spec/nics/${position}/mac`, message: "is used twice" });
	});
	return problems;
}

/** Positions of values that came before. */
function repeated(values: readonly string[]): number[] {
	const seen = new Set<string>();
	return values.flatMap((value, position) => {
		if (seen.has(value)) return [position];
		seen.add(value);
		return [];
	});
}

/** Which action an update of the spec is: nothing of the hardware, only the discs in the drives, or more. */
export function updateActionOf(before: VmSpec, after: VmSpec): Extract<VmAction, `update${string}` | "change-media"> {
	if (same(hardwareOf(before), hardwareOf(after))) return "update";
	const withoutDiscs = (spec: VmSpec) => ({
		...hardwareOf(spec),
		cdroms: spec.cdroms.map((cdrom) => cdrom.id),
	});
	return same(withoutDiscs(before), withoutDiscs(after)) ? "change-media" : "update-hardware";
}

/** Specs come from one place with members in one order; an order that differs counts as a change, which is safe. */
const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

const hardwareOf = ({ autostart: _autostart, shutdownTimeoutMs: _timeout, ...hardware }: VmSpec) => hardware;

const powerTasks: readonly TaskKind[] = [
	"vm.create",
	"vm.adopt",
	"vm.start",
	"vm.shutdown",
	"vm.stop",
	"vm.pause",
	"vm.resume",
];
export const changesPower = (kind: TaskKind): boolean => powerTasks.includes(kind);

/**
 * Why an action cannot be asked for now, given the work on the VM that is not finished. Work is queued for each VM, so
 * an action is judged by what the VM will be when that work is done (its desired power); stop and delete are
 * possible during any work but an adoption, since they are the way out of it.
 */
export function vmRequestObstacle(
	action: VmAction,
	vm: Pick<Vm, "status" | "deleting" | "desiredPower" | "alsoRunsOn">,
	tasks: readonly Pick<Task, "kind" | "state">[],
): string | null {
	const unfinished = tasks.filter((task) => !isFinished(task.state));
	// Until it is ours the domain belongs to whoever made it. This ends, one way or the other, without anybody's help.
	if (unfinished.some((task) => task.kind === "vm.adopt")) return "The VM is being adopted.";
	if (action === "delete" && vm.deleting && unfinished.some((task) => task.kind === "vm.delete"))
		return "The VM is being deleted already.";
	if (moveTaskOf(unfinished) && !possibleDuringMove.includes(action)) return "The VM is being moved to another node.";
	if (action === "move" && unfinished.some((task) => task.kind !== "volume.discard"))
		return "Work on the VM is under way.";
	const powerWork = unfinished.some((task) => changesPower(task.kind));
	const known = vm.status.powerState !== "unknown" && vm.status.powerState !== "migrating";
	if (!powerWork || !known || vm.deleting) return vmActionObstacle(action, vm);
	if (action === "stop") return null;
	if (action === "delete") return runsElsewhere(vm);
	if (action === "update" || action === "update-hardware" || action === "change-media" || action === "console")
		return vmActionObstacle(action, vm);
	const obstacle = vmActionObstacle(action, { ...vm, status: { ...vm.status, powerState: vm.desiredPower } });
	return obstacle && `Work on the VM is under way, after which it is ${vm.desiredPower}. ${obstacle}`;
}

/** Deleting it calls the move off. */
const possibleDuringMove: readonly VmAction[] = ["update", "console", "delete"];

/** The move that is under way; undefined without one. */
export const moveTaskOf = <T extends Pick<Task, "kind" | "state">>(tasks: readonly T[]): T | undefined =>
	tasks.find((task) => task.kind === "vm.move" && !isFinished(task.state));

/** The VM, which runs on these nodes, too, although it is another one's. */
export function runningAlsoOn({ alsoRunsOn: _, ...vm }: Vm, nodeIds: readonly string[]): Vm {
	return nodeIds.length === 0 ? vm : { ...vm, alsoRunsOn: [...new Set(nodeIds)].sort() };
}

/** The status of a VM that no node has reported on yet. */
export const unreportedStatus = (powerState: VmStatus["powerState"], now: string): VmStatus => ({
	powerState,
	reason: null,
	observedGeneration: 0,
	pendingRestart: false,
	differences: [],
	accelerator: null,
	startedAt: null,
	addresses: [],
	taskId: null,
	error: null,
	updatedAt: now,
});

/** Which desired power an action may set, the first being the default; empty: it sets none. */
export const desiredPowerOf: Record<
	Extract<VmAction, "start" | "shutdown" | "stop" | "reset" | "pause" | "resume">,
	readonly DesiredPower[]
> = {
	start: ["running", "paused"],
	shutdown: ["stopped"],
	stop: ["stopped"],
	reset: [],
	pause: ["paused"],
	resume: ["running"],
};

export { isVmOff } from "./actions.ts";
