/**
 * What the storage lab VM boots from. Kept in a git-ignored cache under keys made of what it is made of; callers treat it as
 * read-only. The first time takes about half a minute, most of it fetching and unpacking packages.
 *
 * Host programs: apt-get, dpkg-deb, xz, mke2fs, qemu-img.
 */
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GiB } from "../../../lib/units.ts";
import { cachedFolder, removeUnused } from "../cached-folder.ts";
import { type CpioEntry, writeCpio } from "../guest-image/cpio.ts";
import { modulesInLoadOrder } from "../guest-image/kernel-modules.ts";
import { makeFilledDisk } from "./filled-disk.ts";
import { neededModules, projectRoot } from "./needed-modules.ts";
import { makeRootDisk } from "./root-disk.ts";

export type StorageVmImage = {
	/** Of all that it is made of. */
	key: string;
	cacheDir: string;
	kernelPath: string;
	initramfsPath: string;
	/** ext4, raw: Debian 13. */
	rootDiskPath: string;
	/** ext4, raw: Bun, and the packages that our code imports. */
	toolsDiskPath: string;
	/** ext4, raw, sparse, empty. */
	emptyDiskPath: string;
};

const emptyDiskBytes = 32 * GiB;
const keptUnusedMs = 2 * 24 * 3600 * 1000;
const guestFiles = join(import.meta.dir, "guest");

/** Builds what is missing. Fails with `unavailable` when a host program or the Debian packages cannot be had. */
export async function buildStorageVmImage(options: { cacheDir: string }): Promise<StorageVmImage> {
	const cacheDir = join(options.cacheDir, "storage-vm");
	await mkdir(cacheDir, { recursive: true });
	const sources = (names: readonly string[]) => Promise.all(names.map((name) => readFile(join(import.meta.dir, name))));
	const root = await cachedFolder(
		cacheDir,
		"root",
		await sources(["root-disk.ts", "debian-root.ts", "filled-disk.ts"]),
		makeRootDisk,
	);
	const guest = await Promise.all((await readdir(guestFiles)).sort().map((name) => readFile(join(guestFiles, name))));
	const boot = await cachedFolder(cacheDir, "boot", [root, ...guest, await readFile(import.meta.path)], async (out) => {
		await writeFile(join(out, "initramfs"), await buildInitramfs(root));
		await mkdir(join(out, "empty"));
		// Few tables: writing them is most of making it.
		await makeFilledDisk({ from: join(out, "empty"), to: join(out, "empty.raw"), sizeBytes: emptyDiskBytes });
	});
	const lock = await readFile(join(projectRoot, "package-lock.json"));
	const tools = await cachedFolder(
		cacheDir,
		"tools",
		[Bun.version, lock, ...(await sources(["needed-modules.ts", "image.ts"]))],
		makeToolsDisk,
	);
	await removeUnused(cacheDir, keptUnusedMs);
	return {
		key: new Bun.CryptoHasher("sha256").update(`${boot}\n${tools}`).digest("hex").slice(0, 24),
		cacheDir,
		kernelPath: join(root, "kernel"),
		initramfsPath: join(boot, "initramfs"),
		rootDiskPath: join(root, "root.raw"),
		toolsDiskPath: join(tools, "tools.raw"),
		emptyDiskPath: join(boot, "empty.raw"),
	};
}

async function buildInitramfs(root: string): Promise<Uint8Array> {
	const entries: CpioEntry[] = ["bin", "dev", "lib", "lib/modules"].map((path) => ({ kind: "directory", path }));
	entries.push({ kind: "device", path: "dev/console", major: 5, minor: 1 });
	entries.push({ kind: "file", path: "bin/busybox", data: await readFile(join(root, "busybox")), mode: 0o755 });
	const modules = await modulesInLoadOrder(join(root, "modules"), ["virtio_blk", "overlay"]);
	for (const { name, data } of modules) entries.push({ kind: "file", path: `lib/modules/${name}.ko`, data });
	const order = Buffer.from(modules.map(({ name }) => `${name}\n`).join(""));
	entries.push({ kind: "file", path: "lib/modules/order", data: order });
	for (const [name, path] of [
		["first", "init"],
		["start", "start"],
		["serve", "serve"],
		["modules", "modules"],
	] as const)
		entries.push({ kind: "file", path, data: await readFile(join(guestFiles, name)), mode: 0o755 });
	return Bun.zstdCompressSync(writeCpio(entries), { level: 3 });
}

async function makeToolsDisk(out: string): Promise<void> {
	const root = join(out, "root");
	for (const folder of ["bin", "guest-bin", "node_modules", "warm-up"])
		await mkdir(join(root, folder), { recursive: true });
	// An executable of ours is Bun for processors without AVX, too, and becomes it when asked to.
	const entry = join(out, "nothing.ts");
	await writeFile(entry, "export {};\n");
	const result = await Bun.build({
		entrypoints: [entry],
		compile: { target: "bun-linux-x64-baseline", outfile: join(root, "bin/bun") },
	});
	if (!result.success) throw new AggregateError(result.logs, "Bun for the storage lab VM cannot be made.");
	await cp(join(guestFiles, "bun"), join(root, "guest-bin/bun"));
	await cp(join(guestFiles, "preload.ts"), join(root, "guest-bin/preload.ts"));
	for (const name of await neededModules())
		await cp(join(projectRoot, "node_modules", name), join(root, "node_modules", name), { recursive: true });
	const warmUp = 'import { expect, test } from "bun:test";\ntest("warm", () => expect(1).toBe(1));\n';
	await writeFile(join(root, "warm-up/warm.test.ts"), warmUp);
	await makeFilledDisk({ from: root, to: join(out, "tools.raw") });
	await rm(root, { recursive: true });
}
