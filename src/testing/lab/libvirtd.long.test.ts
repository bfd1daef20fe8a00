/** The private libvirtd itself: what the tests that use it rely on. Needs root. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createLibvirtClient, type LibvirtClient } from "../../hypervisor/libvirt/rpc/client.ts";
import { statsGroups } from "../../hypervisor/libvirt/rpc/flags.ts";
import { present } from "../../lib/assert.ts";
import { systemClock } from "../../lib/clock.ts";
import { isAppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import { buildGuestImage, guestReadyLine } from "./guest-image.ts";
import { type LibvirtdOptions, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { waitUntil } from "./wait-until.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
	for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(name: string, options: Partial<LibvirtdOptions> = {}): Promise<PrivateLibvirtd> {
	const libvirtd = await startLibvirtd({ name, ...options });
	cleanups.push(() => libvirtd.stop());
	return libvirtd;
}

function connect(libvirtd: PrivateLibvirtd): LibvirtClient {
	const client = createLibvirtClient({
		uri: libvirtd.uri,
		clock: systemClock,
		random: systemRandom,
		logger: silentLogger,
	});
	cleanups.push(() => client.close());
	return client;
}

const natNetwork = `<network><name>nat</name><forward mode="nat"/><bridge name="virbr0"/>
	<ip address="192.168.122.1" netmask="255.255.255.0"><dhcp><range start="192.168.122.2" end="192.168.122.9"/></dhcp></ip>
</network>`;

/** A domain that starts and does nothing, or boots `disk`. */
const domainXml = (uuid: string, name: string, devices = "") => `<domain type="qemu"><name>${name}</name>
	<uuid>${uuid}</uuid><memory unit="MiB">256</memory><vcpu>1</vcpu>
	<os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/></features>
	<devices>${devices}</devices></domain>`;

const processesWith = (text: string): string[] =>
	readdirSync("/proc").filter((pid) => {
		if (!/^\d+$/.test(pid)) return false;
		try {
			return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
		} catch {
			return false;
		}
	});

