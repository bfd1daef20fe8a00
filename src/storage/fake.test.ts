/** The fake driver passes the same suite as the real ones, and fails and waits on demand. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import { fails, foreignFileNames, newId, storageConformance } from "./conformance.ts";
import { FakePool, FakeStorageDriver } from "./fake.ts";

const noQcow2 = "the fake keeps no content of qcow2 files";

storageConformance({
	name: "fake",
	capabilities: new FakeStorageDriver().capabilities,
	decodesQcow2: noQcow2,
	foreignNames: foreignFileNames,
	mergesLayers: true,
	async open() {
		const pool = new FakePool();
		return {
			driver: new FakeStorageDriver(pool),
			async reopen() {
				for (const upload of pool.uploads.values()) upload.writer = null;
				return new FakeStorageDriver(pool);
			},
			// What is in it does not depend on its files.
			mergeLayers: async () => {},
			async writeDisk(driver, id, position, bytes) {
				if (driver instanceof FakeStorageDriver) driver.writeContent(id, position, bytes);
			},
			async hostFile(name, bytes) {
				pool.hostFiles.set(`/host/${name}`, bytes);
				return `/host/${name}`;
			},
			hostFileExists: async (path) => pool.hostFiles.has(path),
			removeHostFile: async (path) => void pool.hostFiles.delete(path),
			async placeForeign(name, what) {
				const kind = what === "thing" ? "file" : what === "link" ? "other" : "folder";
				const nameIsExact = typeof name === "string";
				pool.strays.set(nameIsExact ? name : new TextDecoder().decode(name), { kind, nameIsExact });
			},
			async close() {},
		};
	},
});

test("fails once when told to, and changes nothing then", async () => {
	const driver = new FakeStorageDriver();
	const id = newId();
	driver.failNext("createVolume", new AppError("no-space", "full"));
	const options = { format: "qcow2", sizeBytes: MiB, source: { kind: "empty" } } as const;
	await fails("no-space", driver.createVolume(id, options));
	expect(await driver.getVolume(id)).toBeNull();
	await driver.createVolume(id, options);
	expect(driver.calls).toEqual(["createVolume", "getVolume", "createVolume"]);
});

test("waits while held, until released or canceled", async () => {
	const driver = new FakeStorageDriver();
	const release = driver.hold("createVolume");
	const options = { format: "qcow2", sizeBytes: MiB, source: { kind: "empty" } } as const;
	const abort = new AbortController();
	const canceled = fails("canceled", driver.createVolume(newId(), { ...options, signal: abort.signal }));
	const waiting = driver.createVolume(newId(), options);
	abort.abort();
	await canceled;
	expect(await driver.listVolumes()).toEqual([]);
	release();
	expect((await waiting).sizeBytes).toBe(MiB);
});
