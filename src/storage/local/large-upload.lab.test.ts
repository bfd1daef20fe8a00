/** A large upload needs no memory to speak of: 2 GiB, mostly holes, through the driver, with the process watched. */
import { expect, test } from "bun:test";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { GiB, MiB } from "../../lib/units.ts";
import { newId, pattern } from "../conformance.ts";
import { openLocal, temporaryFolder } from "./testing/local-pool.ts";

test("2 GiB through openUpload, write and finishImage with less than 150 MB more memory, and sparse", async () => {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const driver = await openLocal(root);
	const id = newId();
	// Parts as an HTTP server hands them out: 512 KiB; every sixteenth has data (128 MiB in all).
	const partBytes = 512 * 1024;
	const [zeroes, data] = [new Uint8Array(partBytes), pattern(partBytes)];
	Bun.gc(true);
	const before = process.memoryUsage().rss;
	let most = 0;
	const hasher = new Bun.CryptoHasher("sha256");
	const file = await driver.openUpload(id, 2 * GiB);
	for (let at = 0; at < 2 * GiB; at += partBytes) {
		const part = (at / partBytes) % 16 === 0 ? data : zeroes;
		hasher.update(part);
		// A copy each time, so that each part is garbage afterwards, as it is in life.
		await file.write(part.slice());
		most = Math.max(most, process.memoryUsage().rss);
	}
	await file.close();
	// In another process's place: no hash kept, the file is read again.
	const later = await openLocal(root);
	const made = await later.finishImage(id, {
		format: "raw",
		sha256: hasher.digest("hex"),
		progress: () => {
			most = Math.max(most, process.memoryUsage().rss);
		},
	});
	expect(made).toMatchObject({ fileSizeBytes: 2 * GiB, virtualSizeBytes: 2 * GiB });
	const { size, blocks } = await stat(await later.imagePath(id));
	expect(size).toBe(2 * GiB);
	expect(blocks * 512).toBeLessThan(160 * MiB);
	const growth = Math.round((most - before) / 1e6);
	console.log(`2 GiB upload: memory grew by ${growth} MB, file takes ${Math.round((blocks * 512) / MiB)} MiB`);
	expect(growth).toBeLessThan(150);
}, 120_000);
