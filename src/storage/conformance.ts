/**
 * One suite for all storage drivers, the fake included: what the interface promises, seen from outside. A test that a
 * driver's capabilities rule out is skipped with the reason that the driver itself gives.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { present } from "../lib/assert.ts";
import { systemClock } from "../lib/clock.ts";
import { type ErrorCode, isAppError, toAppError } from "../lib/errors.ts";
import { idSource } from "../lib/ids.ts";
import { systemRandom } from "../lib/random.ts";
import { MiB } from "../lib/units.ts";
import type { PoolCapabilities, VolumeFormat } from "../model/storage.ts";
import { adoptionConformance } from "./conformance-adoption.ts";
import { DriverCalls } from "./conformance-calls.ts";
import { contentConformance } from "./conformance-content.ts";
import { flattenConformance } from "./conformance-flatten.ts";
import { imageConformance } from "./conformance-images.ts";
import { provisioningConformance } from "./conformance-provisioning.ts";
import { snapshotConformance } from "./conformance-snapshots.ts";
import { transferConformance } from "./conformance-transfer.ts";
import { volumeConformance } from "./conformance-volumes.ts";
import type { LayerMerge, StorageDriver } from "./driver.ts";

/** One pool of one test. */
export type StoragePoolUnderTest = {
	/** Activated. */
	driver: StorageDriver;
	/** A new driver on the same pool, as after a restart of the daemon; activated. The old one is not used again. */
	reopen(): Promise<StorageDriver>;
	/** Writes into the disk as its guest would. */
	writeDisk(driver: StorageDriver, id: string, position: number, bytes: Uint8Array): Promise<void>;
	/** Does what QEMU does with a disk that it has open, where `mergesLayers`. */
	mergeLayers?(driver: StorageDriver, id: string, merge: LayerMerge): Promise<void>;
	/** Makes a file on the node, outside of the pool; its path. */
	hostFile(name: string, bytes: Uint8Array): Promise<string>;
	hostFileExists(path: string): Promise<boolean>;
	removeHostFile(path: string): Promise<void>;
	/**
	 * Puts something of nobody's at the top of the pool, past the driver: what is stored there (a file, an image of RBD, a logical
	 * volume), or in pools of files a folder, or a link to the root folder of the node.
	 */
	placeForeign(name: string | Uint8Array, what: "thing" | "folder" | "link"): Promise<void>;
	close(): Promise<void>;
};

export type StorageUnderTest = {
	name: string;
	capabilities: PoolCapabilities;
	open(): Promise<StoragePoolUnderTest>;
	/** True when the content of qcow2 files is real; else the reason why it is not. */
	decodesQcow2: true | string;
	/** True when files are taken over where they lie (the default); else the reason why not. */
	adoptsFiles?: true | string;
	/** Snapshots go while a VM has the disk open, by merges of QEMU for which the pool under test has a stand-in. */
	mergesLayers?: true;
	/** Volumes have all of their space from the beginning. */
	preallocates?: true;
	/** It is not known what a volume takes: its whole size is said instead. */
	countsWhole?: true;
	/** What sizes of disks are rounded up to (default: a sector). */
	sizeStepBytes?: number;
	/** Copy-on-write copies depend on nothing: what they were made of can be deleted. */
	copiesStandAlone?: true;
	/** What others may call their things there, as far as the pool goes; bytes are no UTF-8. */
	foreignNames: readonly (string | Uint8Array)[];
	/** True when things lie in folders (the default); else the reason why not. */
	hasFolders?: true | string;
	/** True when uploads grow in the pool itself (the default); else the reason why not. */
	keepsUploads?: true | string;
};

export type Suite = {
	pool(): StoragePoolUnderTest;
	driver(): StorageDriver;
	/** `needs`: true, or the reason why the test is skipped. */
	check(name: string, needs: true | string, body: () => Promise<void>): void;
	capability(name: keyof PoolCapabilities): true | string;
	/** True when the pool has volumes of this format; else the reason why a test for them is skipped. */
	has(format: VolumeFormat): true | string;
	/** What volumes are made in where a test does not care, and copy-on-write copies always: qcow2 where the pool has it. */
	format: VolumeFormat;
	under: StorageUnderTest;
};

export const { newId } = idSource(systemClock, systemRandom);

