/** The disk with what is tested in the storage lab VM: our sources, the built executable, and files of the caller. */

import { existsSync } from "node:fs";
import { cp, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { GiB } from "../../../lib/units.ts";
import { makeFilledDisk } from "./filled-disk.ts";
import { projectRoot } from "./needed-modules.ts";

/** Always the same, since a snapshot knows it. Sparse. */
export const testedDiskBytes = 1 * GiB;

const parts = ["src", "package.json", "bunfig.toml", "tsconfig.json", "dist/limiquantix"];

/** `files`: name in /repo/files, and where it is now. `folder` is the caller's to remove. */
export async function makeTestedDisk(folder: string, files: Readonly<Record<string, string>>): Promise<string> {
	const root = join(folder, "tested");
	await mkdir(join(root, "files"), { recursive: true });
	for (const part of parts.filter((path) => existsSync(join(projectRoot, path))))
		await cp(join(projectRoot, part), join(root, part), { recursive: true });
	await symlink("/tools/node_modules", join(root, "node_modules"));
	for (const [name, path] of Object.entries(files)) await cp(path, join(root, "files", name));
	const disk = join(folder, "tested.raw");
	await makeFilledDisk({ from: root, to: disk, sizeBytes: testedDiskBytes });
	return disk;
}
