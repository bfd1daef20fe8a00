/** Boots the guest with plain QEMU, emulated, and looks at it the way a person would. */
import { beforeAll, expect, test } from "bun:test";
import { copyFile, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { buildGuestImage, type GuestImage, guestReadyLine } from "./guest-image.ts";
import { type QemuOptions, type QemuProcess, startQemu } from "./qemu-process.ts";
import type { Screenshot } from "./screenshot.ts";
import { VncClient } from "./vnc-client.ts";

const cacheDir = join(import.meta.dir, "../../../.cache");
/** Pictures that a person may want to look at. */
const pictures = join(cacheDir, "guest-image/screens");
const bootLimitMs = 90_000;
const testLimitMs = 150_000;

let image: GuestImage;
beforeAll(async () => {
	image = await buildGuestImage({ cacheDir });
	await mkdir(pictures, { recursive: true });
}, 300_000);

const boot = async (options: QemuOptions): Promise<QemuProcess> => {
	const guest = await startQemu(options);
	await guest.serial.waitFor(guestReadyLine, bootLimitMs);
	return guest;
};

/** The welcome page: the header's blue, the labels' grey, the commands' cyan, and enough of it to be text. */
const showsWelcome = (screen: Screenshot): boolean => {
	const isBlue = screen.pixel(2, 2) === 0x0000aa || screen.pixel(2, 2) === 0x0000a8;
	return isBlue && screen.countDistinctColours() >= 5;
};

test("the image is small, and found again in the cache", async () => {
	expect((await stat(image.qcow2Path)).size).toBeLessThan(40 * MiB);
	expect((await stat(image.rawPath)).size).toBeLessThan(40 * MiB);
	expect((await stat(image.isoPath)).size).toBeLessThan(40 * MiB);
	await run("qemu-img", ["check", "-q", "-f", "qcow2", image.qcow2Path], { timeoutMs: 10_000 });
	const before = (await stat(image.qcow2Path)).mtimeMs;
	expect(await buildGuestImage({ cacheDir })).toEqual(image);
	expect((await stat(image.qcow2Path)).mtimeMs).toBe(before);
});

for (const firmware of ["bios", "uefi"] as const)
	test(
		`${firmware}: boots, shows the welcome, echoes typed keys, and obeys the power button`,
		async () => {
			await using guest = await boot({ diskQcow2: image.qcow2Path, firmware, network: true, cpus: 2, memoryMib: 256 });
			for (const fact of [`firmware ${firmware}`, "hostname demo", "boot-count 1", "cpus 2", `block vda ${36 * MiB}`])
				expect(guest.serial.text).toContain(`LIMIQUANTIX-GUEST ${fact}\r\n`);
			const memory = await guest.serial.waitFor(/GUEST memory-kib (\d+)/, 1000);
			expect(Number(memory[1])).toBeWithin(180_000, 262_144);
			await guest.serial.waitFor("LIMIQUANTIX-GUEST address eth0 10.0.2.15/24", 20_000);

			const vnc = await VncClient.connect({ unixPath: guest.vncSocketPath });
			const screen = await vnc.waitForScreen(showsWelcome, 10_000);
			expect(screen.width).toBe(firmware === "bios" ? 720 : 1280);
			await screen.writePng(join(pictures, `${firmware}-welcome.png`));
			await vnc.typeText("echo Typed-$((6*7)) > /dev/ttyS0\n");
			await guest.serial.waitFor("Typed-42", 10_000);
			const typed = await vnc.screenshot();
			await typed.writePng(join(pictures, `${firmware}-typed.png`));
			expect(typed.differsFrom(screen, 500)).toBe(true);
			await vnc.close();

			await guest.qmp.command("system_powerdown");
			await guest.exited;
			expect(guest.serial.text).toContain("LIMIQUANTIX-GUEST power-button pressed");
			expect(guest.serial.text).toContain("LIMIQUANTIX-GUEST STOPPING");
		},
		testLimitMs,
	);

test(
	"the disk keeps its boot counter and files when the power is cut, and a guest can be deaf to its power button",
	async () => {
		const directory = await mkdtemp(join(tmpdir(), "lqx-guest-"));
		try {
			const disk = join(directory, "disk.qcow2");
			await copyFile(image.qcow2Path, disk);
			{
				await using guest = await boot({ writableQcow2: disk });
				guest.typeSerial("echo kept > /data/note; sync; touch /run/ignore-power-button; echo don''e\n");
				await guest.serial.waitFor(/^done\r?$/m, 10_000);
				await guest.qmp.command("system_powerdown");
				await guest.serial.waitFor("power-button pressed", 10_000);
				guest.typeSerial("cat /proc/uptime > /dev/null; echo still-''here\n");
				await guest.serial.waitFor(/^still-here\r?$/m, 10_000);
			}
			await using again = await boot({ writableQcow2: disk });
			expect(again.serial.text).toContain("LIMIQUANTIX-GUEST boot-count 2\r\n");
			again.typeSerial("cat /data/note\n");
			await again.serial.waitFor(/^kept\r?$/m, 10_000);
		} finally {
			await rm(directory, { recursive: true, force: true });
		}
	},
	testLimitMs,
);

test(
	"a NoCloud seed gives the host name, and devices that come and go are announced",
	async () => {
		const directory = await mkdtemp(join(tmpdir(), "lqx-guest-"));
		try {
			const seed = join(directory, "seed.iso");
			await mkdir(join(directory, "seed"));
			await writeFile(join(directory, "seed/meta-data"), "instance-id: iid-7f3a\nlocal-hostname: web-1\n");
			await writeFile(join(directory, "seed/user-data"), "#cloud-config\n{}\n");
			const args = ["-as", "mkisofs", "-quiet", "-V", "cidata", "-r", "-J", "-o", seed, join(directory, "seed")];
			await run("xorriso", args, { timeoutMs: 10_000 });
			const cdrom = ["-blockdev", `driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=${seed}`];
			const bus = ["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=seed", "-device", "pcie-root-port,id=spare"];
			const cpus = ["-smp", "1,maxcpus=2"];
			await using guest = await boot({ diskQcow2: image.qcow2Path, extraArgs: [...cdrom, ...bus, ...cpus] });
			expect(guest.serial.text).toContain("LIMIQUANTIX-GUEST hostname web-1\r\n");
			expect(guest.serial.text).toContain("LIMIQUANTIX-GUEST instance-id iid-7f3a\r\n");
			expect(guest.serial.text).toContain("LIMIQUANTIX-GUEST cpus 1\r\n");

			await guest.qmp.command("blockdev-add", { driver: "null-co", "node-name": "more", size: 5 * MiB });
			await guest.qmp.command("device_add", { driver: "virtio-blk-pci", id: "more", drive: "more", bus: "spare" });
			await guest.serial.waitFor(`add block vdb ${5 * MiB}`, 20_000);
			const gone = guest.qmp.nextEvent("DEVICE_DELETED", 30_000);
			await guest.qmp.command("device_del", { id: "more" });
			await guest.serial.waitFor("remove block vdb", 20_000);
			await gone;

			const slots = (await guest.qmp.command("query-hotpluggable-cpus")) as { props: object; "qom-path"?: string }[];
			const free = slots.find((slot) => slot["qom-path"] === undefined);
			await guest.qmp.command("device_add", { driver: "qemu64-x86_64-cpu", id: "cpu1", ...free?.props });
			await guest.serial.waitFor("add cpu cpu1 2", 20_000);
		} finally {
			await rm(directory, { recursive: true, force: true });
		}
	},
	testLimitMs,
);

for (const firmware of ["bios", "uefi"] as const)
	test(
		`${firmware}: the CD-ROM boots too`,
		async () => {
			const cdrom = [
				"-blockdev",
				`driver=raw,node-name=cd,read-only=on,file.driver=file,file.filename=${image.isoPath}`,
			];
			const device = ["-device", "ide-cd,drive=cd,bootindex=0"];
			await using guest = await boot({ firmware, extraArgs: [...cdrom, ...device] });
			expect(guest.serial.text).toContain(`LIMIQUANTIX-GUEST firmware ${firmware}`);
			expect(guest.serial.text).not.toContain("boot-count");
		},
		testLimitMs,
	);
