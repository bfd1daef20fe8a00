/** An ext4 file system with the contents of a folder, made without mounting anything. Host programs: mke2fs, du. */
import { truncate, writeFile } from "node:fs/promises";
import { run } from "../../../lib/run.ts";
import { MiB } from "../../../lib/units.ts";

const limitMs = 120_000;
/** Of a file system: its own tables, and blocks that files fill only in part. */
const overhead = 1.08;

/** `to` is raw and sparse. `sizeBytes` instead of what the contents need, and `spareBytes` beside them. */
export async function makeFilledDisk(disk: {
	from: string;
	to: string;
	spareBytes?: number;
	sizeBytes?: number;
}): Promise<void> {
	const { stdout } = await run("du", ["-s", "-B1", "--", disk.from], { timeoutMs: limitMs });
	const bytes = Number.parseInt(stdout, 10) * overhead + 16 * MiB + (disk.spareBytes ?? 0);
	await writeFile(disk.to, "");
	await truncate(disk.to, disk.sizeBytes ?? Math.ceil(bytes / MiB) * MiB);
	const features = ["-O", "^has_journal", "-m", "0", "-E", "lazy_itable_init=0"];
	await run("mke2fs", ["-q", "-F", "-t", "ext4", ...features, "-d", disk.from, disk.to], { timeoutMs: limitMs });
}