export const hostileIds = [
	"",
	"../../etc/passwd",
	"-o preallocation=full",
	"01890000-0000-7000-8000-00000000000g",
	"01890000-0000-7000-8000-000000000000\n",
	"01890000-0000-7000-8000-000000000000/../x",
	"01890000-0000-7000-8000-00000000000\0",
	"01890000-0000-7000-8000-00000000000A",
	"@snapshot",
	"a".repeat(4096),
];

/** For pools of files. Each has 255 bytes at most. */
export const foreignFileNames: readonly (string | Uint8Array)[] = [
	"debian-12.iso",
	"line\nbreak and\ttab",
	"-rf",
	"'single' \"double\" `back` $HOME \\ {}",
	"01890000-0000-7000-8000-000000000001",
	"volumes.old",
	"\u202egpj.exe \u200b",
	" ",
	"x".repeat(255),
	"ü".repeat(127),
	new Uint8Array([0x66, 0xff, 0xfe, 0x80]),
];

/** How long what a failed test has left is waited for. */
const callsLimitMs = 60_000;

export function storageConformance(under: StorageUnderTest): void {
	describe(`storage conformance: ${under.name}`, () => {
		let current: StoragePoolUnderTest | null = null;
		let calls = new DriverCalls();
		beforeEach(async () => {
			calls = new DriverCalls();
			const pool = await under.open();
			current = {
				...pool,
				driver: calls.watch(pool.driver),
				reopen: async () => calls.watch(await pool.reopen()),
			};
		});
		afterEach(async () => {
			await calls.ended(callsLimitMs);
			await current?.close();
			current = null;
		});
		const suite: Suite = {
			under,
			pool: () => present(current, "the pool"),
			driver: () => present(current, "the pool").driver,
			check(name, needs, body) {
				if (needs === true) test(name, body);
				else test.skip(`${name} (skipped: ${needs})`, body);
			},
			capability(name) {
				const value = under.capabilities[name];
				return value === false ? (under.capabilities.reasons[name] ?? `no ${name}`) : true;
			},
			has: (format) => under.capabilities.formats.includes(format) || `the pool has no ${format} volumes`,
			format: under.capabilities.formats.includes("qcow2") ? "qcow2" : "raw",
		};
		poolConformance(suite);
		volumeConformance(suite);
		provisioningConformance(suite);
		adoptionConformance(suite);
		transferConformance(suite);
		imageConformance(suite);
		snapshotConformance(suite);
		flattenConformance(suite);
		contentConformance(suite);
	});
}

