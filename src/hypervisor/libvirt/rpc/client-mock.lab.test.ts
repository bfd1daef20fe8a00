/** The client against libvirt's mock hypervisor on a real libvirtd, and against one daemon for each kind of object. Needs root. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { failureOf, openRecordingClient, type RecordingClient } from "../../../testing/lab/libvirt-client.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../../../testing/lab/libvirtd.ts";
import type { LibvirtClientOptions } from "./client.ts";
import { isLibvirtError, libvirtErrors } from "./errors.ts";
import { listDomainsFlags, statsGroups } from "./flags.ts";

let libvirtd: PrivateLibvirtd;
beforeAll(async () => {
	libvirtd = await startLibvirtd({ name: "rpc" });
}, 60_000);
afterAll(() => libvirtd.stop());

const clients: RecordingClient[] = [];
afterEach(async () => {
	for (const client of clients.splice(0)) await client.close();
});
async function connect(options: Partial<LibvirtClientOptions> = {}): Promise<RecordingClient> {
	const client = await openRecordingClient({ uri: libvirtd.testUri, ...options });
	clients.push(client);
	return client;
}

describe("libvirt's mock hypervisor", () => {
	const xml = (uuid: string, name: string) =>
		`<domain type="test"><name>${name}</name><uuid>${uuid}</uuid><memory unit="MiB">64</memory><vcpu>2</vcpu>
		<os><type arch="i686">hvm</type></os></domain>`;

	test("host, versions, capabilities", async () => {
		const client = await connect();
		expect((await client.connectGetLibVersion()).major).toBeGreaterThanOrEqual(9);
		expect(await client.connectGetHostname()).toBe("rpc");
		expect(await client.connectGetURI()).toBe("test:///default");
		expect(await client.connectGetCapabilities()).toStartWith("<capabilities>");
		expect(await client.nodeGetInfo()).toEqual({
			model: "i686",
			memoryBytes: 3_221_225_472,
			cpus: 16,
			mhz: 1400,
			numaNodes: 2,
			sockets: 2,
			cores: 2,
			threads: 2,
		});
	});

	test("a domain's life, and every event of it in order", async () => {
		const client = await connect();
		const uuid = crypto.randomUUID();
		const domain = { uuid };
		expect(await client.domainDefineXMLFlags(xml(uuid, "mock"))).toEqual({ uuid, name: "mock", id: null });
		expect(await client.domainLookupByUuid(uuid)).toEqual({ uuid, name: "mock", id: null });
		expect((await client.domainLookupByName("mock")).uuid).toBe(uuid);
		await client.domainCreateWithFlags(domain);
		expect(await client.domainGetState(domain)).toEqual({ state: "running", reason: "booted" });
		expect(await client.domainGetInfo(domain)).toMatchObject({ state: "running", vcpus: 2, memoryBytes: 67_108_864 });
		expect((await client.connectListAllDomains()).map(({ name }) => name).sort()).toEqual(["mock", "test"]);
		expect(await client.connectListAllDomains(listDomainsFlags.inactive)).toEqual([]);
		expect(await client.domainIsPersistent(domain)).toBe(true);
		expect(await client.domainGetXMLDesc(domain)).toContain("<name>mock</name>");
		await client.domainSuspend(domain);
		expect(await client.domainGetState(domain)).toEqual({ state: "paused", reason: "user" });
		await client.domainResume(domain);
		await client.domainSetVcpusFlags(domain, 1, 1);
		await client.domainSetMemoryFlags(domain, 33_554_432, 1);
		expect(await client.domainGetInfo(domain)).toMatchObject({ vcpus: 1, memoryBytes: 33_554_432 });
		const metadata = { xml: "<vm generation='3'/>", key: "lqx", uri: "urn:lqx" };
		await client.domainSetMetadata(domain, metadata, 2);
		expect(await client.domainGetMetadata(domain, "urn:lqx", 2)).toBe('<vm generation="3"/>');
		expect((await failureOf(client.domainGetMetadata(domain, "urn:none", 2))).code).toBe("not-found");
		const picture = await client.domainScreenshot(domain);
		expect([picture.mimeType, (await picture.stream.collect(10_000_000)).subarray(1, 4).toString()]).toEqual([
			"image/png",
			"PNG",
		]);
		const stats = await client.connectGetAllDomainStats(statsGroups.state, 0, [domain]);
		expect(stats).toEqual([{ domain: { uuid, name: "mock", id: expect.any(Number) }, stats: expect.anything() }]);
		expect(stats[0]?.stats["state.state"]).toBe(1);
		await client.domainReboot(domain);
		await client.domainShutdownFlags(domain);
		expect(await client.domainGetState(domain)).toEqual({ state: "shutoff", reason: "shutdown" });
		expect(await client.domainGetAutostart(domain)).toBe(false);
		await client.domainSetAutostart(domain, true);
		expect(await client.domainGetAutostart(domain)).toBe(true);
		await client.domainRename(domain, "renamed");
		await client.domainUndefineFlags(domain, 0);
		expect((await failureOf(client.domainGetState(domain))).code).toBe("not-found");
		await client.untilHeard(uuid, "undefined removed");
		const lifecycle = client.heard(uuid).filter((text) => text.includes(" "));
		expect(lifecycle).toEqual([
			...["defined added", "started booted", "suspended paused", "resumed unpaused"],
			...["stopped shutdown", "undefined renamed", "defined renamed", "undefined removed"],
		]);
		expect(client.heard(uuid)).toContain("metadata-change");
	});

	test("networks", async () => {
		const client = await connect();
		const network = await client.networkDefineXML("<network><name>mocknet</name></network>");
		expect(await client.networkLookupByName("mocknet")).toEqual(network);
		expect(await client.networkLookupByUuid(network.uuid)).toEqual(network);
		expect(await client.networkIsActive(network)).toBe(false);
		await client.networkCreate(network);
		expect(await client.networkIsActive(network)).toBe(true);
		expect((await failureOf(client.networkCreate(network))).code).toBe("wrong-state");
		await client.networkSetAutostart(network, true);
		expect(await client.networkGetXMLDesc(network)).toContain("<name>mocknet</name>");
		expect((await client.connectListAllNetworks()).map(({ name }) => name).sort()).toEqual(["default", "mocknet"]);
		await client.networkDestroy(network);
		await client.networkUndefine(network);
		expect((await failureOf(client.networkLookupByName("mocknet"))).code).toBe("not-found");
	});

	test("what libvirt refuses keeps libvirt's numbers", async () => {
		const client = await connect();
		const missing = await failureOf(client.domainLookupByName("missing"));
		expect([missing.code, isLibvirtError(missing, libvirtErrors.noDomain)]).toEqual(["not-found", true]);
		const unsupported = await failureOf(client.domainGetJobInfo({ uuid: "6695eb01-f6a4-8304-79aa-97f2502e193f" }));
		expect([unsupported.code, isLibvirtError(unsupported, libvirtErrors.noSupport)]).toEqual(["unsupported", true]);
		expect((await failureOf(client.domainDefineXMLFlags("<domain"))).code).toBe("hypervisor");
		expect(client.state.state).toBe("connected");
	});
});

describe("modular daemons", () => {
	// Debian 12 has no virtqemud and virtnetworkd. libvirtd answers to their names and URIs just the same, so two of them
	// show that each call reaches the daemon it belongs to; the daemons proper are not tested here.
	test("domains in one, networks in another, each over its own socket", async () => {
		const other = await startLibvirtd({ name: "rpc-net" });
		const sockets = mkdtempSync("/tmp/lqx-sockets-");
		try {
			symlinkSync(libvirtd.socketPath, join(sockets, "virtqemud-sock"));
			symlinkSync(other.socketPath, join(sockets, "virtnetworkd-sock"));
			const client = await connect({ uri: "qemu:///system", socketFolder: sockets });
			expect(await client.connectGetHostname()).toBe("rpc");
			const network = await client.networkDefineXML("<network><name>apart</name></network>");
			const direct = await connect({ uri: other.uri });
			expect(await direct.networkLookupByName("apart")).toEqual(network);
			expect(await (await connect({ uri: libvirtd.uri })).connectListAllNetworks()).toEqual([]);
			expect(await client.connectListAllSecrets()).toEqual([]);
		} finally {
			for (const client of clients.splice(0)) await client.close();
			await other.stop();
			rmSync(sockets, { recursive: true });
		}
	}, 60_000);
});
