/** Whether a device gives anything at all. */
import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isReadable } from "./device-io.ts";

test("what is there can be read; what is gone, and what is no disk, cannot", async () => {
	const folder = await mkdtemp(join(tmpdir(), "lqx-readable-"));
	try {
		await writeFile(join(folder, "disk"), new Uint8Array(8192));
		expect(await isReadable(join(folder, "disk"), 5000)).toBe(true);
		expect(await isReadable(join(folder, "gone"), 5000)).toBe(false);
		expect(await isReadable(folder, 5000)).toBe(false);
	} finally {
		await rm(folder, { recursive: true });
	}
});