function poolConformance({ pool, driver, check, under, format }: Suite): void {
	test("says what it can do, with a reason for what it cannot", () => {
		expect(driver().capabilities).toEqual(under.capabilities);
		const { formats, reasons, ...flags } = driver().capabilities;
		expect(formats.length).toBeGreaterThan(0);
		for (const [name, value] of Object.entries(flags))
			if (value === false) expect(reasons[name] ?? `no reason for ${name}`).toMatch(/\.$/);
	});

	test("activate may be repeated, with operations in between", async () => {
		const id = newId();
		await driver().createVolume(id, { format, sizeBytes: MiB, source: { kind: "empty" } });
		await driver().activate();
		await driver().activate();
		expect((await driver().getVolume(id))?.sizeBytes).toBe(MiB);
	});

	test("a volume that is being read when the pool is to be let go of is read to its end", async () => {
		const [id, bytes] = [newId(), pattern(300_000)];
		await driver().createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
		await pool().writeDisk(driver(), id, 0, bytes);
		const { stream, sizeBytes } = await driver().readVolume(id, {});
		// Where it was copied out of the pool before, that is not used any more.
		const refusal = await driver()
			.deactivate()
			.then(() => null, toAppError);
		if (refusal !== null) {
			expect(refusal.code).toBe("in-use");
			expect((await driver().check()).totalBytes).toBeGreaterThan(0);
		}
		const read = await readAll(stream);
		expect(read.length).toBe(sizeBytes);
		expectSame(read.subarray(0, bytes.length), bytes);
		if (refusal !== null) await driver().deactivate();
		await driver().activate();
		expect((await driver().getVolume(id))?.sizeBytes).toBe(4 * MiB);
	});

	check("it is not let go of while a volume comes in", under.keepsUploads ?? true, async () => {
		const [id, bytes] = [newId(), pattern(MiB)];
		const [begun, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
		const stream = new ReadableStream<Uint8Array>(
			{
				async pull(controller) {
					begun.resolve();
					await mayEnd.promise;
					controller.enqueue(bytes);
					controller.close();
				},
			},
			{ highWaterMark: 0 },
		);
		const receiving = driver().receiveVolume(id, { format: "raw", sizeBytes: bytes.length, stream }, {});
		receiving.catch(() => {});
		try {
			await begun.promise;
			await fails("in-use", driver().deactivate());
		} finally {
			mayEnd.resolve();
		}
		expect((await receiving).sizeBytes).toBe(bytes.length);
		await driver().deactivate();
		await driver().activate();
		expectSame(await diskContent(driver(), id), bytes);
	});

	test("check measures the pool", async () => {
		const usage = await driver().check();
		expect(usage.totalBytes).toBeGreaterThan(0);
		expect(usage.availableBytes).toBeGreaterThan(0);
		expect(usage.usedBytes + usage.availableBytes).toBeLessThanOrEqual(usage.totalBytes);
	});

	test("a trial measures it and leaves nothing", async () => {
		await driver().createVolume(newId(), { format, sizeBytes: MiB, source: { kind: "empty" } });
		const before = await driver().listVolumes();
		const usage = await driver().probe();
		expect(usage.totalBytes).toBeGreaterThan(0);
		expect(usage.availableBytes).toBeGreaterThan(0);
		expect(await driver().listVolumes()).toEqual(before);
		expect(await driver().listImages()).toEqual([]);
		expect((await driver().check()).totalBytes).toBeGreaterThan(0);
	});

	test("everything is there after a restart", async () => {
		const [volume, upload] = [newId(), newId()];
		await driver().createVolume(volume, { format: "raw", sizeBytes: 2 * MiB, source: { kind: "empty" } });
		const image = await makeImage(driver(), pattern(64 * 1024));
		const file = await driver().openUpload(upload, 100);
		await file.write(pattern(40));
		await file.close();
		const reopened = await pool().reopen();
		expect(await reopened.getVolume(volume)).toMatchObject({ format: "raw", sizeBytes: 2 * MiB, backing: [] });
		expect((await reopened.listVolumes()).map(({ id }) => id)).toEqual([volume]);
		expect(await reopened.getImage(image)).toMatchObject({ format: "raw", virtualSizeBytes: 64 * 1024 });
		expect((await reopened.getUpload(upload))?.receivedBytes).toBe(40);
	});
}

/** Expects the AppError `code`; its message, for more. */
export async function fails(code: ErrorCode, work: Promise<unknown>): Promise<string> {
	try {
		await work;
	} catch (error) {
		if (!isAppError(error)) throw error;
		expect(`${error.code}: ${error.message}`).toStartWith(`${code}:`);
		return error.message;
	}
	throw new Error(`expected the error ${code}, but nothing failed`);
}

/** Bytes that are not zero and not the same on every page. */
export function pattern(length: number, seed = 1): Uint8Array {
	const bytes = new Uint8Array(length);
	for (let at = 0; at < length; at++) bytes[at] = 1 + ((at * 7 + (at >> 12) * 13 + seed) % 255);
	return bytes;
}

export const sha256 = (bytes: Uint8Array): string => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

export async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
	return new Uint8Array(await new Response(stream).arrayBuffer());
}

export async function upload(driver: StorageDriver, id: string, bytes: Uint8Array): Promise<void> {
	const file = await driver.openUpload(id, bytes.length);
	await file.write(bytes);
	await file.close();
}

export async function makeImage(
	driver: StorageDriver,
	bytes: Uint8Array,
	format: "raw" | "qcow2" | "iso" = "raw",
): Promise<string> {
	const id = newId();
	await upload(driver, id, bytes);
	await driver.finishImage(id, { format, sha256: null });
	return id;
}

/** The disk as its guest sees it. */
export async function diskContent(driver: StorageDriver, id: string): Promise<Uint8Array> {
	const { sizeBytes, stream } = await driver.exportVolume(id, "raw", {});
	const bytes = await readAll(stream);
	expect(bytes.length).toBe(sizeBytes);
	return bytes;
}

/** Same bytes, without printing megabytes when they are not. */
export function expectSame(found: Uint8Array, wanted: Uint8Array): void {
	expect(found.length).toBe(wanted.length);
	const at = found.findIndex((byte, index) => byte !== wanted[index]);
	expect(at === -1 ? "same" : `differs at ${at}`).toBe("same");
}
