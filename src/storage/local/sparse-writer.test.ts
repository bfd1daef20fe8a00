/** The sparse writer: any bytes in any parts make the same file, holes where they are zero, and the right hash. */
import { expect, test } from "bun:test";
import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { MiB } from "../../lib/units.ts";
import { expectSame, pattern, sha256 } from "../conformance.ts";
import { RunningHash } from "./running-hash.ts";
import { SparseWriter } from "./sparse-writer.ts";
import { temporaryFolder } from "./testing/local-pool.ts";

test("parts of any length, zero or not, from any place", async () => {
	await using folder = await temporaryFolder();
	const part = fc.record({ length: fc.integer({ min: 0, max: 200_000 }), zero: fc.boolean() });
	let count = 0;
	await fc.assert(
		fc.asyncProperty(fc.array(part, { maxLength: 8 }), fc.integer({ min: 0, max: 100_000 }), async (parts, start) => {
			const path = join(folder.path, `file-${count++}`);
			const file = await open(path, "w+");
			await file.write(pattern(start), 0, start, 0);
			const hash = new RunningHash();
			hash.update(pattern(start));
			const writer = new SparseWriter(file, start, hash);
			const all = [pattern(start)];
			for (const [index, { length, zero }] of parts.entries()) {
				const bytes = zero ? new Uint8Array(length) : pattern(length, index);
				all.push(bytes);
				await writer.append(bytes);
			}
			await writer.settle();
			await file.close();
			const wanted = Buffer.concat(all);
			expect(writer.position).toBe(wanted.length);
			expectSame(await readFile(path), wanted);
			expect({ length: hash.length, sha256: hash.digest() }).toEqual({ length: wanted.length, sha256: sha256(wanted) });
		}),
		{ numRuns: 60 },
	);
});

test("zeroes take no space, wherever they lie", async () => {
	await using folder = await temporaryFolder();
	const file = await open(join(folder.path, "file"), "w+");
	const writer = new SparseWriter(file, 0, null);
	await writer.append(new Uint8Array(8 * MiB));
	await writer.append(pattern(10));
	await writer.append(new Uint8Array(8 * MiB));
	await writer.settle();
	await file.close();
	const { size, blocks } = await stat(join(folder.path, "file"));
	expect(size).toBe(16 * MiB + 10);
	expect(blocks * 512).toBeLessThanOrEqual(128 * 1024);
});
