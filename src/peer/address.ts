/** Where a node's peer listener is: HOST:PORT, an IPv6 address in brackets. */
import { isIP } from "node:net";

export type Address = { host: string; port: number };

/** Null for anything else: addresses come from tokens and from other nodes. */
export function parseAddress(text: string): Address | null {
	const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})$/.exec(text);
	const port = Number(match?.[3]);
	if (!match || port < 1 || port > 65_535) return null;
	if (match[1] !== undefined) return isIP(match[1]) === 6 ? { host: match[1], port } : null;
	return { host: match[2] as string, port };
}

export const formatAddress = ({ host, port }: Address): string =>
	host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
