/** Names of a NAT network on a node, made from its id, so that every node and every start finds the same ones. */
import { assert } from "../lib/assert.ts";
import { isUuid } from "../lib/ids.ts";

/** The random end of the id: a UUID of version 7 begins with its time, which networks made together share. */
function shortId(networkId: string): string {
	assert(isUuid(networkId), "a network's id is a UUID");
	return networkId.replaceAll("-", "").slice(-10);
}

/** Name of the network in libvirt. */
export const libvirtNetworkName = (networkId: string): string => `lqx-${shortId(networkId)}`;

/** Name of its bridge: 14 bytes, where Linux allows 15. */
export const bridgeName = (networkId: string): string => `lqx-${shortId(networkId)}`;
