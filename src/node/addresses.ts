/**
 * Addresses of the guests: from the DHCP leases of their networks, and from libvirt (which may ask an agent in the guest)
 * for those without a lease. Read every ten seconds; a VM's queue hears of it only when they have changed. What a guest
 * says of itself is hostile: only well-formed addresses pass, and at most 64.
 */
import { isIP } from "node:net";
import type { Vm, VmStatus } from "../model/vm.ts";
import { limited, type NodeContext } from "./context.ts";
import { Semaphore } from "./gates.ts";
import { limits } from "./limits.ts";

type Addresses = VmStatus["addresses"];
type Found = { mac: string; address: string };

const maxAddresses = 64;

export class AddressPoller {
	readonly #context: NodeContext;
	readonly #changed: (vmId: string, addresses: Addresses) => void;
	#busy = false;
	readonly #reads = new Semaphore(4);

	constructor(context: NodeContext, changed: (vmId: string, addresses: Addresses) => void) {
		this.#context = context;
		this.#changed = changed;
	}

	/** One round; left out while the one before still goes on. */
	async poll(): Promise<void> {
		if (this.#busy || !this.#context.connection.connected) return;
		this.#busy = true;
		try {
			const { store, nodeId } = this.#context;
			const vms = store.all("vm", { nodeId, powerState: "running" });
			const leases = await this.#leasesOf(vms);
			await Promise.all(vms.map((vm) => this.#reads.run(() => this.#readVm(vm, leases))));
		} finally {
			this.#busy = false;
		}
	}

	async #leasesOf(vms: readonly Vm[]): Promise<Found[]> {
		const ids = new Set(vms.flatMap((vm) => vm.spec.nics.map((nic) => nic.networkId)));
		const found = await Promise.all(
			[...ids].map(async (id) => {
				const network = this.#context.store.get("network", id);
				if (!network) return [];
				return limited(this.#context, "Reading leases", limits.readMs, () =>
					this.#context.network.leases(network),
				).catch(() => []);
			}),
		);
		return found.flat();
	}

	async #readVm(vm: Vm, leases: readonly Found[]): Promise<void> {
		if (this.#context.stopping.aborted || vm.spec.nics.length === 0) return;
		const leased = leases.filter((lease) => vm.spec.nics.some((nic) => nic.mac === lease.mac.toLowerCase()));
		const covered = vm.spec.nics.every((nic) => leased.some((lease) => lease.mac.toLowerCase() === nic.mac));
		// Without an answer, what was known stays known.
		const said = covered ? [] : await this.#ask(vm.id);
		if (said === null) return;
		const addresses = addressesOf(vm, [...leased, ...said]);
		if (JSON.stringify(addresses) !== JSON.stringify(vm.status.addresses)) this.#changed(vm.id, addresses);
	}

	#ask(vmId: string): Promise<Found[] | null> {
		return limited(this.#context, "Reading a VM's addresses", limits.readMs, () =>
			this.#context.hypervisor.addresses(vmId),
		).catch(() => null);
	}
}

/** Well-formed ones only, without repetition, in one order, with the NIC that has the MAC address. Pure. */
export function addressesOf(vm: Pick<Vm, "spec">, found: readonly Found[]): Addresses {
	const seen = new Map<string, Addresses[number]>();
	for (const { mac, address } of found) {
		const lower = mac.toLowerCase();
		if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(lower) || isIP(address) === 0) continue;
		const nicId = vm.spec.nics.find((nic) => nic.mac === lower)?.id ?? null;
		seen.set(`${lower} ${address}`, { nicId, mac: lower, address });
	}
	return [...seen]
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.slice(0, maxAddresses)
		.map(([, address]) => address);
}
