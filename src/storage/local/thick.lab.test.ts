/** Thick volumes in real files: on a small disk, on a file system that sets nothing aside, beside a QEMU that has them open. */
import { expect, test } from "bun:test";
import { mkdir, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { holdOpen } from "../../testing/lab/held-disk.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern, sha256 } from "../conformance.ts";
import type { StorageDriver } from "../driver.ts";
import { openLocal, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

const asRoot = process.getuid?.() === 0;
const whenRoot = asRoot ? test : test.skip;
const because = asRoot ? "" : " (skipped: mounting a file system needs root)";
const empty = { kind: "empty" } as const;
const thick = { provisioning: "thick" } as const;
const fileOf = async (driver: StorageDriver, id: string) => sourceName((await driver.attachInfo(id)).source);

async function on(kind: "tmpfs" | "ramfs", options: string, body: (root: string) => Promise<void>): Promise<void> {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "mount");
	await mkdir(root);
	await run("mount", ["-t", kind, "-o", options, kind, root], { timeoutMs: 10_000 });
	try {
		await body(root);
	} finally {
		await run("umount", ["--lazy", root], { timeoutMs: 10_000 });
	}
}

/** As `du` counts it. */
async function takenBytes(path: string): Promise<number> {
	const { stdout } = await run("du", ["--block-size=1", "--", path], { timeoutMs: 10_000 });
	return Number(stdout.split("\t")[0]);
}

whenRoot(`a disk and its tables fit, or nothing is made${because}`, () =>
	on("tmpfs", "size=16m,mode=0711", async (root) => {
		const driver = await openLocal(root);
		expect(driver.capabilities.provisioning).toEqual(["thin", "thick"]);
		const files = async () => (await readdir(root, { recursive: true })).sort();
		const before = await files();
		const { availableBytes } = await driver.check();
		// The content would fit, not what qcow2 needs beside it.
		const sizeBytes = Math.floor(availableBytes / 65_536) * 65_536;
		await fails("no-space", driver.createVolume(newId(), { ...thick, format: "qcow2", sizeBytes, source: empty }));
		expect(await files()).toEqual(before);
		const { id } = await driver.createVolume(newId(), { ...thick, format: "raw", sizeBytes: 12 * MiB, source: empty });
		expect(await takenBytes(await fileOf(driver, id))).toBe(12 * MiB);
		// What others write can take nothing of it.
		const other = await driver.createVolume(newId(), { format: "raw", sizeBytes: 12 * MiB, source: empty });
		await expect(writeDisk(driver, other.id, 0, pattern(6 * MiB))).rejects.toThrow();
		await writeDisk(driver, id, 0, pattern(12 * MiB));
		expectSame(new Uint8Array(await Bun.file(await fileOf(driver, id)).arrayBuffer()), pattern(12 * MiB));
	}),
);

whenRoot.each(["raw", "qcow2"] as const)(
	`a thick %s disk for whose growth there is no room any more is as large as before${because}`,
	(format) =>
		on("tmpfs", "size=16m,mode=0711", async (root) => {
			const id = newId();
			const sizeBytes = 4 * MiB;
			// Others take the room after it was found to be there.
			const ballast = join(root, "ballast");
			const driver = await openLocal(root, {
				onStep: (name) =>
					name === "set the space of the growth aside" ? writeFile(ballast, pattern(8 * MiB)) : undefined,
			});
			await driver.createVolume(id, { ...thick, format, sizeBytes, source: empty });
			await writeDisk(driver, id, 0, pattern(MiB));
			const file = await fileOf(driver, id);
			const before = await takenBytes(file);
			await fails("no-space", driver.resizeVolume(id, 8 * MiB));
			expect((await driver.getVolume(id))?.sizeBytes).toBe(sizeBytes);
			expect(await takenBytes(file)).toBe(before);
			await rm(ballast);
			const again = await openLocal(root);
			expect((await again.resizeVolume(id, 8 * MiB)).sizeBytes).toBe(8 * MiB);
			expect(await takenBytes(file)).toBeGreaterThanOrEqual(8 * MiB);
			expectSame((await diskContent(again, id)).subarray(0, MiB), pattern(MiB));
		}),
);

whenRoot(`where files are given no space beforehand, the pool says so and keeps to thin volumes${because}`, () =>
	on("ramfs", "mode=0711", async (root) => {
		const driver = await openLocal(root);
		const { provisioning, reasons } = driver.capabilities;
		expect([provisioning, reasons.provisioning]).toEqual([["thin"], expect.stringMatching(/set space aside.*\.$/)]);
		const options = { format: "raw", sizeBytes: MiB, source: empty } as const;
		expect(await fails("unsupported", driver.createVolume(newId(), { ...options, ...thick }))).toBe(
			reasons.provisioning ?? "",
		);
		expect(await driver.listVolumes()).toEqual([]);
		await driver.createVolume(newId(), options);
	}),
);

test("what a running QEMU has grown gets its space under it, and keeps its content", async () => {
	await using folder = await temporaryFolder();
	const driver = await openLocal(join(folder.path, "pool"));
	const { id } = await driver.createVolume(newId(), { ...thick, format: "raw", sizeBytes: 4 * MiB, source: empty });
	await writeDisk(driver, id, MiB, pattern(65_536));
	const file = await fileOf(driver, id);
	await using _qemu = await holdOpen(file, "raw");
	// As QEMU does it: a hole at the end.
	await truncate(file, 8 * MiB);
	expect(await takenBytes(file)).toBeLessThan(8 * MiB);
	await driver.fillVolume(id, {});
	expect(await takenBytes(file)).toBeGreaterThanOrEqual(8 * MiB);
	const bytes = new Uint8Array(await Bun.file(file).arrayBuffer());
	expectSame(bytes.subarray(MiB, MiB + 65_536), pattern(65_536));
});

test.each(["raw", "qcow2"] as const)(
	"a thick %s copy of something sparse takes all of its size, and is as sound",
	async (format) => {
		await using folder = await temporaryFolder();
		const driver = await openLocal(join(folder.path, "pool"));
		const bytes = new Uint8Array(32 * MiB);
		bytes.set(pattern(MiB), 8 * MiB);
		const image = await makeImage(driver, bytes);
		const source = { kind: "image", id: image, fullCopy: true } as const;
		const sizeBytes = 64 * MiB;
		const { id, allocatedBytes } = await driver.createVolume(newId(), { ...thick, format, sizeBytes, source });
		expect(allocatedBytes).toBeGreaterThanOrEqual(sizeBytes);
		expect(await takenBytes(await fileOf(driver, id))).toBeGreaterThanOrEqual(sizeBytes);
		expect(await driver.checkVolume(id, { repair: false })).toEqual({ errors: 0, leakedBytes: 0, repaired: 0 });
		const content = await diskContent(driver, id);
		expect(sha256(content.subarray(0, bytes.length))).toBe(sha256(bytes));
		expect(content.subarray(bytes.length).every((byte) => byte === 0)).toBe(true);
		// A thin copy of it takes what is in it again.
		const thin = { format, sizeBytes, source: { kind: "volume", id, fullCopy: true } } as const;
		const copy = await driver.createVolume(newId(), { ...thin, format: format === "raw" ? "qcow2" : "raw" });
		expect(copy.allocatedBytes).toBeLessThan(4 * MiB);
	},
);
