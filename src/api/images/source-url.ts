/**
 * URLs that an image may be fetched from, as far as the text tells: http or https, no credentials in it, and no
 * address of the node itself or of its link. The importer checks the addresses that the name resolves to, and every
 * redirect, again; this check only answers at once what is already clear.
 */
import { isIP } from "node:net";
import type { FieldErrors } from "../vms/plan-state.ts";

const blocked4 = [/^0\./, /^127\./, /^169\.254\./, /^2(2[4-9]|[3-5]\d)\./];

/** Loopback, unspecified, link-local or multicast, also when an IPv4 address is written as an IPv6 one. */
export function isForbiddenAddress(address: string): boolean {
	if (isIP(address) === 4) return blocked4.some((pattern) => pattern.test(address));
	const groups = expandIpv6(address);
	if (!groups) return true;
	const [first = 0] = groups;
	const high = groups.slice(0, 5).every((group) => group === 0);
	const embedded = high && (groups[5] === 0xffff || groups[5] === 0);
	if (embedded) {
		const [a = 0, b = 0] = groups.slice(6);
		return a === 0 || isForbiddenAddress(`${a >> 8}.${a & 255}.${b >> 8}.${b & 255}`);
	}
	// NAT64 (RFC 6052) leads to the IPv4 address in its last 32 bits.
	if (first === 0x64 && groups[1] === 0xff9b) {
		const [a = 0, b = 0] = groups.slice(6);
		return isForbiddenAddress(`${a >> 8}.${a & 255}.${b >> 8}.${b & 255}`);
	}
	return (first & 0xffc0) === 0xfe80 || (first & 0xff00) === 0xff00;
}

function expandIpv6(address: string): number[] | null {
	const plain = address.replace(/%.*$/, "").replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
		return `${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`;
	});
	if (isIP(plain) !== 6) return null;
	const [head = "", tail] = plain.split("::");
	const left = head === "" ? [] : head.split(":");
	const right = tail === undefined || tail === "" ? [] : tail.split(":");
	const gap = tail === undefined ? 0 : 8 - left.length - right.length;
	return [...left, ...Array<string>(gap).fill("0"), ...right].map((group) => Number.parseInt(group, 16));
}

export function checkSourceUrl(text: string, errors: FieldErrors): void {
	const path = "/source/url";
	const url = URL.parse(text);
	if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) {
		errors.add(path, "It is no http or https URL.");
		return;
	}
	if (url.username !== "" || url.password !== "") errors.add(path, "Credentials in the URL are not accepted.");
	// The URL parser has already turned 0x7f.1, 2130706433 and the like into dotted form.
	const host = url.hostname.replace(/^\[|\]$/g, "");
	if (host === "localhost" || host.endsWith(".localhost") || (isIP(host) !== 0 && isForbiddenAddress(host)))
		errors.add(path, "The address is one of the node itself or of its own link.");
}
