/**
 * The small guest that tests boot and that the demo shows: Debian's cloud kernel and busybox on a disk of 36 MiB that
 * starts with BIOS and with UEFI (without Secure Boot) in seconds, also under emulation.
 *
 * At boot it prints lines `LIMIQUANTIX-GUEST NAME VALUE…` on its first serial port and ends with
 * `LIMIQUANTIX-GUEST READY`; then it goes on saying what happens (`address eth0 10.0.2.15/24`, `add block vdb SIZE`,
 * `power-button pressed`, `STOPPING`). Shells without a password are on the serial port and on the screen. What the
 * guest does is in `guest-image/files/`.
 *
 * Callers treat the built files as read-only (make an overlay or a copy) and keep them in a git-ignored folder. Host
 * programs: apt-get, dpkg, mtools, mkfs.vfat, syslinux, mke2fs, qemu-img, xorriso.
 */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { removeUnused } from "./cached-folder.ts";
import { type BootFiles, buildDisk, buildIso } from "./guest-image/boot-media.ts";
import { buildInitramfs } from "./guest-image/initramfs.ts";
import { publish, unpackedPackages } from "./guest-image/packages.ts";

/** What the guest prints on its serial port when it is up; the same words are on its screen. */
export const guestReadyLine = "LIMIQUANTIX-GUEST READY";

export type GuestImage = {
	/** The disk, sparse qcow2. */
	qcow2Path: string;
	/** The same disk, sparse raw. */
	rawPath: string;
	/** The guest on a bootable CD-ROM, without a disk to keep things on. */
	isoPath: string;
	/** SHA-256 of the qcow2 file, hexadecimal. */
	sha256: string;
};

const packages = ["busybox-static", "isolinux", "syslinux-common", "systemd-boot-efi"];
const kernelPackage = "linux-image-cloud-amd64";

/**
 * Builds the guest, or finds it in the cache under a key made of its sources and package versions. Several processes
 * may call it at once. Fails with `unavailable` when a host program or the Debian packages cannot be had.
 */
export async function buildGuestImage(options: { cacheDir: string }): Promise<GuestImage> {
	const cache = join(options.cacheDir, "guest-image");
	const { root, files } = await unpackedPackages(cache, packages, [kernelPackage]);
	const final = join(cache, await keyOf(files));
	const known = await describe(final).catch(() => undefined);
	if (known) {
		await utimes(final, new Date(), new Date());
		return known;
	}

	await mkdir(cache, { recursive: true });
	const work = await mkdtemp(join(cache, "build-"));
	try {
		const out = join(work, "out");
		await mkdir(out);
		await build(root, work, out);
		await publish(out, final);
	} finally {
		await rm(work, { recursive: true, force: true });
	}
	await removeUnused(cache, keptUnusedMs, /^([0-9a-f]{24}|build-.*|packages-.*)$/);
	return describe(final);
}

const keptUnusedMs = 7 * 24 * 3600 * 1000;

async function build(root: string, work: string, out: string): Promise<void> {
	const boot = await readdir(join(root, "boot"));
	const kernel = present(
		boot.find((name) => name.startsWith("vmlinuz-")),
		"the kernel of the guest",
	);
	const initramfsPath = join(work, "initrd");
	await writeFile(initramfsPath, await buildInitramfs(root, kernel.slice("vmlinuz-".length)));
	const files: BootFiles = { packagesRoot: root, kernelPath: join(root, "boot", kernel), initramfsPath };

	const raw = join(out, "guest.raw");
	const qcow2 = join(out, "guest.qcow2");
	await buildDisk(files, work, raw);
	await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw, qcow2], { timeoutMs: 60_000 });
	await buildIso(files, work, join(out, "guest.iso"));
	await writeFile(join(out, "sha256"), new Bun.CryptoHasher("sha256").update(await readFile(qcow2)).digest("hex"));
	for (const name of await readdir(out)) await chmod(join(out, name), 0o444);
}

async function describe(directory: string): Promise<GuestImage> {
	return {
		qcow2Path: join(directory, "guest.qcow2"),
		rawPath: join(directory, "guest.raw"),
		isoPath: join(directory, "guest.iso"),
		sha256: (await readFile(join(directory, "sha256"), "utf8")).trim(),
	};
}

/** Hash of everything that decides what the image is: the builder's sources, the guest's scripts, the package versions. */
async function keyOf(packageFiles: readonly string[]): Promise<string> {
	const hasher = new Bun.CryptoHasher("sha256");
	hasher.update(packageFiles.join("\n"));
	const directory = join(import.meta.dir, "guest-image");
	const sources = (await readdir(directory, { recursive: true, withFileTypes: true }))
		.filter((entry) => entry.isFile() && !entry.name.endsWith(".test.ts"))
		.map((entry) => join(entry.parentPath, entry.name))
		.sort();
	for (const source of [import.meta.path, ...sources]) {
		hasher.update(`\n${source.slice(import.meta.dir.length)}\n`);
		hasher.update(await readFile(source));
	}
	return hasher.digest("hex").slice(0, 24);
}
