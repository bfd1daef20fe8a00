/** IPv4 arithmetic for the network form. Pure; addresses that are none give null. */
import { fits, ipv4Pattern } from "./patterns.ts";

export function ipv4ToNumber(text: string): number | null {
	if (!fits(ipv4Pattern, text)) return null;
	return text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

export const numberToIpv4 = (value: number): string =>
	[24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");

/** First and last address of the subnet, network and broadcast included. */
export function subnetOf(address: string, prefixLength: number): { first: number; last: number } | null {
	const value = ipv4ToNumber(address);
	if (value === null || !Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > 32) return null;
	const size = 2 ** (32 - prefixLength);
	const first = Math.floor(value / size) * size;
	return { first, last: first + size - 1 };
}

/** A DHCP range for a gateway: the rest of the subnet behind its first ten addresses, the gateway left out. */
export function suggestRange(gateway: string, prefixLength: number): { start: string; end: string } | null {
	const subnet = subnetOf(gateway, prefixLength);
	const own = ipv4ToNumber(gateway);
	if (!subnet || own === null || prefixLength > 30) return null;
	const size = subnet.last - subnet.first;
	let start = subnet.first + (size > 20 ? 10 : 1);
	let end = subnet.last - 1;
	if (own === start) start += 1;
	if (own === end) end -= 1;
	if (own > start && own < end) {
		if (own - start > end - own) end = own - 1;
		else start = own + 1;
	}
	return start <= end ? { start: numberToIpv4(start), end: numberToIpv4(end) } : null;
}
