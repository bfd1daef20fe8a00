/**
 * NetworkDriver of a real node. A NAT network is a network of libvirt, which brings bridge, firewall rules, DHCP and DNS;
 * it is named after the network's id, never started by libvirt itself (the node ensures it when it starts), and its UUID
 * is the network's id. A bridge is taken as it is found.
 *
 * The client belongs to the caller, and may be that of the hypervisor driver.
 */

import type { LibvirtClient } from "../hypervisor/libvirt/rpc/client.ts";
import { isLibvirtError } from "../hypervisor/libvirt/rpc/errors.ts";
import { AppError, isAppError, toAppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import { checkNatConfig, type NatConfig, overlaps, subnetOf } from "./address.ts";
import type { Lease, NetworkDriver } from "./driver.ts";
import { type HostNetwork, hostNetwork } from "./host-network.ts";
import { bridgeName, libvirtNetworkName } from "./names.ts";
import { networkXml, sameNetwork } from "./network-xml.ts";

export type LibvirtNetworksOptions = {
	client: LibvirtClient;
	logger: Logger;
	/** For tests whose libvirtd has a network namespace of its own. */
	host?: HostNetwork;
};

type NatNetwork = { id: string; name: string; config: NatConfig };

export function createLibvirtNetworks(options: LibvirtNetworksOptions): NetworkDriver {
	const { client, logger } = options;
	const host = options.host ?? hostNetwork();
	/** Not the cluster's any more, and in use when it was last looked at. */
	let staying: ReadonlySet<string> = new Set();

	async function ensureNat(network: NatNetwork): Promise<{ bridge: string }> {
		checkNatConfig(network.config);
		const bridge = bridgeName(network.id);
		const target = { uuid: network.id };
		const wanted = networkXml(network);
		const found = await currentXml(client, network.id);
		const active = found !== null && (await client.networkIsActive(target));
		const same = found !== null && sameNetwork(found, wanted);
		if (active && same) return { bridge };
		if (active) {
			const ports = await host.portsOf(bridge);
			if (ports.length > 0)
				throw new AppError("network", "The network runs with other settings, and VMs use it; stop them first.", {
					context: { ports },
				});
			logger.warn("a network runs with other settings than ours; it is started anew", { network: network.id });
			await client.networkDestroy(target);
		}
		const serving = await formerOf(client, network);
		if (serving !== null) return { bridge: bridgeName(serving) };
		await refuseOverlap(host, network.config, bridge);
		if (!same) await client.networkDefineXML(wanted);
		try {
			await client.networkCreate(target);
		} catch (error) {
			// Somebody was faster.
			if (!isAppError(error, "wrong-state") || !(await client.networkIsActive(target))) throw error;
		}
		return { bridge };
	}

	async function ensureBridge(bridge: string): Promise<{ bridge: string }> {
		if ((await host.bridges()).includes(bridge)) return { bridge };
		throw new AppError("network", `This node has no bridge named ${bridge}.`);
	}

	const removeNat = (id: string): Promise<void> =>
		ifThere(async () => {
			if (await client.networkIsActive({ uuid: id })) {
				// libvirt itself would pull the bridge away under a running VM.
				const ports = await host.portsOf(bridgeName(id));
				if (ports.length > 0)
					throw new AppError("in-use", "Something is still plugged into the network's bridge.", { context: { ports } });
				await client.networkDestroy({ uuid: id });
			}
			await client.networkUndefine({ uuid: id });
		}, undefined);

	return {
		ensure: ({ id, name, config }) =>
			config.kind === "bridge" ? ensureBridge(config.bridge) : asNetworkError(ensureNat({ id, name, config })),

		async remove({ id, config }) {
			if (config.kind === "nat") await asNetworkError(servingOf(client, { id, name: "", config }).then(removeNat));
		},

		async removeOthers(isKnown) {
			const inUse = new Set<string>();
			for (const { name, uuid } of await asNetworkError(client.connectListAllNetworks())) {
				if (!isOurs(name, uuid) || isKnown(uuid)) continue;
				try {
					await asNetworkError(removeNat(uuid));
					logger.info("a network that is not the cluster's any more was removed", { network: uuid });
				} catch (error) {
					if (!isAppError(error, "in-use")) throw error;
					inUse.add(uuid);
					// It may be so for months, and is looked at all the time.
					if (!staying.has(uuid))
						logger.warn("a network that is not the cluster's any more stays: it is in use", { network: uuid });
				}
			}
			staying = inUse;
		},

		async leases({ id, config }): Promise<Lease[]> {
			if (config.kind === "bridge") return [];
			const serving = servingOf(client, { id, name: "", config });
			const leases = await asNetworkError(
				serving.then((uuid) => ifThere(() => client.networkGetDHCPLeases({ uuid }), [])),
			);
			return leases.flatMap(({ mac, address, hostname, expiresAtSeconds }) =>
				mac === null
					? []
					: [{ mac, address, hostname, expiresAtMs: expiresAtSeconds === 0 ? null : expiresAtSeconds * 1000 }],
			);
		},

		hostBridges: () => host.bridges(),
	};
}

/** The name is made of the id: whoever else makes networks makes no such ones. */
const isOurs = (name: string, uuid: string): boolean => isUuid(uuid) && name === libvirtNetworkName(uuid);

/** The network of ours that runs with the same addresses under another id; null when there is none. */
async function formerOf(client: LibvirtClient, network: NatNetwork): Promise<string | null> {
	for (const { name, uuid } of await client.connectListAllNetworks()) {
		if (uuid === network.id || !isOurs(name, uuid)) continue;
		const isSame = async () => {
			if (!(await client.networkIsActive({ uuid }))) return false;
			return sameNetwork(await client.networkGetXMLDesc({ uuid }), networkXml({ ...network, id: uuid }));
		};
		if (await ifThere(isSame, false)) return uuid;
	}
	return null;
}

/** Its own id, or that of what serves as it. */
async function servingOf(client: LibvirtClient, network: NatNetwork): Promise<string> {
	const active = await ifThere(() => client.networkIsActive({ uuid: network.id }), false);
	return active ? network.id : ((await formerOf(client, network)) ?? network.id);
}

/** XML of the network with that UUID; null when there is none. Fails when its name is somebody else's. */
async function currentXml(client: LibvirtClient, id: string): Promise<string | null> {
	const name = libvirtNetworkName(id);
	const all = await client.connectListAllNetworks();
	if (all.some((network) => network.name === name && network.uuid !== id))
		throw new AppError("network", `libvirt has another network named ${name} on this node.`);
	return all.some((network) => network.uuid === id) ? client.networkGetXMLDesc({ uuid: id }) : null;
}

/** Addresses that lead elsewhere already would be cut off, or cut the guests off. */
async function refuseOverlap(host: HostNetwork, config: NatConfig, bridge: string): Promise<void> {
	const wanted = subnetOf(config);
	const clash = (await host.routes()).find((route) => route.interface !== bridge && overlaps(route.subnet, wanted));
	if (clash)
		throw new AppError(
			"network",
			`${wanted.text} overlaps ${clash.subnet.text}, which this node reaches through ${clash.interface}. Choose other addresses.`,
		);
	if ((await host.interfaces()).includes(bridge))
		throw new AppError("network", `This node has an interface named ${bridge} already, which libvirt did not make.`);
}

/** What `action` gives, or `otherwise` when there is no such network or it does not run. */
async function ifThere<T>(action: () => Promise<T>, otherwise: T): Promise<T> {
	try {
		return await action();
	} catch (error) {
		if (isAppError(error, "not-found") || isAppError(error, "wrong-state")) return otherwise;
		throw error;
	}
}

/** What libvirt refuses here is a fault of the network; that it is away, or slow, stays what it is. */
async function asNetworkError<T>(work: Promise<T>): Promise<T> {
	try {
		return await work;
	} catch (error) {
		if (!isLibvirtError(error) || error.code === "unavailable" || error.code === "timeout") throw error;
		throw new AppError("network", toAppError(error).message, { cause: error });
	}
}
