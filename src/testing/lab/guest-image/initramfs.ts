/** The guest's root: busybox, the kernel modules in load order, and the scripts of `files/`. All of it lives in memory. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { assert, present } from "../../../lib/assert.ts";
import { type CpioEntry, writeCpio } from "./cpio.ts";
import { modulesInLoadOrder, wantedModules } from "./kernel-modules.ts";

export const scriptsDirectory = join(import.meta.dir, "files");

/** Where each script goes; a script that is not listed is a mistake. */
const destinations: Record<string, { path: string; mode: number }> = {
	init: { path: "init", mode: 0o755 },
	boot: { path: "etc/boot", mode: 0o755 },
	dhcp: { path: "etc/dhcp", mode: 0o755 },
	functions: { path: "etc/functions", mode: 0o644 },
	hotplug: { path: "etc/hotplug", mode: 0o755 },
	"power-button": { path: "etc/acpi/PWRF/00000080", mode: 0o755 },
	profile: { path: "etc/profile", mode: 0o644 },
	seed: { path: "etc/seed", mode: 0o755 },
	shutdown: { path: "etc/shutdown", mode: 0o755 },
	"guest-facts": { path: "bin/guest-facts", mode: 0o755 },
	welcome: { path: "bin/welcome", mode: 0o755 },
};

const directories = ["bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "lib", "lib/modules"];

/** A zstd-compressed cpio archive. `packagesRoot` holds the unpacked kernel and busybox-static packages. */
export async function buildInitramfs(packagesRoot: string, kernelRelease: string): Promise<Uint8Array> {
	const entries: CpioEntry[] = directories.map((path) => ({ kind: "directory", path }));
	entries.push({ kind: "device", path: "dev/console", major: 5, minor: 1 });
	const busybox = await readFile(join(packagesRoot, "bin/busybox"));
	entries.push({ kind: "file", path: "bin/busybox", data: busybox, mode: 0o755 });
	entries.push({ kind: "symlink", path: "bin/sh", target: "busybox" });

	const modules = await modulesInLoadOrder(join(packagesRoot, "lib/modules", kernelRelease, "kernel"), wantedModules);
	for (const { name, data } of modules) entries.push({ kind: "file", path: `lib/modules/${name}.ko`, data });
	const order = Buffer.from(modules.map(({ name }) => `${name}\n`).join(""));
	entries.push({ kind: "file", path: "lib/modules/order", data: order });

	const scripts = await readdir(scriptsDirectory);
	assert(scripts.length === Object.keys(destinations).length, "every guest script has a place in the root");
	for (const script of scripts.sort()) {
		const { path, mode } = present(destinations[script], `the place of guest script ${script}`);
		entries.push({ kind: "file", path, data: await readFile(join(scriptsDirectory, script)), mode });
	}
	return Bun.zstdCompressSync(writeCpio(entries), { level: 19 });
}
