/** A local pool whose disk fails (device-mapper), on the file systems that people have: errors, no loss, nothing half made. */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isAppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { everythingIsRefused, prepare, unharmed } from "../../testing/lab/failing-device.ts";
import { type FlakyDisk, makeFlakyDisk } from "../../testing/lab/storage-vm/inside/backing-disk.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { note } from "../../testing/note.ts";
import type { LocalDriver } from "./driver.ts";
import { openLocal, strayFiles } from "./testing/local-pool.ts";

setDefaultTimeout(180_000);
const limit = { timeoutMs: 60_000 };
const at = "/srv/failing";
const root = join(at, "pool");
let disk: FlakyDisk;
beforeEach(async () => {
	disk = await makeFlakyDisk("lab-failing", "/data/failing", 512 * MiB);
	await mkdir(at, { recursive: true });
});
afterEach(async () => {
	await disk.heal();
	await run("umount", ["--", at], { ...limit, okExitCodes: [0, 32] });
	await disk[Symbol.asyncDispose]();
	await rm(at, { recursive: true, force: true });
});

const mountIt = () => run("mount", ["--", disk.device, at], limit);
const unmountIt = () => run("umount", ["--", at], limit);
/** What was read before is in memory, and would be found there. */
async function forget(): Promise<void> {
	await run("sync", ["-f", at], limit);
	await writeFile("/proc/sys/vm/drop_caches", "3");
}

/** As its node finds out. */
async function noticed(driver: LocalDriver): Promise<string> {
	const begun = performance.now();
	const error = await waitUntil("the pool to be in error", 20_000, () =>
		driver.check().then(
			() => undefined,
			(failure: unknown) => failure,
		),
	);
	note(`the disk of a local pool fails: noticed after ${Math.round(performance.now() - begun)} ms`);
	expect(isAppError(error, "storage")).toBe(true);
	return (error as Error).message;
}

for (const { fileSystem, inMemory } of [
	{ fileSystem: "ext4", inMemory: true },
	{ fileSystem: "ext4", inMemory: false },
	{ fileSystem: "xfs", inMemory: true },
]) {
	const what = inMemory ? "what is in memory is still read" : "nothing is read any more";
	test(`${fileSystem}: the disk fails, ${what}; nothing is lost once its file system is mounted anew`, async () => {
		await run(`mkfs.${fileSystem}`, ["-q", disk.device], limit);
		await mountIt();
		const driver = await openLocal(root);
		const prepared = await prepare(driver);
		if (inMemory) await run("sync", ["-f", at], limit);
		else await forget();
		await disk.fail("errors");
		// Nobody writes: the pool's own look finds it. With all in memory, each verb comes as far as it can first.
		const before = inMemory ? await everythingIsRefused(driver, prepared, { only: "changes" }) : [];
		const reason = await noticed(driver);
		const said = inMemory ? before : await everythingIsRefused(driver, prepared);
		note(`${fileSystem}, ${what}: the pool: ${reason}\n${said.map((line) => `note:   ${line}`).join("\n")}`);
		await disk.heal();
		await unmountIt();
		await mountIt();
		await driver.activate();
		await driver.check();
		// The daemon that starts tidies up.
		const again = await openLocal(root);
		await unharmed(again, prepared);
		expect(await strayFiles(root, again, [])).toEqual([]);
		await again.remove();
		expect((await readdir(at)).filter((name) => name !== "lost+found")).toEqual([]);
	});
}

test("reads fail, and work again: the same driver goes on, and has lost nothing", async () => {
	await run("mkfs.ext4", ["-q", disk.device], limit);
	await mountIt();
	const driver = await openLocal(root);
	const prepared = await prepare(driver);
	await forget();
	await disk.fail("read-errors");
	const said = await everythingIsRefused(driver, prepared, { only: "reads" });
	note(`reads fail: ${said.join("; ")}`);
	await disk.heal();
	await waitUntil("the pool to be healthy", 20_000, () => driver.check().catch(() => undefined));
	await unharmed(driver, prepared);
	expect(await strayFiles(root, driver, [])).toEqual([]);
	await driver.remove();
});
