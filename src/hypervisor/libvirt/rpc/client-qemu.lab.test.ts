/** The client against the real libvirt and QEMU, with domains that have no disk. Needs root. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../../lib/assert.ts";
import { failureOf, openRecordingClient, type RecordingClient } from "../../../testing/lab/libvirt-client.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../../../testing/lab/libvirtd.ts";
import { waitUntil } from "../../../testing/lab/wait-until.ts";
import type { LibvirtClientOptions } from "./client.ts";
import { isLibvirtError } from "./errors.ts";
import { addressSource, deviceFlags, startFlags, statsFlags, statsGroups, xmlFlags } from "./flags.ts";

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
	const client = await openRecordingClient({ uri: libvirtd.uri, ...options });
	clients.push(client);
	return client;
}

const xml = (uuid: string, name: string) => `<domain type="qemu"><name>${name}</name><uuid>${uuid}</uuid>
	<memory unit="MiB">128</memory><vcpu current="1">2</vcpu>
	<os><type arch="x86_64" machine="q35">hvm</type><bios useserial="yes" rebootTimeout="-1"/></os>
	<features><acpi/></features>
	<devices>
		<controller type="pci" index="0" model="pcie-root"/>${'<controller type="pci" model="pcie-root-port"/>'.repeat(8)}
		<controller type="usb" model="qemu-xhci"/>
		<disk type="file" device="cdrom"><target dev="sda" bus="sata"/><readonly/></disk>
		<graphics type="vnc" socket="${libvirtd.folder}/${name}.vnc"/><video><model type="vga"/></video>
		<serial type="pty"><log file="${libvirtd.folder}/${name}.serial" append="off"/></serial>
	</devices></domain>`;

const made: string[] = [];
async function define(client: RecordingClient, name: string): Promise<{ uuid: string }> {
	const uuid = crypto.randomUUID();
	await client.domainDefineXMLFlags(xml(uuid, name));
	made.push(uuid);
	return { uuid };
}
/** QEMU's process id, as this machine numbers it. */
const qemuPid = (name: string): number => {
	const inner = Number(readFileSync(join(libvirtd.folder, `run/qemu/${name}.pid`), "utf8"));
	return present(libvirtd.namespace.outerPid(inner), "QEMU");
};
afterEach(async () => {
	const client = await connect();
	for (const uuid of made.splice(0)) {
		await client.domainDestroyFlags({ uuid }).catch(() => {});
		await client.domainUndefineFlags({ uuid }, 0).catch(() => {});
	}
	await client.close();
});

