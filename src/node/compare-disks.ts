/** How the disks that a VM has in libvirt differ from those that it would be given, for who asks about disks alone. */
import type { DomainDifference } from "../hypervisor/driver.ts";
import type { Vm } from "../model/vm.ts";
import type { NodeContext } from "./context.ts";
import type { Pools } from "./pools.ts";

/**
 * Of what runs, or of what is defined where nothing runs; what it says of other parts means nothing. `poolOf`: where a volume is, by its id.
 * The spec's own disks count: change them in `vm` to ask about others.
 */
export async function compareDisks(
	{ hypervisor, accelerator }: Pick<NodeContext, "hypervisor" | "accelerator">,
	pools: Pick<Pools, "driver">,
	vm: Pick<Vm, "id" | "name" | "generation" | "spec">,
	poolOf: (volumeId: string) => string | undefined,
): Promise<DomainDifference[]> {
	const disks = await Promise.all(
		vm.spec.disks.map(async ({ id, volumeId }) => {
			const driver = await pools.driver(poolOf(volumeId) ?? "");
			return { id, ...(await driver.attachInfo(volumeId)) };
		}),
	);
	return hypervisor.compare({
		...{ id: vm.id, name: vm.name, generation: vm.generation, spec: vm.spec, disks },
		cdroms: vm.spec.cdroms.map(({ id }) => ({ id, source: null })),
		nics: vm.spec.nics.map(({ id }) => ({ id, bridge: "" })),
		...{ seedPath: null, accelerator: accelerator.kind, folder: "" },
	});
}
