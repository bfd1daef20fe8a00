/** Where other nodes reach this one, when nobody has said it: where it listens, or the addresses of the host's interfaces. */
import { networkInterfaces } from "node:os";
import type { Address } from "../peer/address.ts";

const wildcards = ["::", "0.0.0.0", ""];
const most = 4;

/** IPv4 first: link-local addresses are of no use to others, and bridges of VMs are the same on each host. */
export function ownAddresses(listen: { host: string; port: number }, interfaces = networkInterfaces()): Address[] {
	if (!wildcards.includes(listen.host)) return [{ host: listen.host, port: listen.port }];
	const found = Object.entries(interfaces)
		.filter(([name]) => !/^(lo|lqx-|virbr|docker|veth)/.test(name))
		.flatMap(([, addresses]) => addresses ?? [])
		.filter(({ internal, address, scopeid }) => !internal && !address.startsWith("169.254.") && !scopeid)
		.filter(({ address }) => !address.startsWith("fe80:"))
		.sort((a, b) => a.family.localeCompare(b.family));
	return found.slice(0, most).map(({ address }) => ({ host: address, port: listen.port }));
}
