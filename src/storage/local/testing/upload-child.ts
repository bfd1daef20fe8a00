/**
 * A process of its own that takes a 2 GiB upload into a pool, so that its memory can be watched. Argument: the pool's
 * folder. Prints one line of JSON.
 */

import { stat } from "node:fs/promises";
import { present } from "../../../lib/assert.ts";
import { GiB } from "../../../lib/units.ts";
import { sourceName } from "../../../model/disk-source.ts";
import { newId, pattern } from "../../conformance.ts";
import { openLocal } from "./local-pool.ts";

const root = present(process.argv[2], "root");
const driver = await openLocal(root);
const id = newId();
// Parts as an HTTP server hands them out: 512 KiB; every sixteenth has data (128 MiB in all).
const partBytes = 512 * 1024;
const [zeroes, data] = [new Uint8Array(partBytes), pattern(partBytes)];
Bun.gc(true);
const before = process.memoryUsage().rss;
let most = before;
const look = () => {
	most = Math.max(most, process.memoryUsage().rss);
};
const hasher = new Bun.CryptoHasher("sha256");
const file = await driver.openUpload(id, 2 * GiB);
for (let at = 0; at < 2 * GiB; at += partBytes) {
	const part = (at / partBytes) % 16 === 0 ? data : zeroes;
	hasher.update(part);
	// A copy each time, so that each part is garbage afterwards, as it is in life.
	await file.write(part.slice());
	look();
}
await file.close();
// As after a restart: no hash was kept, the file is read again.
const later = await openLocal(root);
const made = await later.finishImage(id, { format: "raw", sha256: hasher.digest("hex"), progress: look });
const { size, blocks } = await stat(sourceName(await later.imageSource(id)));
process.stdout.write(
	`${JSON.stringify({ growthBytes: most - before, mostBytes: most, virtualSizeBytes: made.virtualSizeBytes, size, onDiskBytes: blocks * 512 })}\n`,
);
