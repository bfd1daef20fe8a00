/**
 * libvirtd and QEMU in the storage lab VM boot guests: emulated by something emulated, which for a small Linux takes minutes, and
 * seconds for the probe.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { createLibvirtClient, type LibvirtClient } from "../../../../hypervisor/libvirt/rpc/client.ts";
import { systemClock } from "../../../../lib/clock.ts";
import { silentLogger } from "../../../../lib/log.ts";
import { systemRandom } from "../../../../lib/random.ts";
import { run } from "../../../../lib/run.ts";
import { guestReadyLine } from "../../guest-image.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../../libvirtd.ts";
import { readProbe } from "../../probe-guest/probe-guest.ts";
import { waitUntil } from "../../wait-until.ts";

const startLimitMs = 180_000;
const bootLimitMs = 900_000;

let libvirtd: PrivateLibvirtd;
let client: LibvirtClient;
beforeAll(async () => {
	libvirtd = await startLibvirtd({ name: "nested", keepCapabilityCache: false });
	client = createLibvirtClient({ uri: libvirtd.uri, clock: systemClock, random: systemRandom, logger: silentLogger });
}, startLimitMs);
afterAll(async () => {
	await client.close();
	await libvirtd.stop();
}, startLimitMs);

/** Starts one on a disk of its own, made of a file of /repo/files; what it says on its serial port. */
async function start(name: string, file: string, format: string): Promise<() => Promise<string>> {
	const [disk, serial, uuid] = [`/data/${name}.qcow2`, `/data/${name}.serial`, crypto.randomUUID()];
	const backing = ["-b", `/repo/files/${file}`, "-F", format];
	await run("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, "--", disk], { timeoutMs: 30_000 });
	await client.domainDefineXMLFlags(`<domain type="qemu"><name>${name}</name><uuid>${uuid}</uuid>
		<memory unit="MiB">192</memory><vcpu>1</vcpu>
		<os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/></features>
		<devices>
			<disk type="file" device="disk">
				<driver name="qemu" type="qcow2"/><source file="${disk}"/><target dev="vda" bus="virtio"/>
			</disk>
			<serial type="file"><source path="${serial}"/></serial>
		</devices></domain>`);
	await client.domainCreateWithFlags({ uuid });
	return () => readFile(serial, "latin1").catch(() => "");
}

test(
	"the probe boots and uses its disk",
	async () => {
		const serial = await start("probe", "probe.raw", "raw");
		const wrote = async () => (readProbe(await serial()).wrote ?? 0) >= 3;
		await waitUntil("the probe to write", startLimitMs, wrote, { everyMs: 200 });
		expect(readProbe(await serial())).toMatchObject({ found: 0, failures: 0 });
	},
	startLimitMs + 60_000,
);

test.skipIf(process.env.LAB_WHOLE_GUEST === undefined)(
	"the small Linux boots (takes minutes: only in the long test)",
	async () => {
		const serial = await start("linux", "guest.qcow2", "qcow2");
		const ready = async () => (await serial()).includes(guestReadyLine);
		await waitUntil(guestReadyLine, bootLimitMs, ready, { everyMs: 500 });
		expect(await serial()).toContain("LIMIQUANTIX-GUEST block vda");
	},
	bootLimitMs + 60_000,
);
