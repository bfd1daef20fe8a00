/** The next step of the tasks vm.snapshot and vm.revert; see vm-plan.ts. Pure. */
import type { DomainState } from "../hypervisor/driver.ts";
import type { Snapshot } from "../model/snapshot.ts";
import { fail, finish, isActive, type Planned, quietly } from "./plan-words.ts";
import type { VmStep } from "./vm-plan.ts";

export type SnapshotView = {
	/** The one that the task is about; null without a record. */
	snapshot: Snapshot | null;
	domain: DomainState | null;
	done: ReadonlySet<VmStep["kind"]>;
	/** What the task ends with saying. */
	remark: string | null;
};

/** Between two looks at a domain that is being started. */
const halfStartedMs = 500;

/**
 * What the VM is goes into the record before it is halted: whoever goes on after a crash knows by that whether it was halted by us.
 * From the halt to the end of it is one step, which a node that stops waits for.
 */
export function planSnapshot({ snapshot, domain, done, remark }: SnapshotView): Planned {
	if (snapshot === null) return fail("not-found", "The snapshot does not exist any more.");
	if (snapshot.phase === "ready") return finish(remark);
	if (snapshot.phase !== "creating")
		return fail("wrong-state", snapshot.error?.message ?? `The snapshot is ${snapshot.phase}.`);
	if (domain?.powerState === "starting") return quietly({ kind: "wait", ms: halfStartedMs });
	if (snapshot.powerState === null) return quietly({ kind: "begin-snapshot", powerState: powerOf(domain) });
	for (const kind of ["take-snapshot", "report-snapshot"] as const) if (!done.has(kind)) return quietly({ kind });
	return fail("internal", "The snapshot was taken, and its record does not say so.");
}

export function planRevert({ snapshot, domain, done, remark }: SnapshotView): Planned {
	if (snapshot === null) return fail("not-found", "The snapshot does not exist any more.");
	if (done.has("revert-snapshot")) return finish(remark);
	if (snapshot.phase !== "ready" && snapshot.phase !== "reverting")
		return fail("wrong-state", `The snapshot is ${snapshot.phase}.`);
	if (domain?.powerState === "starting" || isActive(domain))
		return fail("wrong-state", "The VM runs: shut it down before it is set back to a snapshot.");
	return quietly({ kind: "revert-snapshot" });
}

const powerOf = (domain: DomainState | null): "running" | "paused" | "stopped" =>
	!isActive(domain) ? "stopped" : domain?.powerState === "paused" ? "paused" : "running";
