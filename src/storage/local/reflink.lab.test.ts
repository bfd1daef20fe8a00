/** File systems whose files can share blocks, in a file each, mounted where only this test sees it: full copies, and thick volumes. */
import { expect, test } from "bun:test";
import { mkdir, stat, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { holdOpen } from "../../testing/lab/held-disk.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern } from "../conformance.ts";
import type { StorageDriver } from "../driver.ts";
import { openLocal, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

/** Far more than what the file system itself takes meanwhile. */
const size = 24 * MiB;
const limit = { timeoutMs: 30_000 };
const reason = await whyNot("xfs");
const noBtrfs = await whyNot("btrfs");

async function whyNot(kind: "xfs" | "btrfs"): Promise<string | null> {
	if (process.getuid?.() !== 0) return "needs root";
	if (Bun.which(`mkfs.${kind}`) === null) return `needs ${kind === "xfs" ? "xfsprogs" : "btrfs-progs"}`;
	const known = await Bun.file("/proc/filesystems").text();
	return known.split("\n").includes(`\t${kind}`) ? null : `this kernel has no ${kind}`;
}

async function mounted(kind: "xfs" | "btrfs") {
	const folder = await temporaryFolder();
	const [file, path] = [join(folder.path, "disk"), join(folder.path, "mount")];
	await writeFile(file, "");
	await truncate(file, 320 * MiB);
	await run(`mkfs.${kind}`, ["-q", ...(kind === "xfs" ? ["-m", "reflink=1"] : []), file], limit);
	await mkdir(path);
	await run("mount", ["-t", kind, "-o", "loop,nodev,nosuid", "--", file, path], limit);
	return {
		path,
		async usedBytes() {
			await run("sync", ["-f", path], limit);
			const { blocks, bfree, bsize } = await statfs(path);
			return (blocks - bfree) * bsize;
		},
		async [Symbol.asyncDispose]() {
			await run("umount", ["--", path], limit);
			await folder[Symbol.asyncDispose]();
		},
	};
}

/** Whether another file has blocks of the volume's, as the file system itself counts. */
async function shared(driver: StorageDriver, id: string, wanted: boolean): Promise<void> {
	const path = sourceName((await driver.attachInfo(id)).source);
	const { stdout } = await run("xfs_io", ["-r", "-c", "fiemap -v", "--", path], limit);
	// FIEMAP_EXTENT_SHARED, in the last column.
	const flags = [...stdout.matchAll(/0x([0-9a-f]+)$/gm)].map(([, hex]) => Number.parseInt(hex ?? "", 16));
	expect(flags.length).toBeGreaterThan(0);
	expect(flags.some((one) => (one & 0x2000) !== 0)).toBe(wanted);
}

test.skipIf(reason !== null)(
	`copies take no space${reason ? ` (skipped: ${reason})` : ""}`,
	async () => {
		await using disk = await mounted("xfs");
		const driver = await openLocal(join(disk.path, "pool"));
		expect(driver.capabilities.reasons.reflink).toBeUndefined();
		const bytes = pattern(size);
		const image = await makeImage(driver, bytes);
		const [raw, copy, qcow2, second] = [newId(), newId(), newId(), newId()];
		const volume = (id: string) => ({ kind: "volume", id, fullCopy: true }) as const;
		const used = await disk.usedBytes();
		await driver.createVolume(raw, {
			...{ format: "raw", sizeBytes: size, source: { kind: "image", id: image, fullCopy: true } },
		});
		await driver.createVolume(copy, { format: "raw", sizeBytes: size + 8 * MiB, source: volume(raw) });
		expect((await disk.usedBytes()) - used).toBeLessThan(8 * MiB);
		expectSame((await diskContent(driver, copy)).subarray(0, bytes.length), bytes);
		expect((await stat(sourceName((await driver.attachInfo(copy)).source))).mode & 0o777).toBe(0o600);

		// Another format is written anew; that one has company then.
		await driver.createVolume(qcow2, { format: "qcow2", sizeBytes: size, source: volume(raw) });
		const before = await disk.usedBytes();
		expect(before - used).toBeGreaterThan(size - 4 * MiB);
		await driver.createVolume(second, { format: "qcow2", sizeBytes: size, source: volume(qcow2) });
		expect((await disk.usedBytes()) - before).toBeLessThan(8 * MiB);
		await writeDisk(driver, second, 0, pattern(MiB, 9));
		expectSame(await diskContent(driver, qcow2), bytes);
		expectSame((await diskContent(driver, second)).subarray(0, MiB), pattern(MiB, 9));

		// A thick copy has blocks of its own.
		const [thick, withThick] = [newId(), await disk.usedBytes()];
		const own = { format: "raw", sizeBytes: size, provisioning: "thick", source: volume(raw) } as const;
		await driver.createVolume(thick, own);
		expect((await disk.usedBytes()) - withThick).toBeGreaterThan(size - 4 * MiB);

		// And so has what is made of a thick one: else its guest's next writes would want new blocks.
		const ofThick = { format: "raw", sizeBytes: size, source: volume(thick) } as const;
		await shared(driver, thick, false);
		const [thinCopy, ofIt] = [newId(), newId()];
		await driver.createVolume(thinCopy, ofThick);
		await driver.imageFromVolume(ofIt, thick, { format: "raw" });
		const { stream } = await driver.exportVolume(thick, "raw", {});
		try {
			await shared(driver, thick, false);
		} finally {
			await stream.cancel();
		}
		await shared(driver, raw, true);
		await driver.fillVolume(thick, {});

		await using _qemu = await holdOpen(sourceName((await driver.attachInfo(qcow2)).source), "qcow2");
		await fails("in-use", driver.createVolume(newId(), { format: "qcow2", sizeBytes: size, source: volume(qcow2) }));
	},
	60_000,
);

test("where files cannot share blocks, the pool says so", async () => {
	await using folder = await temporaryFolder();
	const driver = await openLocal(join(folder.path, "pool"));
	const { stdout } = await run("stat", ["-f", "-c", "%T", "--", folder.path], limit);
	const can = ["xfs", "btrfs"].includes(stdout.trim());
	expect(driver.capabilities.reasons.reflink === undefined).toBe(can);
});

test.skipIf(noBtrfs !== null)(
	`on btrfs there are thick volumes where it writes in place${noBtrfs ? ` (skipped: ${noBtrfs})` : ""}`,
	async () => {
		await using disk = await mounted("btrfs");
		const driver = await openLocal(join(disk.path, "pool"));
		const { provisioning, reasons } = driver.capabilities;
		expect([provisioning, reasons.provisioning]).toEqual([["thin"], expect.stringContaining("btrfs")]);
		const options = { format: "raw", sizeBytes: MiB, provisioning: "thick", source: { kind: "empty" } } as const;
		expect(await fails("unsupported", driver.createVolume(newId(), options))).toBe(reasons.provisioning ?? "");

		const inPlace = join(disk.path, "in-place");
		await mkdir(inPlace, { mode: 0o711 });
		await run("chattr", ["+C", "--", inPlace], limit);
		const other = await openLocal(inPlace);
		expect(other.capabilities.provisioning).toEqual(["thin", "thick"]);
		await other.createVolume(newId(), options);
	},
	60_000,
);
