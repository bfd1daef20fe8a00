/**
 * What a VM's status becomes from what libvirt says, while no task owns the VM. Pure. The rules:
 *
 * | it was                  | libvirt says         | it becomes                                                       |
 * | ----------------------- | -------------------- | ---------------------------------------------------------------- |
 * | any                     | running, paused      | that, and so is what is desired: whoever did it, it runs         |
 * | alive, unknown          | does not answer      | unknown, with what it was; the process may well live             |
 * | stopped, failed         | does not answer      | as it was: nothing could have started it but libvirt             |
 * | alive, unknown          | off: guest shut down | stopped, desired stopped                                         |
 * | alive, unknown          | off: crashed         | failed, desired stopped                                          |
 * | alive, unknown          | off: otherwise       | stopped, with libvirt's reason or "the host restarted"           |
 * | alive, unknown          | no such domain       | failed, never "stopped": nobody saw it end                       |
 * | stopped, failed         | off, no such domain  | as it was                                                        |
 *
 * "Alive" is starting, running, paused, stopping, migrating. An in-between state that libvirt itself reports without a
 * task of ours (a guest that shuts down) stays `running` until it is over, so that no in-between state lacks an owner.
 * Desired power always ends as what is: nothing here starts or stops a VM behind people's backs. After a crash too:
 * there is no restart policy yet, so "desired running" would be a promise that nobody keeps.
 */
import type { DomainState } from "../hypervisor/driver.ts";
import type { DesiredPower, PowerState, Vm, VmDifference, VmStatus } from "../model/vm.ts";
import { isActive } from "./vm-plan.ts";

export type Status = Omit<VmStatus, "updatedAt">;

export type Observation = {
	vm: Vm;
	domain: DomainState | null | "unreachable";
	/** RFC 3339. */
	now: string;
	/** The host was booted since the VM was last seen: whatever ran then was cut off. */
	hostRestarted: boolean;
	accelerator: "kvm" | "tcg";
	/** Undefined: as before. */
	addresses?: VmStatus["addresses"];
	differences?: VmDifference[];
};

export type Observed = { status: Status; desiredPower: DesiredPower };

export function observeVm(observation: Observation): Observed {
	const { vm, domain } = observation;
	const before: Status = withoutTime({ ...vm.status, taskId: null });
	if (domain === "unreachable") {
		if (!wasAlive(before.powerState) || before.powerState === "unknown")
			return { status: before, desiredPower: vm.desiredPower };
		const reason = `libvirt does not answer since ${observation.now}; the VM was ${before.powerState} then.`;
		return { status: { ...before, powerState: "unknown", reason }, desiredPower: vm.desiredPower };
	}
	if (domain && isActive(domain)) return observeActive(observation, before, domain);
	const off = { ...before, pendingRestart: false, accelerator: null, startedAt: null, addresses: [] };
	const differences = observation.differences ?? before.differences;
	if (!wasAlive(before.powerState)) return { status: { ...off, differences }, desiredPower: "stopped" };
	return { status: { ...off, differences, ...whyOff(observation, domain) }, desiredPower: "stopped" };
}

export function withoutTime(status: Status & { updatedAt?: string }): Status {
	const { updatedAt: _, ...rest } = status;
	return rest;
}

/** What runs is of an older generation than the definition: something of the spec waits for the next start. */
export const isStale = (domain: DomainState, status: Status): boolean =>
	domain.runningGeneration !== null && domain.runningGeneration < status.observedGeneration;

const wasAlive = (state: PowerState): boolean => state !== "stopped" && state !== "failed";

function observeActive(observation: Observation, before: Status, domain: DomainState): Observed {
	const { vm } = observation;
	const powerState = domain.powerState === "paused" ? "paused" : "running";
	const cameBack = !wasAlive(before.powerState);
	const differences = observation.differences ?? before.differences;
	const status: Status = {
		...before,
		powerState,
		reason: activeReason(domain, before, cameBack, powerState),
		pendingRestart: observation.differences ? differences.length > 0 : before.pendingRestart || isStale(domain, before),
		accelerator: before.accelerator ?? observation.accelerator,
		startedAt: cameBack ? observation.now : (before.startedAt ?? observation.now),
		addresses: observation.addresses ?? before.addresses,
		differences,
		error: cameBack || before.powerState === "unknown" ? null : before.error,
	};
	// A pause by QEMU because of a disk error is nobody's wish.
	const desiredPower = powerState === "paused" && domain.reason !== "io-error" ? "paused" : "running";
	return { status, desiredPower: vm.deleting ? vm.desiredPower : desiredPower };
}

const startedOutside = "Started from outside of LimiQuantix.";

function activeReason(domain: DomainState, before: Status, cameBack: boolean, now: PowerState): string | null {
	if (domain.powerState === "paused" && domain.reason === "io-error")
		return "QEMU paused the VM because a disk gives errors. It goes on by itself when its storage works and has room.";
	if (cameBack) return startedOutside;
	return before.reason === startedOutside && before.powerState === now ? startedOutside : null;
}

function whyOff(
	{ hostRestarted }: Observation,
	domain: DomainState | null,
): Pick<Status, "powerState" | "reason" | "error"> {
	if (domain?.powerState === "failed" || domain?.reason === "crashed" || domain?.reason === "failed") {
		const reason = "QEMU ended in a crash.";
		return { powerState: "failed", reason, error: { code: "hypervisor", message: reason } };
	}
	const stopped = (reason: string) => ({ powerState: "stopped" as const, reason, error: null });
	if (domain?.reason === "shutdown") return stopped("Shut down by the guest.");
	if (hostRestarted) return stopped("The host restarted while the VM ran.");
	if (domain === null) {
		const reason =
			"libvirt lost the VM while it ran. Make sure that no QEMU process of it is left on the node before you start it.";
		return { powerState: "failed", reason, error: { code: "hypervisor", message: reason } };
	}
	if (domain.reason === "destroyed") return stopped("Ended from outside of LimiQuantix.");
	return stopped(`Ended while nobody watched (libvirt says: ${domain.reason}).`);
}

/** Equal but for the time of the report? Then nothing is written. */
export function sameStatus(a: Status, b: Status): boolean {
	return JSON.stringify(canonical(a)) === JSON.stringify(canonical(b));
}

const canonical = (status: Status): unknown[] => [
	status.powerState,
	status.reason,
	status.observedGeneration,
	status.pendingRestart,
	status.differences.map(({ field, wanted, found, repair }) => [field, wanted, found, repair]),
	status.accelerator,
	status.startedAt,
	status.addresses.map(({ nicId, mac, address }) => [nicId, mac, address]),
	status.taskId,
	status.error && [status.error.code, status.error.message],
];
