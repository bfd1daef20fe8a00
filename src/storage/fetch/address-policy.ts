/**
 * Which addresses a download may go to. A company's mirror has a private address, so those are allowed; what only makes
 * sense from inside this host or its cloud is not: loopback, this node's own addresses, link-local, metadata services,
 * multicast, and every way of writing one of these inside of an IPv6 address. A server of the Internet does not send us
 * to a private address. Sources: IANA's special-purpose address registries. Pure.
 */
import { isIP } from "node:net";

type Range = { prefix: bigint; bits: number; why: string };

const range = (text: string, why: string): Range => {
	const [address = "", bits = ""] = text.split("/");
	return { prefix: isIP(address) === 4 ? BigInt(parseV4(address)) : parseV6(address), bits: Number(bits), why };
};

const loopback = "it is the loopback of this node";
const refusedV4 = [
	range("0.0.0.0/8", "it is not an address of a server"),
	range("127.0.0.0/8", loopback),
	range("169.254.0.0/16", "it is link-local (metadata services are there)"),
	range("192.0.0.0/24", "it is reserved (metadata services are there)"),
	range("224.0.0.0/4", "it is a multicast address"),
	range("240.0.0.0/4", "it is reserved"),
	range("100.100.100.200/32", "it is the metadata service of a cloud"),
	range("168.63.129.16/32", "it is the metadata service of a cloud"),
];
const refusedV6 = [
	range("::/128", "it is not an address of a server"),
	range("::1/128", loopback),
	range("fe80::/10", "it is link-local"),
	range("fec0::/10", "it is site-local"),
	range("ff00::/8", "it is a multicast address"),
	range("100::/64", "it is reserved"),
	range("fd00:ec2::254/128", "it is the metadata service of a cloud"),
	range("fd20:ce::254/128", "it is the metadata service of a cloud"),
	range("2001::/32", "it is a Teredo tunnel"),
	range("64:ff9b:1::/48", "it is a local translation prefix"),
];
/** Of RFC 1918, RFC 6598 and RFC 4193: what is there is only reached from inside. */
const privateV4 = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"].map((text) => range(text, ""));
const privateV6 = [range("fc00::/7", "")];
/** Prefixes with an IPv4 address in them: how many bits follow it. */
const embeddings = [
	{ ...range("::ffff:0:0/96", ""), after: 0n },
	{ ...range("::ffff:0:0:0/96", ""), after: 0n },
	{ ...range("64:ff9b::/96", ""), after: 0n },
	{ ...range("2002::/16", ""), after: 80n },
	{ ...range("::/96", ""), after: 0n },
];

export type AddressPolicy = {
	/** For tests: a server on this host may be asked. */
	allowLoopback: boolean;
	/** Of this node's interfaces, with or without zone: not asked, whatever the port, unless `allowLoopback`. */
	ownAddresses?: readonly string[];
	/** A server with a public address sent us: private ones are not asked. */
	publicOnly?: boolean;
};

/** Null when the address (of either family, without zone) may be asked, else why not. */
export function addressRefusal(address: string, policy: AddressPolicy): string | null {
	if (isIP(address) === 0) return "it is not an address";
	if (address.includes("%")) return "it has a zone";
	const refusal =
		isIP(address) === 4
			? refusalOf(BigInt(parseV4(address)), 32, refusedV4, policy)
			: refusalV6(parseV6(address), policy);
	if (refusal !== null) return refusal;
	const asked = innermost(address);
	const isOwn = (policy.ownAddresses ?? [])
		.map((own) => innermost(own.replace(/%.*$/, "")))
		.some((own) => own.value === asked.value && own.width === asked.width);
	if (isOwn && !policy.allowLoopback) return "it is an address of this node";
	return policy.publicOnly && isPrivate(address) ? "a public server leads to a private address" : null;
}

/** True for addresses of private networks, also inside of an IPv6 address. */
export function isPrivate(address: string): boolean {
	const { value, width } = innermost(address);
	return (width === 32 ? privateV4 : privateV6).some((candidate) => isIn(value, width, candidate));
}

function refusalV6(value: bigint, policy: AddressPolicy): string | null {
	const own = refusalOf(value, 128, refusedV6, policy);
	if (own !== null || value === 1n) return own;
	const inner = embeddedV4(value);
	return inner === null ? null : refusalOf(inner, 32, refusedV4, policy);
}

function embeddedV4(value: bigint): bigint | null {
	const embedding = value === 1n ? undefined : embeddings.find((candidate) => isIn(value, 128, candidate));
	return embedding ? (value >> embedding.after) & 0xffff_ffffn : null;
}

/** The address, or the IPv4 address in it. */
function innermost(address: string): { value: bigint; width: number } {
	if (isIP(address) === 4) return { value: BigInt(parseV4(address)), width: 32 };
	const value = parseV6(address);
	const inner = embeddedV4(value);
	return inner === null ? { value, width: 128 } : { value: inner, width: 32 };
}

function refusalOf(value: bigint, width: number, refused: Range[], policy: AddressPolicy): string | null {
	const found = refused.find((candidate) => isIn(value, width, candidate));
	if (!found || (policy.allowLoopback && found.why === loopback)) return null;
	return found.why;
}

const isIn = (value: bigint, width: number, { prefix, bits }: Range): boolean =>
	value >> BigInt(width - bits) === prefix >> BigInt(width - bits);

function parseV4(address: string): number {
	return address.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

/** `isIP` said that it is one. */
function parseV6(address: string): bigint {
	const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
	const v4 = tail ? parseV4(tail[2] ?? "") : 0;
	const text = tail ? `${tail[1]}${(v4 >>> 16).toString(16)}:${(v4 & 0xffff).toString(16)}` : address;
	const [left = "", right] = text.split("::");
	const groups = (part: string) => (part === "" ? [] : part.split(":"));
	const before = groups(left);
	const after = right === undefined ? [] : groups(right);
	const zeroes = Array<string>(right === undefined ? 0 : 8 - before.length - after.length).fill("0");
	return [...before, ...zeroes, ...after].reduce(
		(value, group) => (value << 16n) | BigInt(Number.parseInt(group, 16)),
		0n,
	);
}
