/**
 * Which kernel modules the guest loads, and in which order. What a module needs is read from its own `.modinfo` section
 * (`depends=`), so a new kernel version cannot make a hand-written order wrong.
 */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { AppError } from "../../../lib/errors.ts";

/** Missing from Debian's cloud kernel, whatever one asks for: AHCI, USB, DRM, e1000. Built in: PS/2 keyboard, ext4, efifb. */
export const wantedModules = [
	"virtio_pci",
	"virtio_blk",
	"virtio_scsi",
	"sd_mod",
	"sr_mod",
	"ata_piix", // IDE disks and CD-ROMs of the i440fx machine
	"isofs",
	"vfat",
	"nls_ascii",
	"nls_cp437",
	"button",
	"evdev",
	"virtio_input",
	"virtio_net",
	"virtio_console",
	"virtio_rng",
	"virtio_balloon",
] as const;

export type KernelModule = { name: string; data: Uint8Array };

/** The wanted modules and all that they need, dependencies first. Fails with `not-found` when the kernel lacks one. */
export async function modulesInLoadOrder(modulesDirectory: string, wanted: readonly string[]): Promise<KernelModule[]> {
	const files = new Map<string, string>();
	for (const path of await readdir(modulesDirectory, { recursive: true }))
		if (path.endsWith(".ko")) files.set(moduleName(path), join(modulesDirectory, path));
	const ordered = new Map<string, KernelModule>();
	const visit = async (name: string): Promise<void> => {
		if (ordered.has(name)) return;
		const path = files.get(name);
		if (path === undefined) throw new AppError("not-found", `The guest's kernel has no module ${name}.`);
		const data = await readFile(path);
		for (const dependency of dependsOf(data)) await visit(dependency);
		ordered.set(name, { name, data });
	};
	for (const name of wanted) await visit(moduleName(name));
	return [...ordered.values()];
}

/** Modules go by their name with underscores, whatever the file is called. */
const moduleName = (path: string): string => basename(path, ".ko").replaceAll("-", "_");

/** `depends=a,b` from the module's NUL-separated `.modinfo` strings. */
export function dependsOf(module: Uint8Array): string[] {
	const bytes = Buffer.from(module.buffer, module.byteOffset, module.byteLength);
	const key = Buffer.from("\0depends=");
	const at = bytes.indexOf(key);
	if (at < 0) return [];
	const text = bytes.toString("latin1", at + key.length, bytes.indexOf(0, at + key.length));
	return text.split(",").filter(Boolean).map(moduleName);
}
