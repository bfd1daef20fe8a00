/**
 * Every operation of a pool ended at each of its steps: either all of it is there afterwards or nothing, and it can be done again. The same list
 * for thick and for thin pools; a test file says what the pools are on.
 */
import { expect, test } from "bun:test";
import { MiB } from "../../../lib/units.ts";
import type { VolumeFormat } from "../../../model/storage.ts";
import { diskContent, expectSame, newId, pattern, upload } from "../../conformance.ts";
import type { CreateSource } from "../../driver.ts";
import { writeDisk } from "../../local/testing/local-pool.ts";
import type { IscsiLvmDriver } from "../driver.ts";
import { block, type Cut, type CutPool, everyStep, holds, write } from "./interrupted.ts";

const sizeBytes = 4 * MiB;
const empty: CreateSource = { kind: "empty" };

export type InterruptedOptions = {
	layout: "thick" | "thin";
	open(): Promise<CutPool>;
	/** Of each test. */
	limitMs: number;
};

export function interruptedOperations({ layout, open, limitMs }: InterruptedOptions): void {
	const usual = layout === "thin" ? "raw" : "qcow2";
	const isThin = layout === "thin";
	const make = (driver: IscsiLvmDriver, id: string, source: CreateSource, format: VolumeFormat = usual) =>
		driver.createVolume(id, { format, sizeBytes, source });
	const started = async (pool: CutPool) => {
		const driver = pool.driver();
		await driver.activate();
		return driver;
	};

	test(
		"volumes are made, used, received and deleted",
		async () => {
			await using pool = await open();
			const [base, one] = [newId(), newId()];
			const first = await started(pool);
			await make(first, base, empty);
			await write(first, base, 0, 1);
			const lvs = await pool.lvNames();
			const gone = async (driver: IscsiLvmDriver) => {
				await driver.deleteVolume(one);
				expect((await driver.listVolumes()).map(({ id }) => id)).toEqual([base]);
				expect(await pool.lvNames()).toEqual(lvs);
			};
			for (const format of isThin ? (["raw"] as const) : (["qcow2", "raw"] as const))
				await everyStep(pool, {
					least: 3,
					work: (driver) => make(driver, one, empty, format),
					async afterwards(driver) {
						await make(driver, one, empty, format);
						await holds(driver, one, [0]);
						await gone(driver);
					},
				});
			await everyStep(pool, {
				least: 4,
				async work(driver) {
					await make(driver, one, empty);
					await driver.deleteVolume(one);
				},
				afterwards: gone,
			});
			await everyStep(pool, {
				least: 2,
				async work(driver) {
					await driver.openVolume(base);
					await driver.closeVolume(base);
				},
				async afterwards(driver) {
					await write(driver, base, 1, 2);
					await holds(driver, base, [1, 2]);
				},
			});
			const content = pattern(sizeBytes, 5);
			const receive = (driver: IscsiLvmDriver) =>
				driver.receiveVolume(
					one,
					{ format: "raw", sizeBytes, stream: new Blob([new Uint8Array(content)]).stream() },
					{},
				);
			await everyStep(pool, {
				least: 3,
				work: receive,
				async afterwards(driver) {
					if ((await driver.getVolume(one)) === null) await receive(driver);
					expectSame(await diskContent(driver, one), content);
					await gone(driver);
				},
			});
		},
		limitMs,
	);

	test(
		"copies are made",
		async () => {
			await using pool = await open();
			const [image, snapshotId, one] = [newId(), newId(), newId()];
			let base = newId();
			const first = await started(pool);
			await upload(first, image, pattern(block, 4));
			await first.finishImage(image, { format: "raw", sha256: null });
			const makeBase = async (driver: IscsiLvmDriver) => {
				await make(driver, base, empty);
				await write(driver, base, 0, 1);
			};
			await makeBase(first);
			const copied = (source: () => CreateSource, seed: number, then: Cut["afterwards"] = async () => {}) =>
				everyStep(pool, {
					least: 3,
					work: (driver) => make(driver, one, source()),
					async afterwards(driver) {
						await holds(driver, base, [1]);
						await make(driver, one, source());
						await holds(driver, one, [seed]);
						await driver.deleteVolume(one);
						await then(driver);
					},
				});
			const goesOn = async (driver: IscsiLvmDriver) => {
				await write(driver, base, 1, 2);
				await holds(driver, base, [1, 2]);
			};
			await copied(() => ({ kind: "image", id: image, fullCopy: false }), 4);
			await copied(() => ({ kind: "volume", id: base, fullCopy: true }), 1);
			await copied(
				() => ({ kind: "volume", id: base, fullCopy: false }),
				1,
				async (driver) => {
					await goesOn(driver);
					// In a thick pool one that is written to between copies gets a layer with each.
					await driver.deleteVolume(base);
					base = newId();
					await makeBase(driver);
				},
			);
			const again = await started(pool);
			await again.snapshots.take(base, snapshotId, { running: false });
			await copied(() => ({ kind: "snapshot", id: base, snapshotId, fullCopy: false }), 1, goesOn);
		},
		limitMs,
	);

	test(
		"snapshots are taken, gone back to, deleted",
		async () => {
			await using pool = await open();
			const id = newId();
			const [s1, s2] = [newId(), newId()];
			const first = await started(pool);
			await make(first, id, empty);
			await write(first, id, 0, 1);
			const alone = (await pool.lvNames()).length;
			const ids = async (of: IscsiLvmDriver) => (await of.snapshots.list(id)).map((snapshot) => snapshot.id);
			await everyStep(pool, {
				least: 2,
				work: (driver) => driver.snapshots.take(id, s1, { running: false }),
				async afterwards(driver) {
					await driver.snapshots.take(id, s1, { running: false });
					expect(await ids(driver)).toEqual([s1]);
					await holds(driver, id, [1]);
					await driver.snapshots.delete(id, s1, {});
					expect(await pool.lvNames()).toHaveLength(alone);
				},
			});
			const driver = await started(pool);
			await driver.snapshots.take(id, s1, { running: false });
			await write(driver, id, 0, 2);
			await driver.snapshots.take(id, s2, { running: false });
			await write(driver, id, 1, 3);
			await everyStep(pool, {
				least: 3,
				work: (of) => of.snapshots.revert(id, s1),
				async afterwards(of) {
					expect(await ids(of)).toEqual([s1, s2]);
					await of.snapshots.revert(id, s1);
					await holds(of, id, [1, 0]);
					await of.snapshots.revert(id, s2);
					await holds(of, id, [2, 0]);
				},
			});
			const [s3, s4] = [newId(), newId()];
			const withTwo = (await pool.lvNames()).length;
			await everyStep(pool, {
				least: 3,
				async work(of) {
					await of.snapshots.take(id, s3, { running: false });
					await of.snapshots.delete(id, s3, {});
				},
				async afterwards(of) {
					await of.snapshots.delete(id, s3, {});
					expect(await ids(of)).toEqual([s1, s2]);
					await of.snapshots.take(id, s4, { running: false });
					await of.snapshots.delete(id, s4, {});
					await holds(of, id, [2, 0]);
					expect(await pool.lvNames()).toHaveLength(withTwo);
				},
			});
		},
		limitMs,
	);

	test(
		"the tree of snapshots is right, whatever was cut short",
		async () => {
			await using pool = await open();
			const id = newId();
			const first = await started(pool);
			await make(first, id, empty);
			let [s1, s2, s3] = [newId(), newId(), newId()];
			const tree = async (of: IscsiLvmDriver) => (await of.snapshots.list(id)).map((one) => [one.id, one.parentId]);
			const afterTaking = async (driver: IscsiLvmDriver) => {
				await driver.snapshots.take(id, s1, { running: false });
				await driver.snapshots.take(id, s2, { running: false });
				expect(await tree(driver)).toEqual([
					[s1, null],
					[s2, s1],
				]);
				// Gone back to the first, the next one comes after that.
				await driver.snapshots.revert(id, s1);
				await driver.snapshots.take(id, s3, { running: false });
				expect((await tree(driver)).find(([one]) => one === s3)).toEqual([s3, s1]);
			};
			const afterDeleting = async (driver: IscsiLvmDriver) => {
				// One that is deleted is left out.
				await driver.snapshots.delete(id, s1, {});
				expect(await tree(driver)).toEqual([
					[s2, null],
					[s3, null],
				]);
				for (const snapshot of [s2, s3]) await driver.snapshots.delete(id, snapshot, {});
				[s1, s2, s3] = [newId(), newId(), newId()];
			};
			await everyStep(pool, {
				least: 2,
				work: (driver) => driver.snapshots.take(id, s1, { running: false }),
				async afterwards(driver) {
					await afterTaking(driver);
					await afterDeleting(driver);
				},
			});
			await afterTaking(await started(pool));
			await everyStep(pool, {
				least: 2,
				work: (driver) => driver.snapshots.delete(id, s1, {}),
				async afterwards(driver) {
					await afterDeleting(driver);
					await afterTaking(driver);
				},
			});
		},
		limitMs,
	);

	// Thin copies rest on nothing.
	test.skipIf(isThin)(
		"a copy is made to stand alone",
		async () => {
			await using pool = await open();
			const base = newId();
			const first = await started(pool);
			await make(first, base, empty);
			await write(first, base, 0, 1);
			const snapshot = newId();
			let id = newId();
			const prepare = async (driver: IscsiLvmDriver) => {
				await make(driver, id, { kind: "volume", id: base, fullCopy: false });
				await write(driver, id, 1, 2);
				await driver.snapshots.take(id, snapshot, { running: false });
				await write(driver, id, 2, 3);
			};
			await prepare(first);
			await everyStep(pool, {
				least: 3,
				work: (driver) => driver.flattenVolume(id, {}),
				async afterwards(driver) {
					await holds(driver, id, [1, 2, 3]);
					await driver.flattenVolume(id, {});
					expect((await driver.getVolume(id))?.backing).toEqual([]);
					await holds(driver, id, [1, 2, 3]);
					await driver.snapshots.revert(id, snapshot);
					await holds(driver, id, [1, 2, 0]);
					await driver.deleteVolume(id);
					id = newId();
					await prepare(driver);
				},
			});
			const driver = await started(pool);
			await driver.flattenVolume(id, {});
			await driver.deleteVolume(base);
			await holds(driver, id, [1, 2, 3]);
		},
		limitMs,
	);

	test(
		"a disk that grows shows nothing that others left",
		async () => {
			await using pool = await open();
			const [old, id] = [newId(), newId()];
			const first = await started(pool);
			await make(first, id, empty, "raw");
			await first.createVolume(old, { format: "raw", sizeBytes: 64 * MiB, source: empty });
			await first.openVolume(old);
			await writeDisk(first, old, 0, pattern(64 * MiB, 7));
			await first.closeVolume(old);
			await first.deleteVolume(old);
			let has = sizeBytes;
			await everyStep(pool, {
				least: 2,
				work: (driver) => driver.resizeVolume(id, has + 4 * MiB),
				async afterwards(driver) {
					has = (await driver.getVolume(id))?.sizeBytes ?? 0;
					expect((await diskContent(driver, id)).every((byte) => byte === 0)).toBe(true);
				},
			});
			expect(has).toBeGreaterThan(sizeBytes);
		},
		limitMs,
	);

	test(
		"images are stored, made of a volume, deleted",
		async () => {
			await using pool = await open();
			const id = newId();
			const bytes = pattern(2 * MiB);
			const first = await started(pool);
			await upload(first, id, bytes);
			const finish = (driver: IscsiLvmDriver) => driver.finishImage(id, { format: "raw", sha256: null });
			await everyStep(pool, {
				least: 3,
				work: finish,
				async afterwards(driver) {
					await finish(driver);
					const made = newId();
					await make(driver, made, { kind: "image", id, fullCopy: true });
					expectSame((await diskContent(driver, made)).subarray(0, bytes.length), bytes);
					await driver.deleteVolume(made);
					await driver.deleteImage(id);
					expect(await pool.lvNames()).toEqual([]);
					await upload(driver, id, bytes);
				},
			});
			await everyStep(pool, {
				least: 4,
				async work(driver) {
					await finish(driver);
					await driver.deleteImage(id);
				},
				async afterwards(driver) {
					await driver.deleteImage(id);
					expect([await driver.listImages(), await pool.lvNames()]).toEqual([[], []]);
					await upload(driver, id, bytes);
				},
			});
			const source = newId();
			const last = await started(pool);
			await last.deleteImage(id);
			await make(last, source, empty);
			await write(last, source, 0, 1);
			const lvs = await pool.lvNames();
			await everyStep(pool, {
				least: 2,
				work: (driver) => driver.imageFromVolume(id, source, { format: "raw" }),
				async afterwards(driver) {
					if ((await driver.getUpload(id)) === null) await driver.imageFromVolume(id, source, { format: "raw" });
					await finish(driver);
					expect((await driver.getImage(id))?.virtualSizeBytes).toBe(sizeBytes);
					await holds(driver, source, [1, 0]);
					await driver.deleteImage(id);
					expect(await pool.lvNames()).toEqual(lvs);
				},
			});
		},
		limitMs,
	);
}
