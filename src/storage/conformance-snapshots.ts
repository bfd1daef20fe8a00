/** Conformance, snapshots of volumes, where the pool makes them. See conformance.ts. */
import { expect } from "bun:test";
import { present } from "../lib/assert.ts";
import { MiB } from "../lib/units.ts";
import { diskContent, expectSame, fails, hostileIds, newId, pattern, type Suite } from "./conformance.ts";
import type { VolumeSnapshots } from "./driver.ts";

const block = 65_536;
const stopped = { running: false };

export function snapshotConformance(suite: Suite): void {
	const { driver, check, capability, under } = suite;
	const needs = capability("snapshots");
	const snapshots = (): VolumeSnapshots => present(driver().snapshots, "the snapshots of the pool");
	const make = async (format = suite.format): Promise<string> => {
		const id = newId();
		await driver().createVolume(id, { format, sizeBytes: 4 * MiB, source: { kind: "empty" } });
		return id;
	};
	const write = (id: string, at: number, seed: number) =>
		suite.pool().writeDisk(driver(), id, at * block, pattern(block, seed));
	/** The seeds of the first blocks' content; 0 where nothing was written. */
	const content = async (id: string, seeds: number[]) => {
		const found = await diskContent(driver(), id);
		for (const [at, seed] of seeds.entries()) {
			const wanted = seed === 0 ? new Uint8Array(block) : pattern(block, seed);
			expectSame(found.subarray(at * block, (at + 1) * block), wanted);
		}
	};

	for (const format of under.capabilities.formats) {
		check(`takes snapshots of a ${format} volume, goes back and forth between them, forgets them`, needs, async () => {
			const id = await make(format);
			const [first, second, branch] = [newId(), newId(), newId()];
			await write(id, 0, 1);
			expect(await snapshots().take(id, first, stopped)).toEqual({ id: first, sizeBytes: 4 * MiB, parentId: null });
			await write(id, 0, 2);
			await write(id, 1, 3);
			expect(await snapshots().take(id, second, stopped)).toMatchObject({ id: second, parentId: first });
			await write(id, 2, 4);
			await content(id, [2, 3, 4]);

			await snapshots().revert(id, first);
			await content(id, [1, 0, 0]);
			await write(id, 1, 5);
			expect(await snapshots().take(id, branch, stopped)).toMatchObject({ id: branch, parentId: first });
			expect(await snapshots().list(id)).toMatchObject([
				{ id: first, parentId: null },
				{ id: second, parentId: first },
				{ id: branch, parentId: first },
			]);
			await snapshots().revert(id, second);
			await content(id, [2, 3, 0]);
			await snapshots().revert(id, branch);
			await content(id, [1, 5, 0]);
			expect((await driver().getVolume(id))?.sizeBytes).toBe(4 * MiB);

			// What came after the deleted one now comes after what was before it.
			await snapshots().delete(id, first, {});
			await content(id, [1, 5, 0]);
			expect(await snapshots().list(id)).toMatchObject([
				{ id: second, parentId: null },
				{ id: branch, parentId: null },
			]);
			await snapshots().revert(id, second);
			await content(id, [2, 3, 0]);
			for (const snapshot of [branch, second]) await snapshots().delete(id, snapshot, {});
			expect(await snapshots().list(id)).toEqual([]);
			await content(id, [2, 3, 0]);
			await driver().deleteVolume(id);
		});
	}

	for (const format of under.capabilities.formats)
		check(`takes back a snapshot of a ${format} volume that a VM has open and did not go over to`, needs, async () => {
			const id = await make(format);
			await write(id, 0, 1);
			const kept = newId();
			await snapshots().take(id, kept, stopped);
			await write(id, 1, 2);
			await driver().openVolume(id);
			const before = await driver().attachInfo(id);
			for (let round = 0; round < 2; round++) {
				const gone = newId();
				await snapshots().take(id, gone, { running: true });
				const takeBack = () => {
					const taken = snapshots();
					return taken.undoTake ? taken.undoTake(id, gone) : taken.delete(id, gone, {});
				};
				await takeBack();
				await takeBack();
				expect(await driver().attachInfo(id)).toEqual(before);
				expect((await snapshots().list(id)).map((one) => one.id)).toEqual([kept]);
			}
			await driver().closeVolume(id);
			await content(id, [1, 2, 0]);
			await snapshots().revert(id, kept);
			await content(id, [1, 0, 0]);
			await snapshots().delete(id, kept, {});
			await driver().deleteVolume(id);
		});

	const merging = needs === true ? (under.mergesLayers ?? "no merge of QEMU is asked for, or imitated") : needs;
	for (const [at, which] of ["first", "middle", "last"].entries())
		check(
			`deletes the ${which} of three snapshots while a VM has the disk open, by merges of QEMU`,
			merging,
			async () => {
				const mergeLayers = present(suite.pool().mergeLayers, "what merges layers");
				const planLiveDelete = present(snapshots().planLiveDelete, "planLiveDelete");
				const finishLiveDelete = present(snapshots().finishLiveDelete, "finishLiveDelete");
				const id = await make();
				const taken: string[] = [];
				for (const seed of [1, 2, 3]) {
					await write(id, seed, seed);
					taken.push(newId());
					await snapshots().take(id, taken.at(-1) ?? "", stopped);
				}
				await write(id, 0, 4);
				const gone = taken[at] ?? "";
				const plan = () => planLiveDelete.call(snapshots(), id, gone, {});
				// Begun and given up, nothing is lost, and it is begun again.
				const first = present(await plan(), "what QEMU merges");
				expect(first.active).toBe(which === "last");
				await content(id, [4, 1, 2, 3]);
				await suite.pool().reopen();
				expect(await plan()).toEqual(first);
				for (let merge = await plan(); merge; merge = await plan()) {
					await mergeLayers(driver(), id, merge);
					await content(id, [4, 1, 2, 3]);
					await finishLiveDelete.call(snapshots(), id, merge);
					await finishLiveDelete.call(snapshots(), id, merge);
				}
				expect(await plan()).toBeNull();
				await content(id, [4, 1, 2, 3]);
				const left = taken.toSpliced(at, 1);
				expect((await snapshots().list(id)).map((one) => one.id)).toEqual(left);
				for (const [number, snapshot] of taken.entries()) {
					if (snapshot === gone) continue;
					await snapshots().revert(id, snapshot);
					await content(id, [0, ...[1, 2, 3].map((seed) => (seed <= number + 1 ? seed : 0))]);
				}
				for (const snapshot of left) await snapshots().delete(id, snapshot, {});
				await driver().deleteVolume(id);
			},
		);

	check("done already is done; what is not there is no error, or not-found", needs, async () => {
		const id = await make();
		const snapshot = newId();
		await write(id, 0, 1);
		const taken = await snapshots().take(id, snapshot, stopped);
		await write(id, 0, 2);
		expect(await snapshots().take(id, snapshot, stopped)).toEqual(taken);
		await snapshots().revert(id, snapshot);
		await snapshots().revert(id, snapshot);
		await content(id, [1]);
		await snapshots().delete(id, snapshot, {});
		await snapshots().delete(id, snapshot, {});
		await fails("not-found", snapshots().revert(id, snapshot));
		await fails("not-found", snapshots().take(newId(), newId(), stopped));
		await fails("not-found", snapshots().revert(newId(), newId()));
		expect(await snapshots().list(newId())).toEqual([]);
	});

	check("refuses ids that are not UUIDs for snapshots", needs, async () => {
		const id = await make();
		for (const hostile of hostileIds) {
			await fails("invalid", snapshots().take(hostile, newId(), stopped));
			await fails("invalid", snapshots().take(id, hostile, stopped));
			await fails("invalid", snapshots().revert(hostile, newId()));
			await fails("invalid", snapshots().revert(id, hostile));
			await fails("invalid", snapshots().delete(hostile, newId(), {}));
			await fails("invalid", snapshots().delete(id, hostile, {}));
			await fails("invalid", snapshots().list(hostile));
		}
		expect(await snapshots().list(id)).toEqual([]);
	});

	check("a snapshot remembers the size of the disk", needs, async () => {
		const id = await make();
		const snapshot = newId();
		await write(id, 0, 1);
		await snapshots().take(id, snapshot, stopped);
		await driver().resizeVolume(id, 8 * MiB);
		await write(id, 100, 2);
		expect(await snapshots().list(id)).toMatchObject([{ sizeBytes: 4 * MiB }]);
		expect((await snapshots().revert(id, snapshot)).sizeBytes).toBe(4 * MiB);
		await content(id, [1]);
	});

	check("snapshots are there after a restart, and go with their volume", needs, async () => {
		const id = await make();
		const [first, second] = [newId(), newId()];
		await snapshots().take(id, first, stopped);
		await snapshots().take(id, second, stopped);
		const reopened = await suite.pool().reopen();
		expect(await reopened.snapshots?.list(id)).toMatchObject([{ id: first }, { id: second, parentId: first }]);
		await reopened.deleteVolume(id);
		expect(await reopened.listVolumes()).toEqual([]);
		expect(await reopened.snapshots?.list(id)).toEqual([]);
		await reopened.createVolume(id, { format: suite.format, sizeBytes: MiB, source: { kind: "empty" } });
		expect(await reopened.snapshots?.list(id)).toEqual([]);
	});

	for (const fullCopy of [true, false]) {
		const kind = fullCopy ? "full" : "copy-on-write";
		check(
			`makes a ${kind} copy of a snapshot`,
			needs === true ? capability(fullCopy ? "fullClone" : "copyOnWriteClone") : needs,
			async () => {
				const id = await make();
				const snapshot = newId();
				await write(id, 0, 1);
				await snapshots().take(id, snapshot, stopped);
				await write(id, 0, 2);
				const source = { kind: "snapshot", id, snapshotId: snapshot, fullCopy } as const;
				const options = { format: suite.format, sizeBytes: 4 * MiB, source };
				const copy = newId();
				const made = await driver().createVolume(copy, options);
				const rests = !fullCopy && under.copiesStandAlone !== true;
				expect(made.backing.map((below) => below.id)).toEqual(rests ? [id] : []);
				await write(copy, 1, 3);
				await content(copy, [1, 3]);
				await content(id, [2, 0]);
				await fails("invalid", driver().createVolume(newId(), { ...options, sizeBytes: MiB }));
				const missing = { ...source, snapshotId: newId() };
				await fails("not-found", driver().createVolume(newId(), { ...options, source: missing }));

				if (rests) {
					expect(await fails("in-use", driver().deleteVolume(id))).toContain(copy);
					// Some pools keep what the copy rests on out of sight; others refuse.
					const deleted = await snapshots()
						.delete(id, snapshot, {})
						.then(
							() => "done",
							(error) => error.code,
						);
					expect(["done", "in-use"]).toContain(deleted);
					expect(await snapshots().list(id)).toHaveLength(deleted === "done" ? 0 : 1);
				}
				await content(copy, [1, 3]);
				await driver().deleteVolume(copy);
				await driver().deleteVolume(id);
				expect(await driver().listVolumes()).toEqual([]);
			},
		);
	}
}
