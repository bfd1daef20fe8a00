/** Conformance, images: uploads, checks, import. See conformance.ts. */

import { expect, test } from "bun:test";
import { GiB, MiB } from "../lib/units.ts";
import { sourceName } from "../model/disk-source.ts";
import {
	diskContent,
	expectSame,
	fails,
	hostileIds,
	makeImage,
	newId,
	pattern,
	readAll,
	type Suite,
	sha256,
	upload,
} from "./conformance.ts";
import { qcow2Sample } from "./inspect/qcow2-sample.ts";

const latin1 = (text: string) => Uint8Array.from(Buffer.from(text, "latin1"));
const padded = (bytes: Uint8Array, length = MiB, at = 0) => {
	const all = new Uint8Array(length);
	all.set(bytes, at);
	return all;
};
export const isoSample = () => padded(latin1("\x01CD001\x01"), 64 * 1024, 32_768);

/** Files that must never become an image, with the format that they are said to have. */
export const hostileImages: { name: string; format: "raw" | "qcow2" | "iso"; bytes: Uint8Array }[] = [
	{ name: "qcow2 said to be raw", format: "raw", bytes: qcow2Sample({ virtualSizeBytes: MiB }) },
	{ name: "qcow2 said to be iso", format: "iso", bytes: padded(latin1("QFI\xfb"), 64 * 1024) },
	{ name: "raw said to be qcow2", format: "qcow2", bytes: pattern(MiB) },
	{ name: "raw said to be iso", format: "iso", bytes: pattern(MiB) },
	{ name: "vmdk said to be raw", format: "raw", bytes: padded(latin1("KDMV\x01\0\0\0")) },
	{ name: "vmdk said to be qcow2", format: "qcow2", bytes: padded(latin1("KDMV\x01\0\0\0")) },
	{
		name: "vmdk descriptor with an extent",
		format: "raw",
		bytes: padded(latin1('# Disk DescriptorFile\nversion=1\nRW 2048 FLAT "/etc/passwd" 0\n')),
	},
	{ name: "vhd said to be raw", format: "raw", bytes: padded(latin1("conectix"), MiB, MiB - 512) },
	{ name: "vhdx said to be raw", format: "raw", bytes: padded(latin1("vhdxfile")) },
	{ name: "vdi said to be raw", format: "raw", bytes: padded(Uint8Array.of(0x7f, 0x10, 0xda, 0xbe), MiB, 64) },
	{ name: "luks said to be raw", format: "raw", bytes: padded(latin1("LUKS\xba\xbe\0\x02")) },
	{ name: "gzip said to be raw", format: "raw", bytes: padded(Uint8Array.of(0x1f, 0x8b, 8)) },
	{ name: "xz said to be raw", format: "raw", bytes: padded(latin1("\xfd7zXZ\0")) },
	{ name: "raw cut short", format: "raw", bytes: pattern(1000) },
	{
		name: "qcow2 with a backing file",
		format: "qcow2",
		bytes: qcow2Sample({ virtualSizeBytes: MiB, backingFile: "/etc/passwd" }),
	},
	{
		name: "qcow2 with a json: backing file",
		format: "qcow2",
		bytes: qcow2Sample({
			...{ virtualSizeBytes: MiB, version: 2 },
			backingFile: 'json:{"driver":"raw","file":{"driver":"file","filename":"/etc/passwd"}}',
		}),
	},
	{
		name: "qcow2 with an nbd: backing file",
		format: "qcow2",
		bytes: qcow2Sample({ virtualSizeBytes: MiB, backingFile: "nbd:127.0.0.1:1" }),
	},
	{
		name: "qcow2 with a data file",
		format: "qcow2",
		bytes: qcow2Sample({
			...{ virtualSizeBytes: MiB, incompatibleFeatures: 4n },
			extensions: [{ type: 0x44415441, data: latin1("/etc/passwd") }],
		}),
	},
	{
		name: "qcow2 with a data file that no feature bit announces",
		format: "qcow2",
		bytes: qcow2Sample({ virtualSizeBytes: MiB, extensions: [{ type: 0x44415441, data: latin1("/etc/passwd") }] }),
	},
	{ name: "encrypted qcow2 (AES)", format: "qcow2", bytes: qcow2Sample({ virtualSizeBytes: MiB, cryptMethod: 1 }) },
	{
		name: "encrypted qcow2 (LUKS)",
		format: "qcow2",
		bytes: qcow2Sample({
			...{ virtualSizeBytes: MiB, cryptMethod: 2 },
			extensions: [{ type: 0x0537be77, data: new Uint8Array(16) }],
		}),
	},
	{ name: "corrupt qcow2", format: "qcow2", bytes: qcow2Sample({ virtualSizeBytes: MiB, incompatibleFeatures: 2n }) },
	{
		name: "qcow2 with unknown features",
		format: "qcow2",
		bytes: qcow2Sample({ virtualSizeBytes: MiB, incompatibleFeatures: 64n }),
	},
	{
		name: "qcow2 with a disk of 8 EiB",
		format: "qcow2",
		bytes: (() => {
			const bytes = qcow2Sample({ virtualSizeBytes: MiB });
			new DataView(bytes.buffer).setBigUint64(24, 2n ** 63n - 1n);
			return bytes;
		})(),
	},
	{ name: "qcow2 of no size", format: "qcow2", bytes: qcow2Sample({ virtualSizeBytes: 0 }) },
	{ name: "qcow2 header cut short", format: "qcow2", bytes: qcow2Sample({ virtualSizeBytes: MiB }).subarray(0, 100) },
];

