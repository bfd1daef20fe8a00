/** Rules of networks: the addresses of a NAT network must fit together, and two of them must not overlap. */
import type { FieldError } from "../lib/errors.ts";
import type { NetworkConfig } from "./network.ts";

const toNumber = (address: string): number =>
	address.split(".").reduce((number, part) => number * 256 + Number(part), 0);

/** First and last address of a subnet, as numbers. */
function subnetRange(address: string, prefixLength: number): { first: number; last: number } {
	const size = 2 ** (32 - prefixLength);
	const first = Math.floor(toNumber(address) / size) * size;
	return { first, last: first + size - 1 };
}

export function networkConfigProblems(config: NetworkConfig): FieldError[] {
	if (config.kind !== "nat") return [];
	const problems: FieldError[] = [];
	const { first, last } = subnetRange(config.gateway, config.prefixLength);
	for (const member of ["gateway", "dhcpStart", "dhcpEnd"] as const) {
		const value = toNumber(config[member]);
		if (value <= first || value >= last)
			problems.push({ path: `/config/${member}`, message: "is not an address of hosts in the network" });
	}
	const start = toNumber(config.dhcpStart);
	const end = toNumber(config.dhcpEnd);
	const gateway = toNumber(config.gateway);
	if (end < start) problems.push({ path: "/config/dhcpEnd", message: "comes before dhcpStart" });
	if (start <= gateway && gateway <= end)
		problems.push({ path: "/config/gateway", message: "lies in the range that DHCP gives out" });
	return problems;
}

/** True when both cannot exist on one host. */
export function networksCollide(one: NetworkConfig, other: NetworkConfig): boolean {
	if (one.kind !== "nat" || other.kind !== "nat") return false;
	const a = subnetRange(one.gateway, one.prefixLength);
	const b = subnetRange(other.gateway, other.prefixLength);
	return a.first <= b.last && b.first <= a.last;
}
