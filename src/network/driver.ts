/** Networks on this node. Implementations: libvirt-network.ts (NAT networks by libvirt, bridges by the kernel), fake.ts. */
import type { NetworkConfig } from "../model/network.ts";

export type Lease = { mac: string; address: string; hostname: string | null; expiresAtMs: number | null };

export interface NetworkDriver {
	/**
	 * Makes the network exist and run here; returns the bridge that NICs join. Idempotent. A NAT network of ours that runs under another
	 * id with the same addresses, as the node had it before it joined a cluster that has the same one, serves as it
	 * while it is there: VMs are plugged into it.
	 */
	ensure(network: { id: string; name: string; config: NetworkConfig }): Promise<{ bridge: string }>;
	/**
	 * Missing is not an error. Bridges that we did not make stay. One of ours into which anything is plugged is `in-use`, and
	 * stays too.
	 */
	remove(network: { id: string; config: NetworkConfig }): Promise<void>;
	/**
	 * Removes the NAT networks that this driver made and that `isKnown` does not know, by id: the cluster deleted them while
	 * this node was away, or it had them before it joined. One into which anything is plugged stays.
	 */
	removeOthers(isKnown: (id: string) => boolean): Promise<void>;
	/** DHCP leases of a NAT network, or of what serves as it; empty for bridges. */
	leases(network: { id: string; config: NetworkConfig }): Promise<Lease[]>;
	/** Linux bridges on this host, by name. */
	hostBridges(): Promise<string[]>;
}
