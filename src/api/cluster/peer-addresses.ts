/** What the addresses of a node's peer listener must be, beside their form: the other nodes dial them. */
import { isIP } from "node:net";
import { AppError, type FieldError } from "../../lib/errors.ts";
import { isLoopbackHost } from "../server.ts";

const split = (address: string): { host: string; port: number } => {
	const at = address.lastIndexOf(":");
	return { host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
};

/** "::", "0:0::0", "0.0.0.0" and the like: good to listen on, nothing to dial. */
const isWildcard = (host: string): boolean =>
	isIP(host) === 4 ? /^0+(\.0+){3}$/.test(host) : isIP(host) === 6 && /^[0:]+$|^[0:]+:0+(\.0+){3}$/.test(host);

/** `invalid`, with each bad one as a field at `path`/index. The schema has seen to their form. */
export function checkPeerAddresses(addresses: readonly string[], path: string): void {
	const fields: FieldError[] = [];
	const parsed = addresses.map(split);
	const loopback = parsed.filter(({ host }) => isLoopbackHost(host)).length;
	for (const [at, { host, port }] of parsed.entries()) {
		const refuse = (message: string) => fields.push({ path: `${path}/${at}`, message });
		if (port < 1 || port > 65_535) refuse("The port must be 1 to 65535.");
		else if (addresses[at]?.startsWith("[") && isIP(host) !== 6) refuse("This is no IPv6 address.");
		else if (/^[0-9.]+$/.test(host) && isIP(host) !== 4) refuse("This is no IPv4 address.");
		else if (isWildcard(host)) refuse("Nobody can be reached at this address: name the one of this node.");
		else if (isLoopbackHost(host) && loopback < parsed.length)
			refuse("Other machines cannot reach a loopback address. Beside others it is of no use.");
		else if (addresses.indexOf(addresses[at] ?? "") < at) refuse("It is there twice.");
	}
	const [first] = fields;
	if (first) throw new AppError("invalid", `The addresses cannot be taken: ${first.message}`, { fields });
}
