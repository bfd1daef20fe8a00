/**
 * Addresses of a guest: from libvirt's leases (NICs on a network of libvirt), from the host's neighbour table (whom the
 * host has spoken with), and from the guest agent where one answers. The neighbour table is read here, not by libvirt:
 * libvirt 9.0 cannot read that of newer kernels.
 */
import { readFile } from "node:fs/promises";
import { isAppError } from "../../lib/errors.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { addressSource } from "./rpc/flags.ts";
import type { DomainInterface } from "./rpc/types.ts";

const agentLimitMs = 3000;

export type GuestAddress = { mac: string; address: string };

/** `macs` of the domain's NICs; `neighbourFile`: /proc/net/arp of the right network namespace. */
export async function guestAddresses(
	client: LibvirtClient,
	uuid: string,
	macs: readonly string[],
	neighbourFile: string,
): Promise<GuestAddress[]> {
	const ask = async (source: number, options = {}): Promise<DomainInterface[]> => {
		try {
			return await client.domainInterfaceAddresses({ uuid }, source, options);
		} catch (error) {
			// No agent that answers, not that kind of NIC: there is nothing to tell then.
			if (isAppError(error) && client.state.state === "connected") return [];
			throw error;
		}
	};
	const [leases, agent, neighbours] = await Promise.all([
		ask(addressSource.lease),
		ask(addressSource.agent, { timeoutMs: agentLimitMs }),
		readFile(neighbourFile, "utf8").then(parseNeighbours, () => []),
	]);
	const known = new Set(macs);
	const told = [...leases, ...agent].flatMap(({ mac, addresses }) =>
		mac === null ? [] : addresses.map(({ address }) => ({ mac: mac.toLowerCase(), address })),
	);
	const found = new Map<string, GuestAddress>();
	for (const entry of [...told, ...neighbours])
		if (known.has(entry.mac) && !isLoopback(entry.address)) found.set(`${entry.mac} ${entry.address}`, entry);
	return [...found.values()];
}

const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.");

const completeFlag = 2;

/** /proc/net/arp: address, kind of hardware, flags, MAC address, mask, interface. */
export function parseNeighbours(text: string): GuestAddress[] {
	return text
		.split("\n")
		.slice(1)
		.flatMap((line) => {
			const [address, , flags, mac] = line.split(/\s+/);
			const complete = (Number(flags) & completeFlag) !== 0;
			return address && mac && complete ? [{ address, mac: mac.toLowerCase() }] : [];
		});
}