test("a domain from define to undefine: events, state, screen, figures, XML", async () => {
	const client = await connect();
	const domain = await define(client, "life");
	await client.domainCreateWithFlags(domain, startFlags.paused);
	expect(await client.domainGetState(domain)).toEqual({ state: "paused", reason: "user" });
	expect((await failureOf(client.domainCreateWithFlags(domain))).code).toBe("wrong-state");
	await client.domainResume(domain);
	expect(await client.domainGetState(domain)).toEqual({ state: "running", reason: "unpaused" });

	const { mimeType, stream } = await client.domainScreenshot(domain);
	const picture = Buffer.from(await stream.collect(32 * 1024 * 1024));
	expect(mimeType).toBe("image/png");
	expect(picture.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
	expect(picture.subarray(-8, -4).toString("latin1")).toBe("IEND");
	expect([picture.readUInt32BE(16), picture.readUInt32BE(20)]).toEqual([expect.any(Number), expect.any(Number)]);
	expect(picture.readUInt32BE(16)).toBeGreaterThanOrEqual(640);

	const groups = statsGroups.state | statsGroups.cpuTotal | statsGroups.balloon | statsGroups.vcpu | statsGroups.block;
	const [record] = await client.connectGetAllDomainStats(groups, statsFlags.noWait);
	const { stats } = present(record, "record");
	expect(record?.domain).toEqual({ uuid: domain.uuid, name: "life", id: expect.any(Number) });
	expect(stats["cpu.time"]).toBeGreaterThan(1_000_000);
	expect([stats["state.state"], stats["balloon.current"], stats["vcpu.maximum"]]).toEqual([1, 131_072, 2]);
	expect([stats["block.count"], stats["block.0.name"]]).toEqual([1, "sda"]);

	const memory = await client.nodeGetMemoryStats();
	expect(present(memory.totalBytes, "total")).toBeGreaterThan(present(memory.freeBytes, "free"));
	expect((await client.connectGetVersion()).major).toBeGreaterThanOrEqual(7);
	expect(await client.connectGetDomainCapabilities({ arch: "x86_64", machine: "q35", virtType: "qemu" })).toContain(
		"<domainCapabilities>",
	);
	expect(await client.domainGetXMLDesc(domain, xmlFlags.inactive)).not.toContain("<alias");
	expect(await client.domainGetXMLDesc(domain)).toContain("<alias name='sata0-0-0'/>");
	expect((await client.domainGetJobInfo(domain)).type).toBe(0);
	expect((await failureOf(client.domainAbortJob(domain))).code).toBe("wrong-state");
	expect(await client.domainInterfaceAddresses(domain, addressSource.lease)).toEqual([]);
	await client.domainSendKey(domain, [28], 50);
	await client.domainReset(domain);
	await client.domainSuspend(domain);
	expect(await client.domainGetState(domain)).toEqual({ state: "paused", reason: "user" });
	expect((await failureOf(client.domainRename(domain, "x"))).code).toBe("wrong-state");

	await client.domainDestroyFlags(domain);
	expect(await client.domainGetState(domain)).toEqual({ state: "shutoff", reason: "destroyed" });
	expect((await failureOf(client.domainDestroyFlags(domain))).code).toBe("wrong-state");
	await client.domainUndefineFlags(domain, 0);
	expect((await failureOf(client.domainGetState(domain))).code).toBe("not-found");
	await client.untilHeard(domain.uuid, "undefined removed");
	const lifecycle = client.heard(domain.uuid).filter((text) => text.includes(" "));
	// "started" comes last of the three when libvirt sends both from one job.
	expect(lifecycle.slice(0, 3).sort()).toEqual(["defined added", "started booted", "suspended paused"]);
	expect(lifecycle.slice(3)).toEqual([
		...["resumed unpaused", "suspended paused", "shutdown host", "stopped destroyed", "undefined removed"],
	]);
	expect(client.heard(domain.uuid)).toContain("reboot");
}, 60_000);

test("devices: plugged in and out, CPUs, media, size of a disk", async () => {
	const client = await connect();
	const domain = await define(client, "devices");
	await client.domainCreateWithFlags(domain, startFlags.paused);
	const disk = join(libvirtd.folder, "plug.qcow2");
	await libvirtd.runInNamespace("qemu-img", ["create", "-q", "-f", "qcow2", disk, "16M"]);
	const diskXml = `<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="${disk}"/>
		<target dev="vdb" bus="virtio"/><alias name="ua-plug"/></disk>`;
	await client.domainAttachDeviceFlags(domain, diskXml, deviceFlags.live);
	await client.untilHeard(domain.uuid, "device-added ua-plug");
	expect((await client.domainGetBlockInfo(domain, "vdb")).capacityBytes).toBe(16_777_216);
	await client.domainBlockResize(domain, "vdb", 33_554_432);
	expect((await client.domainGetBlockInfo(domain, "vdb")).capacityBytes).toBe(33_554_432);
	await client.domainSetVcpusFlags(domain, 2, 1);
	const iso = join(libvirtd.folder, "media.iso");
	await Bun.write(iso, new Uint8Array(1_048_576));
	await client.domainUpdateDeviceFlags(
		domain,
		`<disk type="file" device="cdrom"><driver name="qemu" type="raw"/><source file="${iso}"/><target dev="sda" bus="sata"/></disk>`,
		deviceFlags.live,
	);
	expect(await client.domainGetXMLDesc(domain)).toContain(iso);
	expect((await client.domainGetInfo(domain)).vcpus).toBe(2);
	// USB lets go without the guest.
	const tablet = '<input type="tablet" bus="usb"><alias name="ua-tablet"/></input>';
	await client.domainAttachDeviceFlags(domain, tablet, deviceFlags.live);
	await client.untilHeard(domain.uuid, "device-added ua-tablet");
	await client.domainDetachDeviceAlias(domain, "ua-tablet", deviceFlags.live);
	await client.untilHeard(domain.uuid, "device-removed ua-tablet");
	// A paused guest does not let go of its disk: the request is accepted, and nothing is gone.
	await client.domainDetachDeviceAlias(domain, "ua-plug", deviceFlags.live);
	expect(await client.domainGetXMLDesc(domain)).toContain("ua-plug");
	const unknown = await failureOf(client.domainDetachDeviceAlias(domain, "ua-none", deviceFlags.live));
	expect([isLibvirtError(unknown), unknown.message]).toEqual([
		true,
		expect.stringContaining("no device found with alias ua-none"),
	]);
	expect(isLibvirtError(await failureOf(client.domainDetachDeviceFlags(domain, diskXml, deviceFlags.live)))).toBe(true);
}, 60_000);

test("the console: what the firmware prints comes through whole, and ends with the domain", async () => {
	const client = await connect();
	const domain = await define(client, "console");
	await client.domainCreateWithFlags(domain, startFlags.paused);
	const stream = await client.domainOpenConsole(domain, null, 0);
	expect((await failureOf(client.domainOpenConsole(domain, null, 2))).code).toBe("hypervisor");
	let screen = "";
	const reading = (async () => {
		const decoder = new TextDecoder();
		for await (const bytes of stream.readable) screen += decoder.decode(bytes, { stream: true });
	})();
	await client.domainResume(domain);
	await waitUntil("the firmware to give up", 30_000, () => screen.includes("No bootable device"));
	expect(screen).toContain("SeaBIOS");
	await stream.write(Buffer.from("x"));
	await client.domainDestroyFlags(domain);
	await reading;
	const log = readFileSync(join(libvirtd.folder, "console.serial"), "latin1");
	expect(Buffer.from(screen).toString("latin1")).toBe(log);
}, 60_000);

test("a second console takes over when it is forced, and the first one ends", async () => {
	const client = await connect();
	const domain = await define(client, "takeover");
	await client.domainCreateWithFlags(domain, startFlags.paused);
	const first = await client.domainOpenConsole(domain, null, 0);
	const firstEnd = first.collect(1_000_000).then(
		() => "ended",
		() => "ended",
	);
	const second = await client.domainOpenConsole(domain, null, 1);
	expect(await firstEnd).toBe("ended");
	second.abort();
	await client.domainOpenConsole(domain, null, 1).then((third) => third.abort());
}, 60_000);

test("a QEMU that hangs holds up nothing but itself", async () => {
	const client = await connect();
	const [stuck, fine] = [await define(client, "stuck"), await define(client, "fine")];
	await client.domainCreateWithFlags(stuck);
	await client.domainCreateWithFlags(fine);
	const pid = qemuPid("stuck");
	process.kill(pid, "SIGSTOP");
	try {
		const groups = statsGroups.state | statsGroups.balloon | statsGroups.block;
		const figures = (timeoutMs: number) =>
			client.connectGetAllDomainStats(groups, statsFlags.noWait, [], { timeoutMs });
		// The first one asks the hanging QEMU and waits; those after it see that somebody does, and leave it out.
		expect((await failureOf(figures(1_000))).code).toBe("timeout");
		const records = await figures(5_000);
		const byName = Object.fromEntries(records.map(({ domain, stats }) => [domain.name, Object.keys(stats)]));
		expect(byName.fine).toContain("block.count");
		expect(byName.stuck).toContain("state.state");
		expect((await client.domainGetState(stuck)).state).toBe("running");
		expect((await failureOf(client.domainSuspend(stuck, { timeoutMs: 500 }))).context.callWasSent).toBe(true);
		await client.domainSuspend(fine);
		expect((await client.domainGetState(fine)).state).toBe("paused");
	} finally {
		process.kill(pid, "SIGCONT");
	}
	await client.untilHeard(stuck.uuid, "suspended paused");
}, 60_000);

test("libvirtd killed: calls fail at once, it comes back, and so do the events", async () => {
	const client = await connect();
	const domain = await define(client, "killed");
	await client.domainCreateWithFlags(domain);
	await libvirtd.kill9();
	await waitUntil("the loss to be noticed", 5_000, () => client.state.state === "disconnected");
	const startedAt = performance.now();
	const refused = await failureOf(client.connectListAllDomains());
	expect([refused.code, performance.now() - startedAt < 100]).toEqual(["unavailable", true]);
	await libvirtd.restart();
	await waitUntil("the connection", 15_000, () => client.state.state === "connected");
	expect((await client.domainGetState(domain)).state).toBe("running");
	const alreadyHeard = client.heard(domain.uuid).length;
	await client.domainSuspend(domain);
	await waitUntil("an event", 5_000, () => client.heard(domain.uuid).length > alreadyHeard);
	expect(client.heard(domain.uuid).at(-1)).toBe("suspended paused");
	await client.connectGetAllDomainStats(statsGroups.state, statsFlags.noWait);
}, 60_000);

test("secrets", async () => {
	const client = await connect();
	const uuid = crypto.randomUUID();
	const xmlText = `<secret ephemeral="no" private="yes"><uuid>${uuid}</uuid><usage type="ceph"><name>ceph key</name></usage></secret>`;
	expect(await client.secretDefineXML(xmlText)).toEqual({ uuid, usageType: 2, usageId: "ceph key" });
	await client.secretSetValue({ uuid }, Buffer.from("secret"));
	expect((await client.connectListAllSecrets()).map((secret) => secret.uuid)).toEqual([uuid]);
	expect((await client.secretLookupByUuid(uuid)).usageId).toBe("ceph key");
	await client.secretUndefine({ uuid });
	expect((await failureOf(client.secretLookupByUuid(uuid))).code).toBe("not-found");
});

test("a thousand calls at once, and large definitions", async () => {
	const client = await connect();
	const names = await Promise.all(Array.from({ length: 1_000 }, () => client.connectGetHostname()));
	expect(new Set(names)).toEqual(new Set(["rpc"]));
	const uuid = crypto.randomUUID();
	const description = "d".repeat(1_000_000);
	made.push(uuid);
	await client.domainDefineXMLFlags(
		xml(uuid, "large").replace("<memory", `<description>${description}</description><memory`),
	);
	expect(await client.domainGetXMLDesc({ uuid })).toContain(description);
}, 60_000);
