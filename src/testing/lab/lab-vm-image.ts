/**
 * What the lab VM (lab-vm.ts) boots from: Debian's cloud kernel with busybox in an initial root, a read-only disk with the
 * built executable and the C library that it is linked against, and an empty ext4 file system to keep state on.
 *
 * Kept in a git-ignored cache under keys made of what they are made of; callers treat them as read-only. Host programs:
 * apt-get, dpkg, mke2fs, ldd.
 */
import { copyFile, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { assert, present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { cachedFolder, removeUnused } from "./cached-folder.ts";
import { type CpioEntry, writeCpio } from "./guest-image/cpio.ts";
import { modulesInLoadOrder } from "./guest-image/kernel-modules.ts";
import { unpackedPackages } from "./guest-image/packages.ts";

export type LabVmImage = {
	kernelPath: string;
	initramfsPath: string;
	/** ext4, raw: /limiquantix and /lib. */
	productDiskPath: string;
	/** ext4, raw, sparse, empty. */
	emptyDiskPath: string;
};

const wantedModules = ["virtio_pci", "virtio_blk", "virtio_net", "virtio_rng"];
const initPath = join(import.meta.dir, "lab-vm/init");
const emptyDiskBytes = 512 * MiB;
const keptUnusedMs = 6 * 3600 * 1000;
const makeLimitMs = 120_000;

/** Builds what is missing. Fails with `unavailable` when a host program or the Debian packages cannot be had. */
export async function buildLabVmImage(options: { cacheDir: string; executable: string }): Promise<LabVmImage> {
	const cache = join(options.cacheDir, "lab-vm");
	const { root, files } = await unpackedPackages(cache, ["busybox-static"], ["linux-image-cloud-amd64"]);
	const kernel = present(
		(await readdir(join(root, "boot"))).find((name) => name.startsWith("vmlinuz-")),
		"the kernel of the lab VM",
	);
	const own = await readFile(import.meta.path);
	const boot = await cachedFolder(cache, "boot", [own, files.join("\n"), await readFile(initPath)], async (out) => {
		await copyFile(join(root, "boot", kernel), join(out, "kernel"));
		await writeFile(join(out, "initramfs"), await buildInitramfs(root, kernel.slice("vmlinuz-".length)));
		await makeEmptyDisk(join(out, "empty.raw"));
	});
	const libraries = await librariesOf(options.executable);
	const contents = await Promise.all([options.executable, ...libraries].map((path) => readFile(path)));
	const product = await cachedFolder(cache, "product", [own, ...contents], (out) =>
		makeProductDisk(options.executable, libraries, out),
	);
	// Every build makes a disk of its size.
	await removeUnused(cache, keptUnusedMs, /^(boot|product|build)-/);
	return {
		kernelPath: join(boot, "kernel"),
		initramfsPath: join(boot, "initramfs"),
		productDiskPath: join(product, "product.raw"),
		emptyDiskPath: join(boot, "empty.raw"),
	};
}

async function buildInitramfs(root: string, kernelRelease: string): Promise<Uint8Array> {
	const entries: CpioEntry[] = ["bin", "dev", "etc", "lib", "lib/modules"].map((path) => ({ kind: "directory", path }));
	entries.push({ kind: "device", path: "dev/console", major: 5, minor: 1 });
	const busybox = await readFile(join(root, "bin/busybox"));
	entries.push({ kind: "file", path: "bin/busybox", data: busybox, mode: 0o755 });
	entries.push({ kind: "symlink", path: "bin/sh", target: "busybox" });
	const modules = await modulesInLoadOrder(join(root, "lib/modules", kernelRelease, "kernel"), wantedModules);
	for (const { name, data } of modules) entries.push({ kind: "file", path: `lib/modules/${name}.ko`, data });
	const order = Buffer.from(modules.map(({ name }) => `${name}\n`).join(""));
	entries.push({ kind: "file", path: "lib/modules/order", data: order });
	entries.push({ kind: "file", path: "init", data: await readFile(initPath), mode: 0o755 });
	return Bun.zstdCompressSync(writeCpio(entries), { level: 19 });
}

/** The shared libraries of the executable, its loader among them. */
async function librariesOf(executable: string): Promise<string[]> {
	const { stdout } = await run("ldd", [executable], { timeoutMs: 10_000 });
	const paths = [...stdout.matchAll(/(\/[^\s()]+) \(0x/g)].map((match) => present(match[1], "a library's path"));
	assert(
		paths.some((path) => basename(path).startsWith("ld-linux")),
		"the executable names its loader",
	);
	return paths;
}

async function makeProductDisk(executable: string, libraries: readonly string[], out: string): Promise<void> {
	const root = join(out, "root");
	await mkdir(join(root, "lib"), { recursive: true });
	await copyFile(executable, join(root, "limiquantix"));
	for (const library of libraries) await copyFile(library, join(root, "lib", basename(library)));
	const sizes = await Promise.all([executable, ...libraries].map(async (path) => (await stat(path)).size));
	const contentBytes = sizes.reduce((sum, size) => sum + size, 0);
	const disk = join(out, "product.raw");
	await writeFile(disk, "");
	await truncate(disk, Math.ceil((contentBytes * 1.1) / MiB) * MiB + 8 * MiB);
	const features = ["-O", "^has_journal", "-m", "0"];
	await run("mke2fs", ["-q", "-F", "-t", "ext4", ...features, "-d", root, disk], { timeoutMs: makeLimitMs });
	await rm(root, { recursive: true });
}

async function makeEmptyDisk(path: string): Promise<void> {
	await writeFile(path, "");
	await truncate(path, emptyDiskBytes);
	// Everything is there from the start: the guest's kernel has nothing to make in the background.
	const whole = ["-E", "lazy_itable_init=0,lazy_journal_init=0", "-m", "0"];
	// Linux 6.1 refuses a journal whose last commit block (4 KiB) was torn between its sectors, when that has a checksum:
	// "JBD2: journal transaction N is corrupt". Without, such a block is a commit or none by its first sector.
	const torn = ["-O", "^metadata_csum"];
	await run("mke2fs", ["-q", "-F", "-t", "ext4", ...torn, ...whole, path], { timeoutMs: makeLimitMs });
}
