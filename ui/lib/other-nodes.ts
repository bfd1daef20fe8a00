/**
 * Where the UI of the other nodes may be: nodes say where others reach them, not where browsers do, so it is taken to be the
 * same host with the port and scheme of this page. Loopback addresses lead nowhere else, and this host is where we are. Pure.
 */
import type { Node } from "../api/types.ts";
import { byName } from "./sort.ts";

export type NodeLink = { name: string; url: string };

export function otherNodeLinks(
	nodes: readonly Pick<Node, "name" | "peerAddresses" | "status">[],
	here: Pick<Location, "protocol" | "hostname" | "port">,
): NodeLink[] {
	const port = here.port === "" ? "" : `:${here.port}`;
	return [...nodes]
		.filter(({ status }) => status.phase !== "left")
		.sort(byName)
		.flatMap(({ name, peerAddresses }) => {
			const host = peerAddresses.map(hostOf).find((one) => one !== here.hostname && !isLoopback(one));
			return host === undefined || peerAddresses.map(hostOf).includes(here.hostname)
				? []
				: [{ name, url: `${here.protocol}//${host}${port}/` }];
		});
}

const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(":"));

const isLoopback = (host: string): boolean => host === "localhost" || host.startsWith("127.") || host === "[::1]";
