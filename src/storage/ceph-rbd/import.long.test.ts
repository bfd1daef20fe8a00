/** A file that was named for import, and whose owner writes to it after it was inspected, hiding that as far as an owner can. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { open, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { type TestPool, useCeph } from "../../testing/lab/ceph-pool.ts";
import { expectSame, fails, newId, pattern, readAll } from "../conformance.ts";

setDefaultTimeout(120_000);
const session = useCeph();
const timeoutMs = 20_000;

/** A time that can be set back to the last digit. */
const writtenMs = 1_900_000_000_000;
const written = new Date(writtenMs);

/** The file as it was by its size and its time. */
async function unseen(path: string, change: () => Promise<unknown>): Promise<void> {
	const { mtimeMs, size } = await stat(path);
	expect(mtimeMs).toBe(writtenMs);
	await change();
	await utimes(path, written, written);
	expect(await stat(path)).toMatchObject({ mtimeMs, size });
}

/** A driver that calls `change` when the file was inspected, before it is read for the image. */
const changing = (pool: TestPool, change: () => Promise<void>) =>
	pool.open({ onStep: (step) => (step === "qemu-img convert" ? change() : undefined) });

test("qcow2: a header that comes to name a file of the host is not followed", async () => {
	const pool = await session.pool();
	const [path, plain, secret] = ["named.qcow2", "plain.raw", "secret.raw"].map((name) => join(pool.folder, name));
	if (!path || !plain || !secret) throw new Error("no paths");
	await writeFile(plain, pattern(MiB));
	await writeFile(secret, pattern(4 * MiB, 7));
	// With room in its first cluster, and beyond its first MiB nothing of its own.
	await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "--", plain, path], { timeoutMs });
	await run("qemu-img", ["resize", "-q", "-f", "qcow2", "--", path, `${4 * MiB}`], { timeoutMs });
	await utimes(path, written, written);
	let changes = 0;
	const driver = await changing(pool, async () => {
		changes += 1;
		await unseen(path, () =>
			run("qemu-img", ["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", secret, "--", path], { timeoutMs }),
		);
	});
	const id = newId();
	await driver.importFile(id, path, {});
	await driver.finishImage(id, { format: "qcow2", sha256: null });
	expect(changes).toBe(1);
	const found = await readAll((await driver.openImage(id)).stream);
	expectSame(found.subarray(0, MiB), pattern(MiB));
	expectSame(found.subarray(MiB), new Uint8Array(3 * MiB));
	await pool.close();
});

test("raw: what was written meanwhile makes no image, whatever time the file says", async () => {
	const pool = await session.pool();
	const path = join(pool.folder, "named.raw");
	await writeFile(path, pattern(MiB));
	await utimes(path, written, written);
	const driver = await changing(pool, () =>
		unseen(path, async () => {
			await using file = await open(path, "r+");
			await file.write(pattern(4096, 9), 0, 4096, 0);
		}),
	);
	const id = newId();
	await driver.importFile(id, path, {});
	await fails("wrong-state", driver.finishImage(id, { format: "raw", sha256: null }));
	expect(await driver.listImages()).toEqual([]);
	expect((await pool.contents()).filter((name) => name.startsWith("lqx"))).toEqual([]);
	// Another start than that of the one who named it.
	const again = await pool.open();
	await fails("wrong-state", again.finishImage(id, { format: "raw", sha256: null }));
	await again.importFile(id, path, {});
	await again.finishImage(id, { format: "raw", sha256: null });
	await pool.close();
});
