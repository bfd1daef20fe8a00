/**
 * Reports of a VM's status: only what differs from the record is written, so that looking costs nothing. Called by the
 * VM's own queue alone, one report after the other.
 */
import { toRfc3339 } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import type { Vm } from "../model/vm.ts";
import type { NodeContext } from "./context.ts";
import { type Observed, sameStatus, withoutTime } from "./vm-observe.ts";

/** True when something was written. A VM that is gone, or went to another node, is not an error. */
export async function reportVm(context: NodeContext, vmId: string, observed: Observed): Promise<boolean> {
	const vm = context.store.get("vm", vmId);
	if (!vm || vm.nodeId !== context.nodeId) return false;
	const sameDesired = vm.desiredPower === observed.desiredPower;
	if (sameDesired && sameStatus(withoutTime(vm.status), observed.status)) return false;
	try {
		await context.propose({
			kind: "vmStatus",
			id: vmId,
			nodeId: context.nodeId,
			status: { ...observed.status, updatedAt: toRfc3339(context.clock.nowMs()) },
			...(sameDesired ? {} : { desiredPower: observed.desiredPower }),
		});
		return true;
	} catch (error) {
		if (isAppError(error, "not-found") || isAppError(error, "wrong-state")) {
			context.logger.warn("a status report was refused", { vmId, error });
			return false;
		}
		throw error;
	}
}

/** Changes a few members of what is recorded and leaves the desired power alone. */
export async function patchVm(
	context: NodeContext,
	vmId: string,
	patch: Partial<Omit<Vm["status"], "updatedAt">>,
): Promise<boolean> {
	const vm = context.store.get("vm", vmId);
	if (!vm) return false;
	return reportVm(context, vmId, {
		status: { ...withoutTime(vm.status), ...patch },
		desiredPower: vm.desiredPower,
	});
}
