/** Part of conformance.ts: copy-on-write copies that are made to stand alone. */
import { expect, test } from "bun:test";
import { present } from "../lib/assert.ts";
import { MiB } from "../lib/units.ts";
import { diskContent, expectSame, fails, hostileIds, makeImage, newId, pattern, type Suite } from "./conformance.ts";
import type { CreateSource } from "./driver.ts";

const block = 65_536;
const stopped = { running: false };

export function flattenConformance(suite: Suite): void {
	const { driver, check, capability, under, format } = suite;
	const standsAlone = under.copiesStandAlone === true;
	const make = async (source: CreateSource, sizeBytes = 4 * MiB): Promise<string> =>
		(await driver().createVolume(newId(), { format, sizeBytes, source })).id;
	const copyOf = (id: string): Promise<string> => make({ kind: "volume", id, fullCopy: false });
	const write = (id: string, at: number, seed: number) =>
		suite.pool().writeDisk(driver(), id, at * block, pattern(block, seed));
	const holds = async (id: string, seeds: readonly number[]): Promise<void> => {
		const found = await diskContent(driver(), id);
		for (const [at, seed] of seeds.entries())
			expectSame(
				found.subarray(at * block, (at + 1) * block),
				seed === 0 ? new Uint8Array(block) : pattern(block, seed),
			);
	};

	check("a copy of an image is made to stand alone, and the image can go", capability("copyOnWriteClone"), async () => {
		const bytes = pattern(2 * MiB);
		const image = await makeImage(driver(), bytes);
		const id = await make({ kind: "image", id: image, fullCopy: false });
		await write(id, 0, 9);
		const progress: (number | null)[] = [];
		const made = await driver().flattenVolume(id, { progress: (ratio) => progress.push(ratio) });
		expect(made).toMatchObject({ id, format, sizeBytes: 4 * MiB, backing: [] });
		if (!standsAlone) expect(progress.at(-1)).toBe(1);
		expect((await driver().attachInfo(id)).backing).toEqual([]);
		await driver().deleteImage(image);
		const wanted = new Uint8Array(4 * MiB);
		wanted.set(bytes);
		wanted.set(pattern(block, 9));
		expectSame(await diskContent(driver(), id), wanted);
		expect((await (await suite.pool().reopen()).getVolume(id))?.backing).toEqual([]);
	});

	check("a copy of a volume stands alone with what rests on it", capability("copyOnWriteClone"), async () => {
		const source = await make({ kind: "empty" });
		await write(source, 0, 1);
		const middle = await copyOf(source);
		await write(middle, 1, 2);
		const last = await copyOf(middle);
		await write(last, 2, 3);
		await driver().flattenVolume(middle, {});
		expect((await driver().getVolume(middle))?.backing).toEqual([]);
		expect((await driver().getVolume(last))?.backing.map(({ id }) => id)).toEqual(standsAlone ? [] : [middle]);
		await driver().deleteVolume(source);
		await holds(middle, [1, 2, 0]);
		await holds(last, [1, 2, 3]);
		await write(middle, 0, 4);
		await holds(last, [1, 2, 3]);
		if (!standsAlone) expect(await fails("in-use", driver().deleteVolume(middle))).toContain(last);
		await driver().flattenVolume(last, {});
		await driver().deleteVolume(middle);
		await holds(last, [1, 2, 3]);
	});

	check(
		"a copy with snapshots, one of them on another branch, stands alone with all of them",
		capability("copyOnWriteClone") === true ? capability("snapshots") : capability("copyOnWriteClone"),
		async () => {
			const snapshots = () => present(driver().snapshots, "snapshots");
			const source = await make({ kind: "empty" });
			await write(source, 0, 1);
			const id = await copyOf(source);
			const [first, second] = [newId(), newId()];
			await write(id, 1, 2);
			await snapshots().take(id, first, stopped);
			await write(id, 2, 3);
			await snapshots().take(id, second, stopped);
			await snapshots().revert(id, first);
			await write(id, 3, 4);
			const before = await snapshots().list(id);
			await driver().flattenVolume(id, {});
			await driver().deleteVolume(source);
			expect(await snapshots().list(id)).toEqual(before);
			await holds(id, [1, 2, 0, 4]);
			await snapshots().revert(id, second);
			await holds(id, [1, 2, 3, 0]);
			await snapshots().revert(id, first);
			await holds(id, [1, 2, 0, 0]);
			for (const one of [first, second]) await snapshots().delete(id, one, {});
			await holds(id, [1, 2, 0, 0]);
			await driver().deleteVolume(id);
			expect(await driver().listVolumes()).toEqual([]);
		},
	);

	test("what stands alone stays as it is; what is not there cannot", async () => {
		const id = await make({ kind: "empty" });
		await write(id, 0, 1);
		const before = await driver().getVolume(id);
		expect(await driver().flattenVolume(id, {})).toEqual(present(before, "the volume"));
		await fails("not-found", driver().flattenVolume(newId(), {}));
		for (const hostile of hostileIds) await fails("invalid", driver().flattenVolume(hostile, {}));
	});

	check("called off, it rests on what it rested on", capability("copyOnWriteClone"), async () => {
		const source = await make({ kind: "empty" });
		await write(source, 0, 1);
		const id = await copyOf(source);
		if (!standsAlone) {
			await fails("canceled", driver().flattenVolume(id, { signal: AbortSignal.abort() }));
			expect((await driver().getVolume(id))?.backing.map((one) => one.id)).toEqual([source]);
			expect(await fails("in-use", driver().deleteVolume(source))).toContain(id);
		}
		await holds(id, [1]);
		await driver().flattenVolume(id, {});
		await driver().deleteVolume(source);
		await holds(id, [1]);
	});
}
