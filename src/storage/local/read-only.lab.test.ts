/** A local pool whose file system takes no writes any more: its look says so, and a full one is none of these. */
import { expect, test } from "bun:test";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { fails, pattern } from "../conformance.ts";
import { markerName } from "./pool-place.ts";
import { openLocal, temporaryFolder } from "./testing/local-pool.ts";

const asRoot = process.getuid?.() === 0;
const because = asRoot ? "" : " (skipped: mounting a small file system needs root)";
const limit = { timeoutMs: 10_000 };

test.skipIf(!asRoot)(`read-only, full, and as before${because}`, async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "small");
	await mkdir(root);
	await run("mount", ["-t", "tmpfs", "-o", "size=4m,mode=0711", "tmpfs", root], limit);
	try {
		const driver = await openLocal(root);
		const marker = join(root, markerName);
		const before = { text: await readFile(marker, "utf8"), changedMs: (await stat(marker)).mtimeMs };
		await driver.check();
		expect((await stat(marker)).mtimeMs).toBeGreaterThan(before.changedMs);
		await run("mount", ["-o", "remount,ro", root], limit);
		expect(await fails("storage", driver.check())).toContain("read-only");
		await run("mount", ["-o", "remount,rw", root], limit);
		await driver.check();
		await writeFile(join(root, "ballast"), pattern(8 * MiB)).catch(() => {});
		expect((await driver.check()).availableBytes).toBe(0);
		expect(await readFile(marker, "utf8")).toBe(before.text);
	} finally {
		await run("umount", ["--lazy", root], limit);
	}
});
