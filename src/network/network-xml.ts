/** A NAT network as libvirt's XML (https://libvirt.org/formatnetwork.html), and what of it we compare. Pure. */
import { readXml } from "../lib/xml-reader.ts";
import { element, textElement, writeXml } from "../lib/xml-writer.ts";
import type { NatConfig } from "./address.ts";
import { bridgeName, libvirtNetworkName } from "./names.ts";

const metadataPrefix = "limiquantix";
const metadataUri = "urn:limiquantix:network:1";

export function networkXml(network: { id: string; name: string; config: NatConfig }): string {
	const { id, name, config } = network;
	return writeXml(
		element("network", {}, [
			textElement("name", libvirtNetworkName(id)),
			textElement("uuid", id),
			element("metadata", {}, [
				element(`${metadataPrefix}:network`, { [`xmlns:${metadataPrefix}`]: metadataUri, name }),
			]),
			element("forward", { mode: "nat" }),
			element("bridge", { name: bridgeName(id), stp: "on", delay: 0 }),
			element("ip", { family: "ipv4", address: config.gateway, prefix: config.prefixLength }, [
				element("dhcp", {}, [element("range", { start: config.dhcpStart, end: config.dhcpEnd })]),
			]),
		]),
	);
}

/** True when a network of libvirt does what its definition here would do; names for people are not compared. */
export function sameNetwork(one: string, other: string): boolean {
	const [a, b] = [one, other].map((xml) => JSON.stringify(essence(xml)));
	return a === b;
}

function essence(xml: string): unknown {
	const root = readXml(xml);
	return {
		name: root.textOf("name"),
		uuid: root.textOf("uuid"),
		forward: root.attributeOf("mode", "forward"),
		bridge: root.attributeOf("name", "bridge"),
		addresses: root.all("ip").map((ip) => ({
			address: ip.attribute("address"),
			prefix: ip.attribute("prefix") ?? ip.attribute("netmask"),
			ranges: (ip.child("dhcp")?.all("range") ?? []).map((range) => [range.attribute("start"), range.attribute("end")]),
		})),
	};
}
