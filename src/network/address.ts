/** IPv4 arithmetic for NAT networks. Addresses are unsigned 32-bit numbers inside, dotted text outside. Pure. */
import { AppError, type FieldError } from "../lib/errors.ts";
import type { NetworkConfig } from "../model/network.ts";

export type NatConfig = Extract<NetworkConfig, { kind: "nat" }>;

/** `first` is the network's address, `last` its broadcast address. */
export type Subnet = { first: number; last: number; prefixLength: number; text: string };

/** Fails with `invalid` on anything but four numbers from 0 to 255. */
export function parseIpv4(text: string): number {
	const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
	if (!parts || parts.some((part) => part > 255)) throw new AppError("invalid", `${text} is not an IPv4 address.`);
	return parts.reduce((sum, part) => sum * 256 + part, 0);
}

export const formatIpv4 = (address: number): string =>
	[24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");

export function subnet(address: number, prefixLength: number): Subnet {
	const size = 2 ** (32 - prefixLength);
	const first = Math.floor(address / size) * size;
	return { first, last: first + size - 1, prefixLength, text: `${formatIpv4(first)}/${prefixLength}` };
}

export const subnetOf = (config: NatConfig): Subnet => subnet(parseIpv4(config.gateway), config.prefixLength);

export const overlaps = (a: Subnet, b: Subnet): boolean => a.first <= b.last && b.first <= a.last;

export const netmask = (prefixLength: number): string => formatIpv4(2 ** 32 - 2 ** (32 - prefixLength));

/** Fails with `invalid` and the fields when gateway and DHCP range do not fit their subnet. */
export function checkNatConfig(config: NatConfig): void {
	const { first, last } = subnetOf(config);
	const gateway = parseIpv4(config.gateway);
	const start = parseIpv4(config.dhcpStart);
	const end = parseIpv4(config.dhcpEnd);
	const fields: FieldError[] = [];
	const inside = (address: number) => address > first && address < last;
	if (!inside(gateway)) fields.push({ path: "/config/gateway", message: "The gateway is not a host's address." });
	if (!inside(start)) fields.push({ path: "/config/dhcpStart", message: "The address is outside the network." });
	if (!inside(end)) fields.push({ path: "/config/dhcpEnd", message: "The address is outside the network." });
	if (start > end) fields.push({ path: "/config/dhcpEnd", message: "The DHCP range ends before it starts." });
	if (gateway >= start && gateway <= end)
		fields.push({ path: "/config/dhcpStart", message: "The DHCP range contains the gateway." });
	if (fields.length > 0) throw new AppError("invalid", "The addresses of the network do not fit together.", { fields });
}
