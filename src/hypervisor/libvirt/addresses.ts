/** Addresses of a guest: from libvirt's leases, the host's neighbour table and, where one answers, the guest agent. */
import { isAppError } from "../../lib/errors.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { addressSource } from "./rpc/flags.ts";
import type { DomainInterface } from "./rpc/types.ts";

const agentLimitMs = 3000;

export async function guestAddresses(client: LibvirtClient, uuid: string): Promise<{ mac: string; address: string }[]> {
	const ask = async (source: number, timeoutMs?: number): Promise<DomainInterface[]> => {
		try {
			return await client.domainInterfaceAddresses({ uuid }, source, timeoutMs ? { timeoutMs } : {});
		} catch (error) {
			// No agent, no lease, not that kind of NIC: there is nothing to tell then.
			if (isAppError(error) && !isAppError(error, "unavailable") && !isAppError(error, "not-found")) return [];
			throw error;
		}
	};
	const answers = await Promise.all([
		ask(addressSource.lease),
		ask(addressSource.arp),
		ask(addressSource.agent, agentLimitMs).catch(() => []),
	]);
	const found = new Map<string, { mac: string; address: string }>();
	for (const nic of answers.flat())
		for (const { address } of nic.addresses)
			if (nic.mac !== null && !isLoopback(address))
				found.set(`${nic.mac} ${address}`, { mac: nic.mac.toLowerCase(), address });
	return [...found.values()];
}

const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.");
