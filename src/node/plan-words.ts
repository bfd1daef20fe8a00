/** What planners of VMs say, in short. */
import type { DomainState } from "../hypervisor/driver.ts";
import type { ErrorInfo } from "../lib/errors.ts";
import type { PowerState } from "../model/vm.ts";
import type { VmStep } from "./vm-plan.ts";

/** `showAs`: the in-between state that the VM is in while the step is done; null leaves what it shows. */
export type Planned = { step: VmStep; showAs: PowerState | null };

/** Does it exist as a process (of any state) in libvirt's eyes? */
export const isActive = (domain: DomainState | null): boolean =>
	domain !== null && domain.powerState !== "stopped" && domain.powerState !== "failed";

export const quietly = (step: VmStep): Planned => ({ step, showAs: null });
export const finish = (message: string | null, reason: string | null = null): Planned =>
	quietly({ kind: "finish", message, reason });
export const fail = (code: ErrorInfo["code"], message: string): Planned =>
	quietly({ kind: "fail", error: { code, message } });
