import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { smallDomain, withNic } from "../hypervisor/test-domain.ts";
import { silentLogger } from "../lib/log.ts";
import { type LibvirtLab, startLab } from "../testing/lab/libvirt-lab.ts";
import { waitUntil } from "../testing/lab/wait-until.ts";
import type { NatConfig } from "./address.ts";
import { networkConformance } from "./conformance.ts";
import type { NetworkDriver } from "./driver.ts";
import { hostNetwork } from "./host-network.ts";
import { createLibvirtNetworks } from "./libvirt-network.ts";
import { bridgeName, libvirtNetworkName } from "./names.ts";

const limitMs = 60_000;

async function openNetworks(name: string): Promise<{ lab: LibvirtLab; driver: NetworkDriver }> {
	const lab = await startLab({ name });
	const { initPid } = lab.libvirtd.namespace;
	const host = hostNetwork({ sys: `/proc/${initPid}/root/sys`, proc: `/proc/${initPid}` });
	return { lab, driver: createLibvirtNetworks({ client: lab.client, logger: silentLogger, host }) };
}

networkConformance("libvirt", {
	limitMs,
	open: async () => {
		const { lab, driver } = await openNetworks("net-conform");
		const ip = (...args: string[]) => lab.libvirtd.runInNamespace("ip", ["link", ...args]).then(() => {});
		await ip("add", "br0", "type", "bridge");
		return {
			driver,
			bridge: "br0",
			async plug(bridge) {
				await ip("add", "port0", "type", "veth", "peer", "name", "port1");
				await ip("set", "port0", "master", bridge);
			},
			unplug: () => ip("del", "port0"),
			close: lab.close,
		};
	},
});

describe("NAT networks on libvirt", () => {
	let lab: LibvirtLab;
	let driver: NetworkDriver;
	const inside = (program: string, ...args: string[]) => lab.libvirtd.runInNamespace(program, args);
	const config: NatConfig = {
		kind: "nat",
		gateway: "10.99.1.1",
		prefixLength: 24,
		dhcpStart: "10.99.1.100",
		dhcpEnd: "10.99.1.110",
	};
	const network = { id: "0190cccc-0000-7000-8000-0000000000aa", name: "lab", config };
	const bridge = bridgeName(network.id);

	beforeAll(async () => {
		({ lab, driver } = await openNetworks("net-lab"));
	}, limitMs);
	afterAll(async () => {
		await lab?.close();
	}, limitMs);

	test(
		"are not started by libvirt, and come back with ensure",
		async () => {
			await driver.ensure(network);
			const { stdout } = await inside("virsh", "-c", lab.libvirtd.uri, "net-info", libvirtNetworkName(network.id));
			expect(stdout).toMatch(/Active:\s+yes/);
			expect(stdout).toMatch(/Autostart:\s+no/);
			expect(stdout).toMatch(/Persistent:\s+yes/);
			await inside("virsh", "-c", lab.libvirtd.uri, "net-destroy", libvirtNetworkName(network.id));
			expect(await driver.hostBridges()).not.toContain(bridge);
			expect(await driver.ensure(network)).toEqual({ bridge });
			expect(await driver.hostBridges()).toContain(bridge);
		},
		limitMs,
	);

	test("give a guest its address, and say to whom; are not pulled away under it", async () => {
		const guest = withNic(await lab.withGuest(smallDomain(1, lab.vmFolder(1))), "nic-0", bridge);
		await lab.driver.define(guest);
		await lab.driver.start(guest.id, { paused: false });
		await lab.guestSays(guest.id, "address eth0 10.99.1.1");
		// dnsmasq answers the guest, and has libvirt note the lease after that.
		const [lease, ...others] = await waitUntil("the lease to be noted", 10_000, async () => {
			const leases = await driver.leases(network);
			return leases.length > 0 ? leases : undefined;
		});
		expect(others).toEqual([]);
		expect(lease?.mac).toBe(guest.spec.nics[0]?.mac ?? "");
		expect(lease?.address).toMatch(/^10\.99\.1\.1(0\d|10)$/);
		expect(lease?.expiresAtMs ?? 0).toBeGreaterThan(Date.now());
		// The host's neighbour table has whom the host has spoken with.
		await inside("busybox", "ping", "-c", "1", "-W", "5", lease?.address ?? "");
		expect(await lab.driver.addresses(guest.id)).toEqual([{ mac: lease?.mac ?? "", address: lease?.address ?? "" }]);

		const other = { ...network, config: { ...config, dhcpEnd: "10.99.1.120" } };
		await expect(driver.ensure(other)).rejects.toMatchObject({
			code: "network",
			message: expect.stringContaining("use it"),
		});
		await expect(driver.remove(network)).rejects.toMatchObject({ code: "in-use" });
		expect(await driver.ensure(network)).toEqual({ bridge });
		await lab.driver.destroy(guest.id);
		await driver.ensure(other);
		const { stdout } = await inside("virsh", "-c", lab.libvirtd.uri, "net-dumpxml", libvirtNetworkName(network.id));
		expect(stdout).toContain("10.99.1.120");
		await driver.remove(network);
		await lab.driver.undefine(guest.id);
	}, 120_000);

	test(
		"are refused where the addresses lead elsewhere already",
		async () => {
			await inside("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "far-end");
			await inside("ip", "address", "add", "10.99.0.5/16", "dev", "uplink");
			await inside("ip", "link", "set", "uplink", "up");
			await expect(driver.ensure(network)).rejects.toMatchObject({
				code: "network",
				message: "10.99.1.0/24 overlaps 10.99.0.0/16, which this node reaches through uplink. Choose other addresses.",
			});
			await inside("ip", "link", "del", "uplink");
			await inside("ip", "link", "add", bridge, "type", "bridge");
			await expect(driver.ensure(network)).rejects.toMatchObject({ message: expect.stringContaining("did not make") });
			await inside("ip", "link", "del", bridge);
		},
		limitMs,
	);

	test(
		"say that libvirt is away",
		async () => {
			await lab.libvirtd.kill9();
			await expect(driver.ensure(network)).rejects.toMatchObject({ code: "unavailable" });
			await expect(driver.leases(network)).rejects.toMatchObject({ code: "unavailable" });
		},
		limitMs,
	);
});
