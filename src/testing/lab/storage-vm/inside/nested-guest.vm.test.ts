/** libvirtd and QEMU in the storage lab VM boot the small guest: emulated by something emulated, which takes its time. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { createLibvirtClient, type LibvirtClient } from "../../../../hypervisor/libvirt/rpc/client.ts";
import { systemClock } from "../../../../lib/clock.ts";
import { silentLogger } from "../../../../lib/log.ts";
import { systemRandom } from "../../../../lib/random.ts";
import { run } from "../../../../lib/run.ts";
import { guestReadyLine } from "../../guest-image.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../../libvirtd.ts";
import { waitUntil } from "../../wait-until.ts";

const startLimitMs = 120_000;
const bootLimitMs = 540_000;
const uuid = "0b6f3a52-91de-4c07-b8a4-2e7d5f1c9036";
const disk = "/data/nested.qcow2";
const serial = "/data/nested.serial";

let libvirtd: PrivateLibvirtd;
let client: LibvirtClient;
beforeAll(async () => {
	const backing = ["-b", "/repo/files/guest.qcow2", "-F", "qcow2"];
	await run("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, "--", disk], { timeoutMs: 30_000 });
	libvirtd = await startLibvirtd({ name: "nested", keepCapabilityCache: false });
	client = createLibvirtClient({ uri: libvirtd.uri, clock: systemClock, random: systemRandom, logger: silentLogger });
}, startLimitMs);
afterAll(async () => {
	await client.close();
	await libvirtd.stop();
}, startLimitMs);

const domain = `<domain type="qemu"><name>nested</name><uuid>${uuid}</uuid>
	<memory unit="MiB">192</memory><vcpu>1</vcpu>
	<os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/></features>
	<devices>
		<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="${disk}"/><target dev="vda" bus="virtio"/></disk>
		<serial type="file"><source path="${serial}"/></serial>
	</devices></domain>`;

test(
	"boots",
	async () => {
		await client.domainDefineXMLFlags(domain);
		await client.domainCreateWithFlags({ uuid });
		const text = () => readFile(serial, "latin1").catch(() => "");
		await waitUntil(guestReadyLine, bootLimitMs, async () => (await text()).includes(guestReadyLine), {
			everyMs: 500,
		});
		expect(await text()).toContain("LIMIQUANTIX-GUEST block vda");
	},
	bootLimitMs + startLimitMs,
);
