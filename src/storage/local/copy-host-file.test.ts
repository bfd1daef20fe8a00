/** A file of the node into a file of a pool: the same bytes, holes where they are zero, and their hash. */
import { expect, test } from "bun:test";
import { open, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { expectSame, pattern, sha256 } from "../conformance.ts";
import { copyHostFile } from "./copy-host-file.ts";
import { temporaryFolder } from "./testing/local-pool.ts";

async function copied(bytes: Uint8Array, claimedBytes = bytes.length, options: { signal?: AbortSignal } = {}) {
	await using folder = await temporaryFolder();
	const [source, target] = [join(folder.path, "source"), join(folder.path, "target")];
	await writeFile(source, bytes);
	await writeFile(target, "");
	await using file = await open(source, "r");
	const seen: number[] = [];
	const progress = (ratio: number | null) => void seen.push(ratio ?? -1);
	const hash = await copyHostFile(file, claimedBytes, target, { ...options, progress });
	const { size, blocks } = await stat(target);
	return { hash, seen, size, takenBytes: blocks * 512, bytes: await readFile(target) };
}

test("empty, one byte, parts that do not end at a boundary", async () => {
	for (const length of [0, 1, 4 * MiB - 1, 4 * MiB, 4 * MiB + 1, 9 * MiB + 12_345]) {
		const bytes = pattern(length);
		const { hash, size, bytes: got } = await copied(bytes);
		expect({ hash, size }).toEqual({ hash: sha256(bytes), size: length });
		expectSame(got, bytes);
	}
});

test("zeroes take no space, also at the end; progress is said now and then", async () => {
	const bytes = new Uint8Array(40 * MiB);
	bytes.set(pattern(MiB), 20 * MiB);
	const { hash, size, takenBytes, seen, bytes: got } = await copied(bytes);
	expect({ hash, size }).toEqual({ hash: sha256(bytes), size: bytes.length });
	expect(takenBytes).toBeLessThanOrEqual(2 * MiB);
	expect(seen).toEqual([4, 8, 12, 16, 20, 24, 28, 32, 36, 40].map((mebibytes) => mebibytes / 40));
	expectSame(got, bytes);
});

test("a file that is shorter than it was, a cancellation, a target that is not there", async () => {
	await expect(copied(pattern(MiB), 2 * MiB)).rejects.toMatchObject({ code: "wrong-state" });
	await expect(copied(pattern(MiB), MiB, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "canceled" });
	await using folder = await temporaryFolder();
	await writeFile(join(folder.path, "source"), "x");
	await using file = await open(join(folder.path, "source"), "r");
	await expect(copyHostFile(file, 1, join(folder.path, "none"), {})).rejects.toMatchObject({ code: "storage" });
});
