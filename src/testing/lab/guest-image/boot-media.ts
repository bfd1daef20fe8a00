/**
 * Puts a kernel and an initial root on media that a BIOS and a UEFI firmware boot, without root rights or loop devices.
 *
 * Disk: MBR; partition 1 FAT with syslinux (BIOS) and systemd-boot as \EFI\BOOT\BOOTX64.EFI (UEFI), both loading the
 * same two files; partition 2 ext4, labelled lqx-data. ISO: El Torito with isolinux (BIOS) and a FAT image (UEFI).
 */
import { copyFile, mkdir, open, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../../lib/run.ts";
import { MiB } from "../../../lib/units.ts";
import { type Partition, sectorBytes, writeMbr } from "./partition-table.ts";

export type BootFiles = {
	/** Unpacked Debian packages: syslinux-common, isolinux, systemd-boot-efi. */
	packagesRoot: string;
	kernelPath: string;
	initramfsPath: string;
};

const commandLine =
	"console=tty0 console=ttyS0,115200 quiet loglevel=3 panic=10 no_timer_check memhp_default_state=online";
const limit = { timeoutMs: 60_000 };

const syslinuxConfig = `DEFAULT linux\nPROMPT 0\nTIMEOUT 0\nLABEL linux\n  LINUX /vmlinuz\n  INITRD /initrd\n  APPEND ${commandLine}\n`;
const loaderConfig = "timeout 0\ndefault limiquantix.conf\neditor no\n";
const loaderEntry = `title LimiQuantix demo guest\nlinux /vmlinuz\ninitrd /initrd\noptions ${commandLine}\n`;

const diskBytes = 36 * MiB;
const fatPartition: Partition = { type: 0xef, startSector: 2048, sectorCount: (27 * MiB) / sectorBytes, active: true };
const dataPartition: Partition = {
	type: 0x83,
	startSector: fatPartition.startSector + fatPartition.sectorCount,
	sectorCount: (7 * MiB) / sectorBytes,
	active: false,
};

/** Writes a raw disk image of 36 MiB to `diskPath`. `workDirectory` takes small files on the way. */
export async function buildDisk(files: BootFiles, workDirectory: string, diskPath: string): Promise<void> {
	const bootCode = await readFile(join(files.packagesRoot, "usr/lib/syslinux/mbr/mbr.bin"));
	await writeFile(diskPath, writeMbr(bootCode, 0x4c51_5801, [fatPartition, dataPartition]));
	await truncate(diskPath, diskBytes);
	await makeFat(files, workDirectory, diskPath, fatPartition.startSector, fatPartition.sectorCount * sectorBytes);
	const offsetBytes = String(fatPartition.startSector * sectorBytes);
	const config = join(workDirectory, "syslinux.cfg");
	await writeFile(config, syslinuxConfig);
	await run("mcopy", ["-i", `${diskPath}@@${offsetBytes}`, config, "::/syslinux.cfg"], limit);
	await run("syslinux", ["--offset", offsetBytes, "--install", diskPath], limit);

	const data = join(workDirectory, "data.ext4");
	await writeFile(data, "");
	await truncate(data, dataPartition.sectorCount * sectorBytes);
	await run("mke2fs", ["-q", "-F", "-t", "ext4", "-L", "lqx-data", "-m", "0", "-b", "1024", data], limit);
	await copyInto(diskPath, dataPartition.startSector * sectorBytes, await readFile(data));
}

/** Writes a bootable ISO to `isoPath`; it has no data partition, so nothing is kept. */
export async function buildIso(files: BootFiles, workDirectory: string, isoPath: string): Promise<void> {
	const tree = join(workDirectory, "iso");
	await mkdir(join(tree, "isolinux"), { recursive: true });
	await copyFile(files.kernelPath, join(tree, "vmlinuz"));
	await copyFile(files.initramfsPath, join(tree, "initrd"));
	await copyFile(join(files.packagesRoot, "usr/lib/ISOLINUX/isolinux.bin"), join(tree, "isolinux/isolinux.bin"));
	const ldlinux = join(files.packagesRoot, "usr/lib/syslinux/modules/bios/ldlinux.c32");
	await copyFile(ldlinux, join(tree, "isolinux/ldlinux.c32"));
	await writeFile(join(tree, "isolinux/isolinux.cfg"), syslinuxConfig);
	const fatBytes = 20 * MiB;
	await writeFile(join(tree, "efi.img"), "");
	await truncate(join(tree, "efi.img"), fatBytes);
	await makeFat(files, workDirectory, join(tree, "efi.img"), 0, fatBytes);
	const bios = ["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat"];
	const noEmulation = ["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"];
	const uefi = ["-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot"];
	const names = ["-V", "LQX-GUEST", "-r", "-J"];
	await run(
		"xorriso",
		["-as", "mkisofs", "-quiet", ...names, ...bios, ...noEmulation, ...uefi, "-o", isoPath, tree],
		limit,
	);
}

/** A FAT16 file system inside `imagePath` with the kernel, the initial root and the UEFI loader. */
async function makeFat(
	files: BootFiles,
	workDirectory: string,
	imagePath: string,
	startSector: number,
	sizeBytes: number,
): Promise<void> {
	const geometry = ["--offset", String(startSector), "-h", String(startSector), "-F", "16", "-s", "4"];
	await run("mkfs.vfat", [...geometry, "-n", "LQX-BOOT", "-i", "4C515801", imagePath, String(sizeBytes / 1024)], limit);
	const image = `${imagePath}@@${startSector * sectorBytes}`;
	await writeFile(join(workDirectory, "loader.conf"), loaderConfig);
	await writeFile(join(workDirectory, "limiquantix.conf"), loaderEntry);
	const folders = ["::/EFI", "::/EFI/BOOT", "::/loader", "::/loader/entries"];
	await run("mmd", ["-i", image, ...folders], limit);
	const loader = join(files.packagesRoot, "usr/lib/systemd/boot/efi/systemd-bootx64.efi");
	const copies: [string, string][] = [
		[files.kernelPath, "::/vmlinuz"],
		[files.initramfsPath, "::/initrd"],
		[loader, "::/EFI/BOOT/BOOTX64.EFI"],
		[join(workDirectory, "loader.conf"), "::/loader/loader.conf"],
		[join(workDirectory, "limiquantix.conf"), "::/loader/entries/limiquantix.conf"],
	];
	for (const [from, to] of copies) await run("mcopy", ["-i", image, from, to], limit);
}

/** Copies the blocks of `data` that are not all zero, so that the image stays sparse. */
async function copyInto(imagePath: string, offsetBytes: number, data: Uint8Array): Promise<void> {
	const blockBytes = 4096;
	const handle = await open(imagePath, "r+");
	try {
		for (let at = 0; at < data.length; at += blockBytes) {
			const block = data.subarray(at, at + blockBytes);
			if (block.some((byte) => byte !== 0)) await handle.write(block, 0, block.length, offsetBytes + at);
		}
	} finally {
		await handle.close();
	}
}
