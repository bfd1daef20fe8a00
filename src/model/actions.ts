/**
 * What may be done with an object in which state: said once, used by API (409), CLI and UI (a disabled button with
 * its reason). Pure; imported by the browser, so it must not import schemas at run time.
 */
import type { PowerState, Vm } from "./vm.ts";

export const vmActions = [
	"start",
	"shutdown",
	"stop",
	"reset",
	"pause",
	"resume",
	"update",
	"update-hardware",
	"change-media",
	"console",
	"move",
	"snapshot",
	"revert",
	"delete-snapshot",
	"delete",
] as const;
export type VmAction = (typeof vmActions)[number];

const allowedIn: Record<VmAction, readonly PowerState[]> = {
	start: ["stopped", "failed"],
	shutdown: ["running"],
	stop: ["starting", "running", "paused", "stopping", "failed"],
	reset: ["running", "paused"],
	pause: ["running"],
	resume: ["paused"],
	update: ["stopped", "starting", "running", "paused", "stopping", "failed"],
	"update-hardware": ["stopped", "running", "paused", "failed"],
	"change-media": ["stopped", "running", "paused", "failed"],
	console: ["starting", "running", "paused", "stopping"],
	move: ["stopped"],
	snapshot: ["stopped", "running", "paused", "failed"],
	revert: ["stopped", "failed"],
	// Whether it has to be off depends on its pools: model/snapshot-rules.ts.
	"delete-snapshot": ["stopped", "running", "paused", "failed"],
	// Unknown: a node that is gone does not report any more.
	delete: ["stopped", "running", "paused", "failed", "starting", "stopping", "unknown"],
};

const verb: Record<VmAction, string> = {
	start: "started",
	shutdown: "shut down",
	stop: "stopped",
	reset: "reset",
	pause: "paused",
	resume: "resumed",
	update: "changed",
	"update-hardware": "reconfigured",
	"change-media": "given another disc",
	console: "shown",
	move: "moved",
	snapshot: "kept in a snapshot",
	revert: "set back to a snapshot",
	"delete-snapshot": "freed of a snapshot",
	delete: "deleted",
};

/** Each of them would let two machines write to the same disks, or take them away from one that runs. */
const notWhileElsewhere: readonly VmAction[] = ["start", "move", "snapshot", "revert", "delete-snapshot", "delete"];

/** Why nothing may be begun with it: its node is not the only one on which it runs, or may run. Null when there is no other. */
export const runsElsewhere = ({ alsoRunsOn = [] }: Pick<Vm, "alsoRunsOn">): string | null =>
	alsoRunsOn.length === 0
		? null
		: "The VM runs on a host that is not its node's any more. Shut it down there first, with virsh on that host.";

/** Why `action` is not possible for this VM now, as a sentence; null when it is possible. */
export function vmActionObstacle(action: VmAction, vm: Pick<Vm, "status" | "deleting" | "alsoRunsOn">): string | null {
	const elsewhere = notWhileElsewhere.includes(action) ? runsElsewhere(vm) : null;
	if (elsewhere !== null) return elsewhere;
	if (vm.deleting && action !== "delete" && action !== "console") return "The VM is being deleted.";
	const state = vm.status.powerState;
	if (allowedIn[action].includes(state)) return null;
	if (state === "unknown") return "The state of the VM is unknown: its node does not report.";
	return `A VM that is ${state} cannot be ${verb[action]}.`;
}

/** No process of it has its disks open, as far as its node has said. One that is `failed` did not start, or its process has ended. */
export const isVmOff = (power: Vm["status"]["powerState"]): boolean => power === "stopped" || power === "failed";

/** Why what is on its disks cannot be read from outside now, consistent as it is: for a download, a copy, an image. */
export const diskReadObstacle = ({ name, status }: Pick<Vm, "name" | "status">): string | null =>
	isVmOff(status.powerState) ? null : `The VM ${name} is using it. Shut it down first.`;
