import { describe, expect, test } from "bun:test";
import type { LibvirtClient } from "../hypervisor/libvirt/rpc/client.ts";
import { createLogger } from "../lib/log.ts";
import {
	checkNatConfig,
	formatIpv4,
	type NatConfig,
	netmask,
	overlaps,
	parseIpv4,
	subnet,
	subnetOf,
} from "./address.ts";
import { type HostNetwork, parseRoutes } from "./host-network.ts";
import { createLibvirtNetworks } from "./libvirt-network.ts";
import { bridgeName, libvirtNetworkName } from "./names.ts";
import { networkXml, sameNetwork } from "./network-xml.ts";

const id = "0190bbbb-1234-7000-8000-00abcdef0123";
const config: NatConfig = {
	kind: "nat",
	gateway: "192.168.77.1",
	prefixLength: 24,
	dhcpStart: "192.168.77.10",
	dhcpEnd: "192.168.77.250",
};

describe("addresses", () => {
	test("are read and written", () => {
		for (const text of ["0.0.0.0", "10.1.2.3", "255.255.255.255"]) expect(formatIpv4(parseIpv4(text))).toBe(text);
		for (const bad of ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "a.b.c.d", "1.2.3.-4", " 1.2.3.4"])
			expect(() => parseIpv4(bad)).toThrow(expect.objectContaining({ code: "invalid" }));
		expect(netmask(24)).toBe("255.255.255.0");
		expect(netmask(9)).toBe("255.128.0.0");
	});

	test("subnets overlap or not", () => {
		const at = (text: string, length: number) => subnet(parseIpv4(text), length);
		expect(at("10.1.2.3", 24)).toMatchObject({ text: "10.1.2.0/24", last: parseIpv4("10.1.2.255") });
		expect(overlaps(at("10.1.0.0", 16), at("10.1.255.0", 24))).toBe(true);
		expect(overlaps(at("10.1.255.0", 24), at("10.1.0.0", 16))).toBe(true);
		expect(overlaps(at("10.1.0.0", 24), at("10.1.1.0", 24))).toBe(false);
		expect(overlaps(at("0.0.0.0", 1), at("200.0.0.0", 8))).toBe(false);
		expect(subnetOf(config).text).toBe("192.168.77.0/24");
	});

	test("that do not fit together are named", () => {
		const paths = (change: Partial<NatConfig>): string[] => {
			try {
				checkNatConfig({ ...config, ...change });
				return [];
			} catch (error) {
				return (error as { fields: { path: string }[] }).fields.map((field) => field.path);
			}
		};
		expect(paths({})).toEqual([]);
		expect(paths({ gateway: "192.168.77.0" })).toEqual(["/config/gateway"]);
		expect(paths({ gateway: "192.168.77.255" })).toEqual(["/config/gateway"]);
		expect(paths({ gateway: "192.168.77.20" })).toEqual(["/config/dhcpStart"]);
		expect(paths({ dhcpEnd: "192.168.78.1" })).toEqual(["/config/dhcpEnd"]);
		expect(paths({ dhcpStart: "192.168.77.251" })).toEqual(["/config/dhcpEnd"]);
		expect(paths({ prefixLength: 30 })).toEqual(["/config/dhcpStart", "/config/dhcpEnd"]);
	});
});

describe("names", () => {
	test("fit into what Linux allows, and follow from the id", () => {
		expect(bridgeName(id)).toBe("lqx-abcdef0123");
		expect(bridgeName(id).length).toBeLessThanOrEqual(15);
		expect(libvirtNetworkName(id)).toBe("lqx-abcdef0123");
		expect(() => bridgeName("../x")).toThrow("UUID");
	});
});

describe("network XML", () => {
	test("says it all", () => {
		expect(networkXml({ id, name: "a<b>&", config })).toBe(`<network>
  <name>lqx-abcdef0123</name>
  <uuid>${id}</uuid>
  <metadata>
    <limiquantix:network xmlns:limiquantix="urn:limiquantix:network:1" name="a&lt;b&gt;&amp;"/>
  </metadata>
  <forward mode="nat"/>
  <bridge name="lqx-abcdef0123" stp="on" delay="0"/>
  <ip family="ipv4" address="192.168.77.1" prefix="24">
    <dhcp>
      <range start="192.168.77.10" end="192.168.77.250"/>
    </dhcp>
  </ip>
</network>
`);
	});

	test("is compared by what it does", () => {
		const mine = networkXml({ id, name: "a", config });
		const theirs = `<network connections='1'><name>lqx-abcdef0123</name><uuid>${id}</uuid><forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward>
			<bridge name='lqx-abcdef0123' stp='on' delay='0'/><mac address='52:54:00:00:00:01'/>
			<ip family='ipv4' address='192.168.77.1' prefix='24'><dhcp><range start='192.168.77.10' end='192.168.77.250'/></dhcp></ip></network>`;
		expect(sameNetwork(mine, networkXml({ id, name: "b", config }))).toBe(true);
		expect(sameNetwork(mine, theirs)).toBe(true);
		expect(sameNetwork(mine, theirs.replace("77.250", "77.240"))).toBe(false);
		expect(sameNetwork(mine, theirs.replace("mode='nat'", "mode='route'"))).toBe(false);
	});
});

describe("routes of the host", () => {
	test("are read from the kernel's table", () => {
		const text = [
			"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
			"eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
			"eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
			"virbr0\t007AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
			"down0\t0000000A\t00000000\t0000\t0\t0\t0\t000000FF\t0\t0\t0",
			"",
		].join("\n");
		expect(parseRoutes(text).map((route) => `${route.interface} ${route.subnet.text}`)).toEqual([
			"eth0 192.168.0.0/24",
			"virbr0 192.168.122.0/24",
		]);
		expect(parseRoutes("")).toEqual([]);
	});
});

test("that a network of before is in use is said once, however often somebody looks", async () => {
	const lines: string[] = [];
	const there = new Set([id]);
	const client: Partial<LibvirtClient> = {
		connectListAllNetworks: async () => [...there].map((uuid) => ({ name: libvirtNetworkName(uuid), uuid })),
		networkIsActive: async () => true,
	};
	const host: Partial<HostNetwork> = { portsOf: async () => ["tap0"] };
	const networks = createLibvirtNetworks({
		...{ client: client as LibvirtClient, host: host as HostNetwork },
		logger: createLogger((line) => lines.push(line), "info", "json"),
	});
	const look = () => networks.removeOthers(() => false);
	for (const _ of [1, 2, 3]) await look();
	expect(lines).toHaveLength(1);
	expect(lines[0]).toContain("it is in use");
	// Another one is another thing to say, and so is one that had gone meanwhile.
	there.clear();
	await look();
	there.add(id);
	there.add("0190bbbb-1234-7000-8000-00abcdef0124");
	await look();
	await look();
	expect(lines).toHaveLength(3);
});
