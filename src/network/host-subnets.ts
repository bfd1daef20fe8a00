/** IPv4 subnets that this host has an address in, so that a network of ours keeps clear of them. */
import { networkInterfaces } from "node:os";

export type HostSubnet = { address: string; prefixLength: number };

export function hostSubnets(interfaces = networkInterfaces()): HostSubnet[] {
	return Object.values(interfaces)
		.flat()
		.filter((one) => one !== undefined && one.family === "IPv4" && !one.internal)
		.map((one) => ({ address: one?.address ?? "", prefixLength: Number(one?.cidr?.split("/")[1] ?? 32) }));
}
