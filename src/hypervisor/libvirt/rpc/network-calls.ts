/** Calls about libvirt's virtual networks. With modular daemons they go to virtnetworkd. */
import { type Call, type Caller, nothing, quickMs, slowMs } from "./caller.ts";
import { maxDhcpLeases, maxNetworks } from "./limits.ts";
import type { ProcedureName } from "./protocol.ts";
import type { CallOptions, DhcpLease, NetworkRef, NetworkTarget } from "./types.ts";
import { readNetwork, writeNetwork, writeUuid } from "./values.ts";
import type { XdrReader } from "./xdr-reader.ts";
import type { XdrWriter } from "./xdr-writer.ts";

export const networkCalls = (caller: Caller) => {
	const call = <T>(
		procedure: ProcedureName,
		write: (writer: XdrWriter) => void,
		read: (reader: XdrReader) => T,
		timeoutMs: number,
		options: CallOptions | undefined,
	): Promise<T> => {
		const network: Call<T> = { procedure, route: "network", write, read, timeoutMs };
		return caller.call(network, options);
	};

	return {
		/** `flags`: `listNetworksFlags`; 0 lists all. */
		connectListAllNetworks: (flags = 0, options?: CallOptions): Promise<NetworkRef[]> =>
			call(
				"connectListAllNetworks",
				(w) => {
					w.int(1);
					w.uint(flags);
				},
				(r) => {
					const networks = r.array(maxNetworks, () => readNetwork(r));
					r.uint();
					return networks;
				},
				quickMs,
				options,
			),

		networkLookupByName: (name: string, options?: CallOptions): Promise<NetworkRef> =>
			call("networkLookupByName", (w) => w.string(name), readNetwork, quickMs, options),

		networkLookupByUuid: (uuid: string, options?: CallOptions): Promise<NetworkRef> =>
			call("networkLookupByUuid", (w) => writeUuid(w, uuid), readNetwork, quickMs, options),

		networkDefineXML: (xml: string, options?: CallOptions): Promise<NetworkRef> =>
			call("networkDefineXML", (w) => w.string(xml), readNetwork, quickMs, options),

		/** Starts a defined network: bridge, firewall rules, dnsmasq. Active already is `wrong-state`. */
		networkCreate: (network: NetworkTarget, options?: CallOptions): Promise<void> =>
			call("networkCreate", (w) => writeNetwork(w, network), nothing, slowMs, options),

		/** Stops it. Not active is `wrong-state`. */
		networkDestroy: (network: NetworkTarget, options?: CallOptions): Promise<void> =>
			call("networkDestroy", (w) => writeNetwork(w, network), nothing, slowMs, options),

		networkUndefine: (network: NetworkTarget, options?: CallOptions): Promise<void> =>
			call("networkUndefine", (w) => writeNetwork(w, network), nothing, quickMs, options),

		networkSetAutostart: (network: NetworkTarget, autostart: boolean, options?: CallOptions): Promise<void> =>
			call(
				"networkSetAutostart",
				(w) => {
					writeNetwork(w, network);
					w.int(autostart ? 1 : 0);
				},
				nothing,
				quickMs,
				options,
			),

		networkGetXMLDesc: (network: NetworkTarget, options?: CallOptions): Promise<string> =>
			call(
				"networkGetXMLDesc",
				(w) => {
					writeNetwork(w, network);
					w.uint(0);
				},
				(r) => r.string(),
				quickMs,
				options,
			),

		networkIsActive: (network: NetworkTarget, options?: CallOptions): Promise<boolean> =>
			call(
				"networkIsActive",
				(w) => writeNetwork(w, network),
				(r) => r.int() !== 0,
				quickMs,
				options,
			),

		/** Leases of the network's own DHCP server, of one MAC address when given. */
		networkGetDHCPLeases: (
			network: NetworkTarget,
			mac: string | null = null,
			options?: CallOptions,
		): Promise<DhcpLease[]> =>
			call(
				"networkGetDHCPLeases",
				(w) => {
					writeNetwork(w, network);
					w.optionalString(mac);
					w.int(1);
					w.uint(0);
				},
				(r) => {
					const leases = r.array(maxDhcpLeases, () => readLease(r));
					r.uint();
					return leases;
				},
				quickMs,
				options,
			),
	};
};
export type NetworkCalls = ReturnType<typeof networkCalls>;

const readLease = (r: XdrReader): DhcpLease => ({
	interface: r.string(),
	expiresAtSeconds: r.hyper(),
	family: r.int() === 1 ? "ipv6" : "ipv4",
	mac: r.optionalString(),
	iaid: r.optionalString(),
	address: r.string(),
	prefix: r.uint(),
	hostname: r.optionalString(),
	clientId: r.optionalString(),
});