export function imageConformance(suite: Suite): void {
	const { driver, pool, check, under, format: anyFormat } = suite;
	/** As what a pool keeps an image that came as qcow2. */
	const kept = anyFormat;

	test("an upload becomes an image", async () => {
		const bytes = pattern(3 * MiB);
		const id = newId();
		await upload(driver(), id, bytes);
		expect(await driver().getImage(id)).toBeNull();
		const made = await driver().finishImage(id, { format: "raw", sha256: sha256(bytes) });
		const info = { id, format: "raw" as const, fileSizeBytes: bytes.length, virtualSizeBytes: bytes.length };
		expect(made).toEqual({ ...info, sha256: sha256(bytes) });
		expect(await driver().getImage(id)).toEqual(info);
		expect(await driver().getUpload(id)).toBeNull();
		expect(sourceName(await driver().imageSource(id))).toContain(id);
		const { sizeBytes, stream } = await driver().openImage(id);
		expect(sizeBytes).toBe(bytes.length);
		expectSame(await readAll(stream), bytes);
		expect(await driver().finishImage(id, { format: "raw", sha256: null })).toEqual(made);
		expect(await driver().listImages()).toEqual([id]);
		await fails("invalid", driver().finishImage(id, { format: "raw", sha256: "0".repeat(64) }));
		await fails("already-exists", driver().openUpload(id, 10));
	});

	test("takes qcow2 of both versions, and iso", async () => {
		for (const version of [2, 3] as const) {
			const id = await makeImage(driver(), qcow2Sample({ virtualSizeBytes: 10 * GiB, version }), "qcow2");
			expect(await driver().getImage(id)).toMatchObject({ format: kept, virtualSizeBytes: 10 * GiB });
			const volume = newId();
			const source = { kind: "image", id, fullCopy: false } as const;
			const made = await driver().createVolume(volume, { format: anyFormat, sizeBytes: 10 * GiB, source });
			expect(made.backing).toEqual(under.copiesStandAlone ? [] : [{ kind: "image", id, format: kept }]);
		}
		const iso = await makeImage(driver(), isoSample(), "iso");
		expect(await driver().getImage(iso)).toMatchObject({ format: "iso", virtualSizeBytes: 64 * 1024 });
		expect(sourceName(await driver().imageSource(iso))).toContain(iso);
		for (const fullCopy of [true, false]) {
			const source = { kind: "image", id: iso, fullCopy } as const;
			await fails("invalid", driver().createVolume(newId(), { format: anyFormat, sizeBytes: MiB, source }));
		}
	});

	for (const { name, format, bytes } of hostileImages) {
		test(`refuses ${name}`, async () => {
			const id = newId();
			await upload(driver(), id, bytes);
			const message = await fails("invalid", driver().finishImage(id, { format, sha256: null }));
			expect(message).not.toContain("/etc/passwd");
			expect(await driver().getImage(id)).toBeNull();
			await driver().deleteImage(id);
			expect(await driver().getUpload(id)).toBeNull();
		});
	}

	test("an upload goes on where it stopped", async () => {
		const bytes = pattern(300_000);
		const id = newId();
		const first = await driver().openUpload(id, bytes.length);
		await first.write(bytes.subarray(0, 100_001));
		await first.close();
		expect(await driver().getUpload(id)).toEqual({ receivedBytes: 100_001, totalBytes: bytes.length, validator: null });
		await fails("wrong-state", driver().finishImage(id, { format: "raw", sha256: null }));
		await fails("wrong-state", driver().openUpload(id, 5));
		const again = await (await pool().reopen()).openUpload(id, bytes.length);
		expect(again.receivedBytes).toBe(100_001);
		await Promise.all([again.write(bytes.subarray(100_001, 200_000)), again.write(bytes.subarray(200_000))]);
		await fails("invalid", again.write(Uint8Array.of(1)));
		await again.close();
		await fails("wrong-state", again.write(Uint8Array.of(1)));
	});

	test("an upload that was resumed has the right checksum", async () => {
		const bytes = pattern(512 * 1000);
		const id = newId();
		let current = driver();
		for (const [from, to] of [
			[0, 65_536],
			[65_536, 65_537],
			[65_537, 512_000],
		]) {
			const file = await current.openUpload(id, bytes.length);
			expect(file.receivedBytes).toBe(from ?? 0);
			await file.write(bytes.subarray(from, to));
			await file.close();
			if (from === 0) current = await pool().reopen();
		}
		const { sha256: found } = await current.finishImage(id, { format: "raw", sha256: sha256(bytes) });
		expect(found).toBe(sha256(bytes));
		expectSame(await readAll((await current.openImage(id)).stream), bytes);
	});

	test("a length that is not known at first, a validator, beginning again", async () => {
		const id = newId();
		const first = await driver().openUpload(id, null, { validator: '"one"' });
		await first.write(pattern(100));
		await first.close();
		expect(await driver().getUpload(id)).toEqual({ receivedBytes: 100, totalBytes: null, validator: '"one"' });
		const second = await driver().openUpload(id, 512, { restart: true, validator: '"two"' });
		expect(second.receivedBytes).toBe(0);
		await second.write(pattern(512));
		await second.close();
		expect(await driver().getUpload(id)).toEqual({ receivedBytes: 512, totalBytes: 512, validator: '"two"' });
		const { sha256: found } = await driver().finishImage(id, { format: "raw", sha256: null });
		expect(found).toBe(sha256(pattern(512)));
	});

	test("one writer at a time; deleting ends the upload", async () => {
		const id = newId();
		const first = await driver().openUpload(id, 1000);
		await fails("in-use", driver().openUpload(id, 1000));
		await fails("in-use", driver().finishImage(id, { format: "raw", sha256: null }));
		await first.write(pattern(10));
		await driver().deleteImage(id);
		await fails("canceled", first.write(pattern(10)));
		await first.close();
		expect(await driver().getUpload(id)).toBeNull();
		await fails("not-found", driver().finishImage(id, { format: "raw", sha256: null }));
	});

	test("a wrong checksum makes no image", async () => {
		const id = newId();
		await upload(driver(), id, pattern(MiB));
		const message = await fails("invalid", driver().finishImage(id, { format: "raw", sha256: "0".repeat(64) }));
		expect(message).toContain(sha256(pattern(MiB)));
		expect(await driver().getImage(id)).toBeNull();
	});

	test("imports a file of the node", async () => {
		const bytes = pattern(2 * MiB);
		const path = await pool().hostFile("disk.img", bytes);
		const id = newId();
		await driver().importFile(id, path, {});
		await driver().importFile(id, path, {});
		expect(await driver().getUpload(id)).toMatchObject({ receivedBytes: bytes.length, totalBytes: bytes.length });
		await driver().finishImage(id, { format: "raw", sha256: sha256(bytes) });
		expect(await pool().hostFileExists(path)).toBe(true);
		await fails("invalid", driver().importFile(newId(), `${path}.missing`, {}));
		await fails("canceled", driver().importFile(newId(), path, { signal: AbortSignal.abort() }));
	});

	check("makes an image of a volume", under.decodesQcow2, async () => {
		const base = await makeImage(driver(), pattern(MiB));
		const volume = newId();
		const source = { kind: "image", id: base, fullCopy: false } as const;
		await driver().createVolume(volume, { format: anyFormat, sizeBytes: 2 * MiB, source });
		for (const format of ["qcow2", "raw"] as const) {
			const id = newId();
			await driver().imageFromVolume(id, volume, { format });
			const made = await driver().finishImage(id, { format, sha256: null });
			expect(made).toMatchObject({ format: format === "qcow2" ? kept : format, virtualSizeBytes: 2 * MiB });
			const copy = newId();
			await driver().createVolume(copy, {
				...{ format: "raw", sizeBytes: 2 * MiB, source: { kind: "image", id, fullCopy: true } },
			});
			expectSame((await diskContent(driver(), copy)).subarray(0, MiB), pattern(MiB));
		}
		await fails("not-found", driver().imageFromVolume(newId(), newId(), {}));
	});

	test("deletes; what is not there is no error", async () => {
		const id = await makeImage(driver(), pattern(512));
		await driver().deleteImage(id);
		await driver().deleteImage(id);
		expect(await driver().getImage(id)).toBeNull();
		expect(await driver().listImages()).toEqual([]);
		await fails("not-found", driver().imageSource(id));
		await fails("not-found", driver().openImage(id));
	});

	test("refuses ids that are not UUIDs", async () => {
		for (const id of hostileIds) {
			await fails("invalid", driver().openUpload(id, 10));
			await fails("invalid", driver().getUpload(id));
			await fails("invalid", driver().finishImage(id, { format: "raw", sha256: null }));
			await fails("invalid", driver().importFile(id, "/tmp/x", {}));
			await fails("invalid", driver().imageFromVolume(id, newId(), {}));
			await fails("invalid", driver().imageFromVolume(newId(), id, {}));
			await fails("invalid", driver().getImage(id));
			await fails("invalid", driver().imageSource(id));
			await fails("invalid", driver().deleteImage(id));
			await fails("invalid", driver().openImage(id));
		}
	});
}
