/** Conformance, volumes: create, delete, resize, copies, export. See conformance.ts. */

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
} from "./conformance.ts";
import type { CreateSource } from "./driver.ts";
import { qcow2Sample } from "./inspect/qcow2-sample.ts";

const empty: CreateSource = { kind: "empty" };

export function volumeConformance(suite: Suite): void {
	const { driver, check, capability, under, has, format: anyFormat } = suite;
	const standsAlone = under.copiesStandAlone === true;
	const isWhole = under.preallocates === true || under.countsWhole === true;
	const make = (source: CreateSource = empty, sizeBytes = 4 * MiB, format: "qcow2" | "raw" = anyFormat) => {
		const id = newId();
		return driver().createVolume(id, { format, sizeBytes, source });
	};

	for (const format of under.capabilities.formats) {
		const space = under.preallocates ? "has its space" : under.countsWhole ? "is counted whole" : "takes no space";
		test(`makes an empty ${format} volume that ${space}`, async () => {
			const made = await make(empty, GiB, format);
			expect(made).toMatchObject({ format, sizeBytes: GiB, backing: [] });
			if (isWhole) expect(made.allocatedBytes).toBeGreaterThanOrEqual(GiB);
			else expect(made.allocatedBytes).toBeLessThan(MiB);
			expect(await driver().getVolume(made.id)).toEqual(made);
			const { contentMark: _mark, ...listed } = made;
			expect(await driver().listVolumes()).toMatchObject([listed]);
			const attach = await driver().attachInfo(made.id);
			expect(attach).toMatchObject({ format, backing: [] });
			expect(sourceName(attach.source)).toMatch(/^(\/|rbd:)/);
		});
	}

	test("making it again is done already; with another size it is another volume", async () => {
		const made = await make();
		const again = { format: anyFormat, sizeBytes: 4 * MiB, source: empty };
		expect(await driver().createVolume(made.id, again)).toEqual(made);
		await fails("already-exists", driver().createVolume(made.id, { ...again, sizeBytes: 8 * MiB }));
		if (anyFormat === "qcow2")
			await fails("already-exists", driver().createVolume(made.id, { ...again, format: "raw" }));
	});

	check(
		"refuses a format that it does not have",
		under.capabilities.formats.length === 1 || "it has all of them",
		async () => {
			const other = anyFormat === "raw" ? "qcow2" : "raw";
			await fails("invalid", driver().createVolume(newId(), { format: other, sizeBytes: MiB, source: empty }));
			expect(await driver().listVolumes()).toEqual([]);
		},
	);

	test("who has written to a volume is seen, who has read it is not", async () => {
		const { id, contentMark } = await make(empty, MiB, "raw");
		await readAll((await driver().readVolume(id, {})).stream);
		expect((await driver().getVolume(id))?.contentMark).toBe(contentMark);
		await suite.pool().writeDisk(driver(), id, 4096, pattern(4096));
		expect((await driver().getVolume(id))?.contentMark).not.toBe(contentMark);
	});

	test("two makers of one volume at the same time make one volume", async () => {
		const id = newId();
		const options = { format: anyFormat, sizeBytes: MiB, source: empty };
		const { signal } = new AbortController();
		const making = () => driver().createVolume(id, { ...options, signal });
		const both = await Promise.all([making(), making()]);
		expect(both[0]).toEqual(both[1]);
		expect(await driver().listVolumes()).toHaveLength(1);
	});

	const { sizeStepBytes = 512 } = under;
	test(`sizes are whole ${sizeStepBytes === 512 ? "sectors" : "extents"}, within limits`, async () => {
		expect((await make(empty, MiB + 1)).sizeBytes).toBe(MiB + sizeStepBytes);
		for (const sizeBytes of [0, -1, 1.5, Number.NaN, 2 ** 53, 1024 ** 5])
			await fails("invalid", make(empty, sizeBytes));
	});

	test("refuses ids that are not UUIDs, in every method", async () => {
		for (const id of hostileIds) {
			await fails("invalid", driver().createVolume(id, { format: anyFormat, sizeBytes: MiB, source: empty }));
			await fails("invalid", make({ kind: "image", id, fullCopy: false }));
			await fails("invalid", make({ kind: "volume", id, fullCopy: true }));
			await fails("invalid", driver().deleteVolume(id));
			await fails("invalid", driver().resizeVolume(id, MiB));
			await fails("invalid", driver().getVolume(id));
			await fails("invalid", driver().attachInfo(id));
			await fails("invalid", driver().exportVolume(id, "raw", {}));
			await fails("invalid", driver().openVolume(id));
			await fails("invalid", driver().closeVolume(id));
			await fails("invalid", driver().checkVolume(id, { repair: false }));
			await fails("invalid", driver().adoptVolume(id, { path: "/tmp/x", format: "raw" }));
		}
		expect(await driver().listVolumes()).toEqual([]);
	});

	test("what is not there: null, not-found, or nothing to do", async () => {
		const id = newId();
		expect(await driver().getVolume(id)).toBeNull();
		await driver().deleteVolume(id);
		await fails("not-found", driver().resizeVolume(id, MiB));
		await fails("not-found", driver().attachInfo(id));
		await fails("not-found", driver().exportVolume(id, "raw", {}));
		await fails("not-found", driver().checkVolume(id, { repair: false }));
		await driver().closeVolume(id);
		await fails("not-found", make({ kind: "image", id, fullCopy: true }));
		await fails("not-found", make({ kind: "volume", id, fullCopy: false }));
		expect(await driver().listVolumes()).toEqual([]);
	});

	test("deletes", async () => {
		const { id } = await make();
		await driver().deleteVolume(id);
		expect(await driver().getVolume(id)).toBeNull();
		await driver().deleteVolume(id);
	});

	for (const format of under.capabilities.formats) {
		test(`grows a ${format} volume, never shrinks it`, async () => {
			const { id } = await make(empty, 4 * MiB, format);
			expect((await driver().resizeVolume(id, 6 * MiB)).sizeBytes).toBe(6 * MiB);
			expect((await driver().resizeVolume(id, 6 * MiB)).sizeBytes).toBe(6 * MiB);
			await fails("invalid", driver().resizeVolume(id, 4 * MiB));
			expect((await driver().getVolume(id))?.sizeBytes).toBe(6 * MiB);
		});

		check(
			`a full copy of an image as ${format} has its content and depends on nothing`,
			capability("fullClone"),
			async () => {
				const bytes = pattern(2 * MiB);
				const image = await makeImage(driver(), bytes);
				const progress: (number | null)[] = [];
				const id = newId();
				const made = await driver().createVolume(id, {
					...{ format, sizeBytes: 4 * MiB, source: { kind: "image", id: image, fullCopy: true } },
					progress: (ratio) => progress.push(ratio),
				});
				expect(made).toMatchObject({ format, sizeBytes: 4 * MiB, backing: [] });
				expect(progress.at(-1)).toBe(1);
				await driver().deleteImage(image);
				const wanted = new Uint8Array(4 * MiB);
				wanted.set(bytes);
				expectSame(await diskContent(driver(), id), wanted);
			},
		);
	}

	check("a copy-on-write copy of an image rests on it", capability("copyOnWriteClone"), async () => {
		const bytes = pattern(2 * MiB);
		const image = await makeImage(driver(), bytes);
		const source: CreateSource = { kind: "image", id: image, fullCopy: false };
		if (anyFormat === "qcow2") await fails("invalid", make(source, 4 * MiB, "raw"));
		await fails("invalid", make(source, MiB));
		const made = await make(source);
		expect(made.backing).toEqual(standsAlone ? [] : [{ kind: "image", id: image, format: "raw" }]);
		if (!isWhole) expect(made.allocatedBytes).toBeLessThan(MiB);
		const attach = await driver().attachInfo(made.id);
		// Ceph itself knows what an image of RBD rests on.
		const backing =
			attach.source.kind === "rbd" || standsAlone ? [] : [{ source: await driver().imageSource(image), format: "raw" }];
		expect(attach.backing).toEqual(backing as typeof attach.backing);
		expectSame((await diskContent(driver(), made.id)).subarray(0, bytes.length), bytes);
		if (!standsAlone) {
			expect(await fails("in-use", driver().deleteImage(image))).toContain(made.id);
			expect((await driver().getImage(image))?.id).toBe(image);
		}
		await driver().deleteVolume(made.id);
		await driver().deleteImage(image);
		expect(await driver().getImage(image)).toBeNull();
	});

	check("a full copy of a volume is its own", capability("fullClone"), async () => {
		const image = await makeImage(driver(), pattern(2 * MiB));
		const source = await make({ kind: "image", id: image, fullCopy: false }, 2 * MiB);
		await fails("invalid", make({ kind: "volume", id: source.id, fullCopy: true }, MiB));
		const copy = await make({ kind: "volume", id: source.id, fullCopy: true }, 2 * MiB, "raw");
		expect(copy.backing).toEqual([]);
		await driver().deleteVolume(source.id);
		await driver().deleteImage(image);
		expectSame(await diskContent(driver(), copy.id), pattern(2 * MiB));
	});

	check(
		"copy-on-write copies of a volume and the volume go their own ways",
		capability("copyOnWriteClone"),
		async () => {
			const { writeDisk } = suite.pool();
			const write = (id: string, position: number, seed: number) =>
				writeDisk(driver(), id, position, pattern(65_536, seed));
			const source = await make();
			await write(source.id, 0, 1);
			const first = await make({ kind: "volume", id: source.id, fullCopy: false });
			const second = await make({ kind: "volume", id: source.id, fullCopy: false }, 8 * MiB);
			expect(first.backing).toEqual(standsAlone ? [] : [{ kind: "volume", id: source.id, format: anyFormat }]);
			await write(source.id, 0, 2);
			await write(first.id, 65_536, 3);
			const third = await make({ kind: "volume", id: first.id, fullCopy: false });
			expect(third.backing.map(({ id }) => id)).toEqual(standsAlone ? [] : [first.id, source.id]);
			await write(first.id, 65_536, 4);
			expect((await driver().resizeVolume(source.id, 6 * MiB)).sizeBytes).toBe(6 * MiB);

			const part = async (id: string) => (await diskContent(driver(), id)).subarray(0, 2 * 65_536);
			const both = (a: Uint8Array, b: Uint8Array) => new Uint8Array([...a, ...b]);
			const none = new Uint8Array(65_536);
			expectSame(await part(source.id), both(pattern(65_536, 2), none));
			expectSame(await part(first.id), both(pattern(65_536, 1), pattern(65_536, 4)));
			expectSame(await part(second.id), both(pattern(65_536, 1), none));
			expectSame(await part(third.id), both(pattern(65_536, 1), pattern(65_536, 3)));
			expect((await driver().getVolume(source.id))?.backing).toEqual([]);
			expect((await driver().getVolume(source.id))?.sizeBytes).toBe(6 * MiB);
			for (const [id, sizeBytes] of [
				[first.id, 4 * MiB],
				[second.id, 8 * MiB],
			] as const)
				expect((await driver().getVolume(id))?.sizeBytes).toBe(sizeBytes);

			if (!standsAlone) {
				expect(await fails("in-use", driver().deleteVolume(source.id))).toContain(first.id);
				expect(await fails("in-use", driver().deleteVolume(first.id))).toContain(third.id);
			}
			for (const id of [third.id, first.id, second.id, source.id]) await driver().deleteVolume(id);
			expect(await driver().listVolumes()).toEqual([]);
		},
	);

	check("a raw volume is only copied in full", has("qcow2"), async () => {
		const raw = await make(empty, MiB, "raw");
		await fails("invalid", make({ kind: "volume", id: raw.id, fullCopy: false }));
		expect((await make({ kind: "volume", id: raw.id, fullCopy: true })).backing).toEqual([]);
	});

	check(
		"many copies of one volume at the same time: one after the other, however long that takes",
		capability("copyOnWriteClone"),
		async () => {
			const source = await make();
			const options = {
				format: anyFormat,
				sizeBytes: 4 * MiB,
				source: { kind: "volume", id: source.id, fullCopy: false },
			} as const;
			// As a task does, which would rather wait than fail.
			const { signal } = new AbortController();
			const copies = await Promise.allSettled(
				Array.from({ length: 4 }, () => driver().createVolume(newId(), { ...options, signal })),
			);
			for (const copy of copies) {
				if (copy.status === "rejected") throw copy.reason;
				expect(copy.value.backing.map(({ id }) => id)).toEqual(standsAlone ? [] : [source.id]);
			}
		},
	);

	test("a guest that writes a qcow2 header into its raw disk changes nothing", async () => {
		const { writeDisk } = suite.pool();
		const evil = qcow2Sample({ virtualSizeBytes: 512 * MiB, backingFile: "/etc/passwd" });
		const { id } = await make(empty, MiB, "raw");
		await writeDisk(driver(), id, 0, evil);
		expect(await driver().getVolume(id)).toMatchObject({ format: "raw", sizeBytes: MiB, backing: [] });
		expect(await driver().attachInfo(id)).toMatchObject({ format: "raw", backing: [] });
		expectSame((await diskContent(driver(), id)).subarray(0, evil.length), evil);
		expect((await driver().resizeVolume(id, 2 * MiB)).sizeBytes).toBe(2 * MiB);
		const copy = await make({ kind: "volume", id, fullCopy: true }, 2 * MiB, "raw");
		expect(await driver().getVolume(copy.id)).toMatchObject({ format: "raw", sizeBytes: 2 * MiB, backing: [] });
		expectSame((await diskContent(driver(), copy.id)).subarray(0, evil.length), evil);
		const image = newId();
		await driver().imageFromVolume(image, id, { format: "raw" });
		expect(await fails("invalid", driver().finishImage(image, { format: "raw", sha256: null }))).toContain("qcow2");
		const reopened = await suite.pool().reopen();
		expect(await reopened.getVolume(id)).toMatchObject({ format: "raw", sizeBytes: 2 * MiB, backing: [] });
	});

	test("exports a file that stands alone", async () => {
		const image = await makeImage(driver(), pattern(MiB));
		const { id } = await make({ kind: "image", id: image, fullCopy: false }, MiB);
		const { sizeBytes, stream } = await driver().exportVolume(id, "qcow2", {});
		const bytes = await readAll(stream);
		expect(bytes.length).toBe(sizeBytes);
		const copy = await makeImage(driver(), bytes, "qcow2");
		expect((await driver().getImage(copy))?.virtualSizeBytes).toBe(MiB);
	});

	check("an export has the content", under.decodesQcow2, async () => {
		const image = await makeImage(driver(), pattern(MiB));
		const { id } = await make({ kind: "image", id: image, fullCopy: false }, MiB);
		const exported = await driver().exportVolume(id, "qcow2", {});
		const again = await makeImage(driver(), await readAll(exported.stream), "qcow2");
		const volume = await make({ kind: "image", id: again, fullCopy: true }, MiB, "raw");
		expectSame(await diskContent(driver(), volume.id), pattern(MiB));
	});

	test("an export that nobody reads to the end leaves nothing", async () => {
		const { id } = await make();
		const before = (await driver().check()).usedBytes;
		const { stream } = await driver().exportVolume(id, "raw", {});
		await stream.cancel();
		expect((await driver().check()).usedBytes - before).toBeLessThan(64 * MiB);
		await driver().deleteVolume(id);
	});

	test("a canceled create leaves nothing", async () => {
		const image = await makeImage(driver(), pattern(MiB));
		for (const fullCopy of [true, false]) {
			const source: CreateSource = { kind: "image", id: image, fullCopy };
			const options = { format: anyFormat, sizeBytes: MiB, source, signal: AbortSignal.abort() };
			await fails("canceled", driver().createVolume(newId(), options));
		}
		expect(await driver().listVolumes()).toEqual([]);
		await driver().deleteImage(image);
	});

	test("opens and closes a volume as often as one likes", async () => {
		const { id } = await make();
		for (let time = 0; time < 2; time++) await driver().openVolume(id);
		for (let time = 0; time < 2; time++) await driver().closeVolume(id);
		expect(await driver().openVolumes()).toEqual([]);
		await driver().deleteVolume(id);
	});

	test("finds no damage in a volume that has none", async () => {
		for (const format of under.capabilities.formats) {
			const { id } = await make(empty, 4 * MiB, format);
			await suite.pool().writeDisk(driver(), id, 0, pattern(65_536));
			for (const repair of [false, true])
				expect(await driver().checkVolume(id, { repair })).toEqual({ errors: 0, leakedBytes: 0, repaired: 0 });
			const part = (await diskContent(driver(), id)).subarray(0, 65_536);
			if (format === "raw" || under.decodesQcow2 === true) expectSame(part, pattern(65_536));
		}
	});
}