test("stop ends everything that was started, and leaves nothing on the machine", async () => {
	const bridges = () => readdirSync("/sys/class/net").filter((name) => name.startsWith("virbr"));
	const bridgesBefore = bridges();
	const libvirtd = await start("ends");
	const client = connect(libvirtd);
	const uuid = crypto.randomUUID();
	await client.domainDefineXMLFlags(domainXml(uuid, "ends"));
	await client.domainCreateWithFlags({ uuid });
	const network = await client.networkDefineXML(natNetwork);
	await client.networkCreate(network);
	const inside = libvirtd.namespace.processIds();
	const commands = inside.map((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").trim());
	expect([...new Set(commands)].sort()).toEqual(["dnsmasq", "libvirtd", "qemu-system-x86", "virtlogd"]);
	expect(existsSync(join(libvirtd.folder, "lib/dnsmasq/nat.conf"))).toBe(true);
	await client.close();
	await libvirtd.stop();
	await libvirtd.stop();
	expect(inside.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
	expect(processesWith(libvirtd.folder)).toEqual([]);
	expect(existsSync(libvirtd.folder)).toBe(false);
	expect(readFileSync("/proc/mounts", "utf8")).not.toContain(libvirtd.folder);
	expect(bridges()).toEqual(bridgesBefore);
});

test("when the process that started it is killed, everything goes with it", async () => {
	const script = `
		const { startLibvirtd } = await import("${join(import.meta.dir, "libvirtd.ts")}");
		const libvirtd = await startLibvirtd({ name: "orphan" });
		console.log(JSON.stringify([libvirtd.folder, libvirtd.namespace.initPid, ...libvirtd.namespace.processIds()]));
		await new Promise(() => setInterval(() => {}, 1000));`;
	let started: [string, ...number[]] | undefined;
	let pid = 0;
	const running = run(process.execPath, ["-e", script], {
		timeoutMs: 60_000,
		onStart: (processId) => {
			pid = processId;
		},
		onStdoutLine: (line) => {
			started = JSON.parse(line);
		},
	}).catch(() => {});
	const [folder, ...inside] = await waitUntil("the private libvirtd", 30_000, () => started);
	cleanups.push(() => rm(folder, { recursive: true, force: true }));
	expect(inside.length).toBeGreaterThanOrEqual(3);
	process.kill(pid, "SIGKILL");
	await running;
	await waitUntil("all to be gone", 5_000, () => inside.every((one) => !existsSync(`/proc/${one}`)));
}, 60_000);

test("a network that is not there: nothing is started, nothing is left", async () => {
	const folders = () => readdirSync("/tmp").filter((name) => name.startsWith("lqx-nowhere-"));
	const failure = await startLibvirtd({ name: "nowhere", network: { netns: "lqx-none" } }).catch((e: unknown) => e);
	expect(isAppError(failure, "unavailable")).toBe(true);
	expect(folders()).toEqual([]);
});

test("what a killed libvirtd noted of its open consoles is not seen by another instance", async () => {
	const first = await start("notes-a");
	const second = await start("notes-b");
	const outside = readdirSync("/run/lock").sort();
	await first.runInNamespace("touch", ["/run/lock/LCK.._pts_0"]);
	expect((await second.runInNamespace("ls", ["/run/lock"])).stdout).toBe("");
	expect(readdirSync("/run/lock").sort()).toEqual(outside);
});

test("/dev/kvm is hidden inside and untouched outside, and so libvirt answers quickly", async () => {
	const outside = existsSync("/dev/kvm");
	const libvirtd = await start("kvm");
	const { stdout } = await libvirtd.runInNamespace("ls", ["/dev"]);
	expect(stdout.split("\n")).not.toContain("kvm");
	expect(stdout.split("\n")).toContain("null");
	expect(existsSync("/dev/kvm")).toBe(outside);
	const client = connect(libvirtd);
	expect((await client.connectGetCapabilities()).includes("<domain type='kvm'")).toBe(false);
	const startedAt = performance.now();
	for (let i = 0; i < 5; i++) await client.connectGetVersion();
	// With a /dev/kvm that it cannot use, libvirt probes QEMU again at each of these: 0.4 to 4 s.
	expect((performance.now() - startedAt) / 5).toBeLessThan(200);
});

test("two at once keep apart: names, networks, hosts", async () => {
	const both = await Promise.all([start("one"), start("two")]);
	const clients = both.map(connect);
	const uuid = crypto.randomUUID();
	await Promise.all(
		clients.map(async (client) => {
			await client.domainDefineXMLFlags(domainXml(uuid, "same"));
			await client.domainCreateWithFlags({ uuid });
			await client.networkCreate(await client.networkDefineXML(natNetwork));
		}),
	);
	const [one, two] = clients.map((client) => present(client, "client"));
	expect(await Promise.all(clients.map((client) => client.connectGetHostname()))).toEqual(["one", "two"]);
	const hosts = await Promise.all(clients.map((client) => client.connectGetCapabilities()));
	const hostUuids = hosts.map((xml) => /<uuid>(.*?)<\/uuid>/.exec(xml)?.[1]);
	expect(new Set(hostUuids).size).toBe(2);
	await one?.domainDestroyFlags({ uuid });
	expect(await one?.domainGetState({ uuid })).toEqual({ state: "shutoff", reason: "destroyed" });
	expect(await two?.domainGetState({ uuid })).toEqual({ state: "running", reason: "booted" });
	expect((await two?.connectGetAllDomainStats(statsGroups.cpuTotal, 0))?.[0]?.stats["cpu.time"]).toBeGreaterThan(0);
}, 60_000);

test("killed and restarted, it finds its guests again; what kill -9 leaves is known as not running", async () => {
	const libvirtd = await start("again");
	const client = connect(libvirtd);
	const uuid = crypto.randomUUID();
	await client.domainDefineXMLFlags(domainXml(uuid, "again"));
	await client.domainCreateWithFlags({ uuid });
	const before = libvirtd.pid();
	await libvirtd.kill9();
	expect(() => libvirtd.pid()).toThrow();
	expect(existsSync(`/proc/${before}`)).toBe(false);
	await libvirtd.restart();
	expect(libvirtd.pid()).not.toBe(before);
	await waitUntil("the client to be back", 10_000, () => client.state.state === "connected");
	expect((await client.domainGetState({ uuid })).state).toBe("running");
	await libvirtd.restart();
	await waitUntil("the client to be back", 10_000, () => client.state.state === "connected");
	expect((await client.domainGetState({ uuid })).state).toBe("running");
}, 60_000);

test("a folder of the caller's keeps definitions, and cannot be used twice at once", async () => {
	const { stdout } = await run("mktemp", ["--directory", "/tmp/lqx-kept-XXXXXX"], { timeoutMs: 5_000 });
	const folder = stdout.trim();
	cleanups.push(() => run("rm", ["--recursive", "--", folder], { timeoutMs: 5_000 }));
	const uuid = crypto.randomUUID();
	const first = await start("kept", { folder });
	const client = connect(first);
	await client.domainDefineXMLFlags(domainXml(uuid, "kept"));
	await client.domainCreateWithFlags({ uuid });
	const second = await startLibvirtd({ name: "kept", folder }).catch((error: unknown) => error);
	expect(isAppError(second, "in-use")).toBe(true);
	await client.close();
	await first.stop();
	const again = connect(await start("kept", { folder }));
	expect(await again.domainGetState({ uuid })).toMatchObject({ state: "shutoff" });
}, 60_000);

test("in a network namespace of the caller's it leaves no bridge behind", async () => {
	const netns = `lqx-test-${process.pid}`;
	await run("ip", ["netns", "add", netns], { timeoutMs: 5_000 });
	cleanups.push(() => run("ip", ["netns", "delete", netns], { timeoutMs: 5_000 }));
	const links = async () => (await run("ip", ["-netns", netns, "-brief", "link"], { timeoutMs: 5_000 })).stdout;
	const libvirtd = await start("netns", { network: { netns } });
	const client = connect(libvirtd);
	await client.networkCreate(await client.networkDefineXML(natNetwork));
	expect(await links()).toContain("virbr0");
	const own = readlinkSync(`/proc/${libvirtd.namespace.initPid}/ns/net`);
	expect(readlinkSync(`/proc/${libvirtd.pid()}/ns/net`)).toBe(own);
	expect(own).not.toBe(readlinkSync("/proc/self/ns/net"));
	await client.close();
	await libvirtd.stop();
	expect(await links()).not.toContain("virbr0");
}, 60_000);

test("a guest on a NAT network gets an address that libvirt knows, and reaches what is outside as the host", async () => {
	const image = await buildGuestImage({ cacheDir: join(import.meta.dir, "../../../.cache") });
	const libvirtd = await start("nat");
	const client = connect(libvirtd);
	const network = await client.networkDefineXML(natNetwork);
	await client.networkCreate(network);

	// "Outside" is a network namespace of its own, joined to the host's by a wire.
	const netns = `lqx-out-${process.pid}`;
	const short = { timeoutMs: 10_000 };
	await run("ip", ["netns", "add", netns], short);
	cleanups.push(() => run("ip", ["netns", "delete", netns], short));
	const inside = ["netns", String(libvirtd.namespace.initPid)];
	await run("ip", ["-netns", netns, "link", "add", "wire0", "type", "veth", "peer", "name", "wire1", ...inside], short);
	await run("ip", ["-netns", netns, "address", "add", "10.77.0.2/24", "dev", "wire0"], short);
	await run("ip", ["-netns", netns, "link", "set", "wire0", "up"], short);
	await libvirtd.runInNamespace("ip", ["address", "add", "10.77.0.1/24", "dev", "wire1"]);
	await libvirtd.runInNamespace("ip", ["link", "set", "wire1", "up"]);

	const uuid = crypto.randomUUID();
	const disk = join(libvirtd.folder, "guest.qcow2");
	await run("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image.qcow2Path, disk], short);
	const devices = `<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="${disk}"/>
			<target dev="vda" bus="virtio"/></disk>
		<interface type="network"><mac address="52:54:00:00:00:01"/><source network="nat"/><model type="virtio"/></interface>
		<serial type="pty"/>`;
	await client.domainDefineXMLFlags(domainXml(uuid, "guest", devices));
	await client.domainCreateWithFlags({ uuid });
	const serial = await client.domainOpenConsole({ uuid }, null, 0);
	let screen = "";
	const reading = (async () => {
		const decoder = new TextDecoder();
		for await (const bytes of serial.readable) screen += decoder.decode(bytes, { stream: true });
	})().catch(() => {});
	await waitUntil("the guest to boot", 90_000, () => screen.includes(guestReadyLine));
	const leases = await waitUntil("a lease", 30_000, async () => {
		const found = await client.networkGetDHCPLeases(network);
		return found.length > 0 ? found : undefined;
	});
	expect(leases[0]).toMatchObject({ mac: "52:54:00:00:00:01", family: "ipv4", prefix: 24 });
	const address = present(leases[0], "lease").address;
	expect(address).toStartWith("192.168.122.");
	const interfaces = await client.domainInterfaceAddresses({ uuid }, 0);
	expect(interfaces[0]?.addresses[0]).toEqual({ family: "ipv4", address, prefix: 24 });
	await waitUntil("the address in the guest", 30_000, () => screen.includes(`address eth0 ${address}/24`));

	// A web server outside writes down who it is that calls.
	const pages = await mkdtemp("/tmp/lqx-pages-");
	cleanups.push(() => rm(pages, { recursive: true }));
	await Bun.write(join(pages, "index.html"), "WELCOME-OUTSIDE");
	const control = new AbortController();
	const server = ["busybox", "httpd", "-f", "-vv", "-p", "10.77.0.2:8080", "-h", pages];
	const serving = run("ip", ["netns", "exec", netns, ...server], { timeoutMs: 120_000, signal: control.signal }).then(
		() => "",
		(error: unknown) => (isAppError(error, "canceled") ? String(error.context.stderr) : String(error)),
	);
	await waitUntil("the server", 10_000, async () =>
		(await run("ip", ["netns", "exec", netns, "ss", "-ltn"], short)).stdout.includes(":8080"),
	);
	await serial.write(Buffer.from("\nwget -qO- http://10.77.0.2:8080/\n"));
	await waitUntil("the page in the guest", 30_000, () => screen.includes("WELCOME-OUTSIDE"));
	control.abort();
	const callers = await serving;
	expect(callers).toContain("10.77.0.1");
	expect(callers).not.toContain(address);
	serial.abort();
	await reading;
}, 240_000);
