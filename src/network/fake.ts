/** Networks in memory, for tests above the driver; it passes the same conformance suite as the real one. */

import { Faults } from "../hypervisor/fake-faults.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { NetworkConfig } from "../model/network.ts";
import { checkNatConfig, type NatConfig, overlaps, subnetOf } from "./address.ts";
import type { Lease, NetworkDriver } from "./driver.ts";
import { bridgeName } from "./names.ts";

export class FakeNetworks implements NetworkDriver {
	/** Failures and slowness of the next calls, by method name. */
	readonly faults: Faults;
	/** Bridges that exist on the host without us. */
	readonly bridges = new Set<string>();
	/** Bridges into which something is plugged. */
	readonly plugged = new Set<string>();
	/** Leases by network id. */
	readonly leaseTable = new Map<string, Lease[]>();
	/** NAT networks that run, by id. */
	readonly running = new Map<string, NatConfig>();

	constructor(options: { clock: Clock }) {
		this.faults = new Faults(options.clock);
	}

	ensure(network: { id: string; name: string; config: NetworkConfig }): Promise<{ bridge: string }> {
		return this.faults.around("ensure", network.id, () => {
			const { id, config } = network;
			if (config.kind === "bridge") {
				if (this.bridges.has(config.bridge)) return { bridge: config.bridge };
				throw new AppError("network", `This node has no bridge named ${config.bridge}.`);
			}
			checkNatConfig(config);
			const serving = this.#serving(id, config);
			if (serving !== id) return { bridge: bridgeName(serving) };
			for (const [otherId, other] of this.running)
				if (otherId !== id && overlaps(subnetOf(config), subnetOf(other)))
					throw new AppError("network", `${subnetOf(config).text} overlaps a network that this node has already.`);
			this.running.set(id, config);
			return { bridge: bridgeName(id) };
		});
	}

	remove(network: { id: string; config: NetworkConfig }): Promise<void> {
		return this.faults.around("remove", network.id, () => {
			const id = this.#serving(network.id, network.config);
			if (this.running.has(id) && this.plugged.has(bridgeName(id)))
				throw new AppError("in-use", "Something is still plugged into the network's bridge.");
			this.running.delete(id);
		});
	}

	removeOthers(isKnown: (id: string) => boolean): Promise<void> {
		return this.faults.around("removeOthers", undefined, () => {
			for (const id of [...this.running.keys()])
				if (!isKnown(id) && !this.plugged.has(bridgeName(id))) this.running.delete(id);
		});
	}

	leases(network: { id: string; config: NetworkConfig }): Promise<Lease[]> {
		return this.faults.around("leases", network.id, () => {
			const id = this.#serving(network.id, network.config);
			return this.running.has(id) ? (this.leaseTable.get(id) ?? []) : [];
		});
	}

	/** The id of the network that does what this one would. */
	#serving(id: string, config: NetworkConfig): string {
		if (this.running.has(id)) return id;
		const wanted = JSON.stringify(config);
		return [...this.running].find(([, other]) => JSON.stringify(other) === wanted)?.[0] ?? id;
	}

	hostBridges(): Promise<string[]> {
		return this.faults.around("hostBridges", undefined, () =>
			[...this.bridges, ...[...this.running.keys()].map(bridgeName)].sort(),
		);
	}
}
