/**
 * Looking at a VM that no task owns: reads what libvirt has, repairs what is safe to repair, reports what differs.
 * Safe is making the definition anew (missing, of an older generation, started by libvirt itself, or changed behind our
 * back while the VM is off): that touches nothing that runs. A running VM is never changed from here: its differences are reported and go
 * away with the next start.
 *
 * What asks libvirt takes one of the node's VM slots; what asks the VM's pools takes none, for a pool may hang. Pools that are being made ready
 * for the first time are not waited for: the VM is compared with its spec when they are (VmQueues.poolIsBack).
 */
import type { DomainSpec, DomainState } from "../hypervisor/driver.ts";
import { toRfc3339 } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { Vm, VmDifference, VmStatus } from "../model/vm.ts";
import { limited } from "./context.ts";
import { buildDomainSpec } from "./domain-spec.ts";
import { limits } from "./limits.ts";
import { poolsOf } from "./pool-wait.ts";
import { reportVm } from "./status.ts";
import { vmFolder } from "./vm-folder.ts";
import { observeVm } from "./vm-observe.ts";
import { isActive } from "./vm-plan.ts";
import type { QueueParts } from "./vm-queue.ts";
import { repairLater } from "./vm-steps.ts";

export async function lookAtVm(
	parts: QueueParts,
	vmId: string,
	options: { compare: boolean; addresses: VmStatus["addresses"] | undefined },
): Promise<void> {
	const { context } = parts;
	const vm = context.store.get("vm", vmId);
	if (!vm || vm.nodeId !== context.nodeId) return;
	const domain = await context.vmSteps.run(() => read(parts, vmId));
	if (domain === "unreachable" && context.connection.awayMs() < limits.hypervisorAwayMs) return;
	if (domain !== "unreachable" && !isActive(domain)) await parts.openings.closeOf(vm);
	const found = domain === "unreachable" ? null : await repairAndCompare(parts, vm, domain, options.compare);
	const observed = observeVm({
		vm,
		domain: found ? found.domain : "unreachable",
		// Of what cannot be seen, the time since when.
		now: toRfc3339(context.clock.nowMs() - (found ? 0 : context.connection.awayMs())),
		hostRestarted: parts.hostRestarted(vmId),
		accelerator: context.accelerator.kind,
		...(options.addresses && domain !== "unreachable" && isActive(domain) ? { addresses: options.addresses } : {}),
		...(found?.differences ? { differences: found.differences } : {}),
	});
	if (found) parts.seen(vmId);
	if (found?.definedGeneration) observed.status.observedGeneration = found.definedGeneration;
	await reportVm(context, vmId, observed);
}

async function read({ context }: QueueParts, vmId: string): Promise<DomainState | null | "unreachable"> {
	if (!context.connection.connected) return "unreachable";
	try {
		return await limited(context, "Reading the VM's state", limits.readMs, () => context.hypervisor.getDomain(vmId));
	} catch (error) {
		if (isAppError(error, "unavailable") || isAppError(error, "timeout")) return "unreachable";
		throw error;
	}
}

type Found = {
	/** As read first: what the VM was, before its definition was repaired. */
	domain: DomainState | null;
	differences: VmDifference[] | null;
	definedGeneration: number | null;
};

async function repairAndCompare(
	parts: QueueParts,
	vm: Vm,
	domain: DomainState | null,
	compare: boolean,
): Promise<Found> {
	// Never made (a create that failed), or on its way out: there is nothing to compare with.
	const known = vm.status.observedGeneration > 0 && !vm.deleting;
	const stale = known && (domain === null || domain.definedGeneration !== vm.generation || domain.autostart);
	if (!known || (!stale && !compare)) return { domain, differences: null, definedGeneration: null };
	const { context } = parts;
	if (poolsOf(context.store, vm.spec).some((id) => parts.pools.isAwaited(id)))
		return { domain, differences: null, definedGeneration: null };
	try {
		const spec = await buildDomainSpec(parts, vm, null);
		return await context.vmSteps.run(() => bringInLine(parts, vm, { domain, stale }, spec));
	} catch (error) {
		// libvirt went away meanwhile: all is read anew when it is back.
		if (isAppError(error, "unavailable") && !context.connection.connected)
			return { domain, differences: null, definedGeneration: null };
		context.logger.warn("a VM could not be compared with its spec", { vmId: vm.id, error });
		if (!stale) return { domain, differences: null, definedGeneration: null };
		const reason = error instanceof AppError ? error.message : "see the node's log";
		const field = "definition";
		const wanted = `generation ${vm.generation}`;
		const found = domain === null ? "none" : `generation ${domain.definedGeneration ?? "unknown"}`;
		return {
			domain,
			differences: [{ field, wanted, found: `${found}: ${reason}`, repair: "automatic" }],
			definedGeneration: null,
		};
	}
}

async function bringInLine(
	{ context }: QueueParts,
	vm: Vm,
	{ domain, stale }: { domain: DomainState | null; stale: boolean },
	spec: DomainSpec,
): Promise<Found> {
	const define = () =>
		limited(context, "Defining the VM", limits.defineMs, async () => {
			await context.folders.make(vmFolder(context.dataDir, vm.id));
			await context.hypervisor.define(spec);
		});
	const differ = () =>
		limited(context, "Comparing the VM with its spec", limits.readMs, () => context.hypervisor.compare(spec));
	if (stale) {
		await define();
		context.logger.info("a VM's definition was made anew", { vmId: vm.id, found: domain?.definedGeneration ?? null });
	}
	let differences = await differ();
	const running = isActive(domain);
	if (!running && !stale && differences.some((difference) => difference.repair === "automatic")) {
		await define();
		differences = await differ();
	}
	return {
		domain,
		differences: running ? differences.map((one) => ({ ...one, repair: repairLater(one.repair) })) : differences,
		definedGeneration: vm.generation,
	};
}
