/** A large upload needs no memory to speak of: 2 GiB, mostly holes, through the driver in a process that is watched. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { temporaryFolder } from "./testing/local-pool.ts";

test("2 GiB through openUpload, write and finishImage with less than 150 MB more memory, and sparse", async () => {
	await using folder = await temporaryFolder();
	const child = join(import.meta.dir, "testing", "upload-child.ts");
	const { stdout } = await run(process.execPath, [child, join(folder.path, "pool")], { timeoutMs: 110_000 });
	const found = JSON.parse(stdout);
	console.log(
		`2 GiB upload: memory grew by ${Math.round(found.growthBytes / 1e6)} MB to ${Math.round(found.mostBytes / 1e6)} MB, the file takes ${Math.round(found.onDiskBytes / MiB)} MiB`,
	);
	expect(found).toMatchObject({ size: 2 * GiB, virtualSizeBytes: 2 * GiB });
	expect(found.onDiskBytes).toBeLessThan(160 * MiB);
	expect(found.growthBytes).toBeLessThan(150e6);
}, 120_000);
