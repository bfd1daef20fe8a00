/** Conformance, how volumes get their space: thin ones as they are written to, thick ones from the beginning. See conformance.ts. */
import { expect, test } from "bun:test";
import { present } from "../lib/assert.ts";
import { MiB } from "../lib/units.ts";
import type { Provisioning, VolumeFormat } from "../model/storage.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern, type Suite } from "./conformance.ts";
import type { CreateSource, VolumeInfo } from "./driver.ts";

const empty: CreateSource = { kind: "empty" };

export function provisioningConformance(suite: Suite): void {
	const { driver, check, capability, under } = suite;
	const { formats, provisioning = [], reasons } = under.capabilities;
	const can = (kind: Provisioning): true | string =>
		provisioning.includes(kind) || (reasons.provisioning ?? `no ${kind} volumes`);
	const make = (
		kind: Provisioning,
		format: VolumeFormat = suite.format,
		source: CreateSource = empty,
		sizeBytes = 4 * MiB,
	): Promise<VolumeInfo> => driver().createVolume(newId(), { format, sizeBytes, source, provisioning: kind });
	const expectThick = async ({ id }: Pick<VolumeInfo, "id">): Promise<void> => {
		const { allocatedBytes, sizeBytes } = present(await driver().getVolume(id), "the volume");
		expect(allocatedBytes).toBeGreaterThanOrEqual(sizeBytes);
	};
	const readable = (format: VolumeFormat) => format === "raw" || under.decodesQcow2 === true;

	test("has volumes of one kind at least, and says why not of the other", () => {
		expect(provisioning.length).toBeGreaterThan(0);
		if (provisioning.length < 2) expect(reasons.provisioning ?? "no reason").toMatch(/\.$/);
	});

	for (const kind of ["thin", "thick"] as const)
		check(`refuses ${kind} volumes`, can(kind) !== true || `it has ${kind} volumes`, async () => {
			expect(await fails("unsupported", make(kind))).toBe(present(reasons.provisioning, "the reason"));
			const { id } = await driver().createVolume(newId(), { format: suite.format, sizeBytes: MiB, source: empty });
			const content = await driver().readVolume(id, {});
			await fails("unsupported", driver().receiveVolume(newId(), content, { provisioning: kind }));
			expect((await driver().listVolumes()).map((volume) => volume.id)).toEqual([id]);
			await driver().deleteVolume(id);
		});

	for (const format of formats) {
		check(`a thin ${format} volume is made as it is asked for`, can("thin"), async () => {
			const made = await make("thin", format);
			expect(made).toMatchObject({ format, sizeBytes: 4 * MiB, backing: [] });
			if (!under.countsWhole) expect(made.allocatedBytes).toBeLessThan(MiB);
		});

		check(
			`a thick ${format} volume has its space, also after a restart, and when it has grown`,
			can("thick"),
			async () => {
				const made = await make("thick", format);
				expect(made).toMatchObject({ format, sizeBytes: 4 * MiB, backing: [] });
				await expectThick(made);
				const again = { format, sizeBytes: 4 * MiB, source: empty, provisioning: "thick" } as const;
				expect(await driver().createVolume(made.id, again)).toEqual(made);
				if (readable(format)) expectSame(await diskContent(driver(), made.id), new Uint8Array(4 * MiB));
				await suite.pool().writeDisk(driver(), made.id, MiB, pattern(65_536));
				const reopened = await suite.pool().reopen();
				expect((await reopened.resizeVolume(made.id, 8 * MiB)).sizeBytes).toBe(8 * MiB);
				await expectThick(made);
				await reopened.fillVolume?.(made.id, {});
				await expectThick(made);
				expect(await reopened.checkVolume(made.id, { repair: false })).toEqual({
					errors: 0,
					leakedBytes: 0,
					repaired: 0,
				});
				if (readable(format))
					expectSame((await diskContent(reopened, made.id)).subarray(MiB, MiB + 65_536), pattern(65_536));
				await reopened.deleteVolume(made.id);
				expect(await reopened.listVolumes()).toEqual([]);
			},
		);

		const both = can("thick") === true ? capability("fullClone") : can("thick");
		check(`a thick full copy as ${format} has all of its space, and the content`, both, async () => {
			const image = await makeImage(driver(), pattern(MiB));
			const copy = await make("thick", format, { kind: "image", id: image, fullCopy: true });
			await expectThick(copy);
			const second = await make("thick", format, { kind: "volume", id: copy.id, fullCopy: true }, 8 * MiB);
			await expectThick(second);
			await driver().deleteVolume(copy.id);
			await driver().deleteImage(image);
			if (readable(format)) expectSame((await diskContent(driver(), second.id)).subarray(0, MiB), pattern(MiB));
			expect((await driver().getVolume(second.id))?.backing).toEqual([]);
		});

		check(`a ${format} volume that comes to the pool is thick when it is asked for`, can("thick"), async () => {
			const { id } = await driver().createVolume(newId(), { format, sizeBytes: 4 * MiB, source: empty });
			await suite.pool().writeDisk(driver(), id, MiB, pattern(65_536));
			const wanted = await diskContent(driver(), id);
			const content = await driver().readVolume(id, {});
			const copy = await driver().receiveVolume(newId(), content, { provisioning: "thick" });
			expect(copy).toMatchObject({ format, sizeBytes: 4 * MiB });
			await expectThick(copy);
			expectSame(await diskContent(driver(), copy.id), wanted);
			await driver().resizeVolume(copy.id, 6 * MiB);
			await expectThick(copy);
		});
	}

	check("whether a volume is thick is known by the volume, also after a restart", can("thick"), async () => {
		const says = provisioning.length > 1 ? "thick" : undefined;
		const made = await make("thick");
		expect(made.provisioning).toBe(says);
		const reopened = await suite.pool().reopen();
		expect((await reopened.getVolume(made.id))?.provisioning).toBe(says);
		if (provisioning.includes("thin")) expect((await make("thin")).provisioning).toBeUndefined();
		const listed = (await reopened.listVolumes()).map((volume) => [volume.id === made.id, volume.provisioning]);
		expect(listed).toContainEqual([true, says]);
	});

	const chooses = provisioning.length > 1 || (reasons.provisioning ?? "it has one kind only");
	check("a copy-on-write copy is never thick where volumes may be thin", chooses, async () => {
		const image = await makeImage(driver(), pattern(MiB));
		await fails("invalid", make("thick", suite.format, { kind: "image", id: image, fullCopy: false }));
		expect(await driver().listVolumes()).toEqual([]);
		await driver().deleteImage(image);
	});

	check("a thick volume that does not fit is refused before anything is made", can("thick"), async () => {
		const { availableBytes } = await driver().check();
		const tooMuch = Math.ceil((availableBytes * 1.2) / MiB) * MiB;
		for (const format of formats) await fails("no-space", make("thick", format, empty, tooMuch));
		const { id } = await make("thick", formats[0]);
		await fails("no-space", driver().resizeVolume(id, tooMuch + 64 * MiB));
		expect((await driver().getVolume(id))?.sizeBytes).toBe(4 * MiB);
		expect((await driver().listVolumes()).map((volume) => volume.id)).toEqual([id]);
		await driver().deleteVolume(id);
	});

	const snapshotsToo = can("thick") === true ? capability("snapshots") : can("thick");
	for (const format of formats)
		check(`a thick ${format} volume has its space again when its snapshots are gone`, snapshotsToo, async () => {
			const snapshots = present(driver().snapshots, "the snapshots of the pool");
			const [volume, snapshot] = [await make("thick", format), newId()];
			await snapshots.take(volume.id, snapshot, { running: false });
			await suite.pool().writeDisk(driver(), volume.id, 0, pattern(65_536));
			const source: CreateSource = { kind: "snapshot", id: volume.id, snapshotId: snapshot, fullCopy: true };
			const copy = await make("thick", format, source);
			await expectThick(copy);
			await snapshots.delete(volume.id, snapshot, {});
			await expectThick(volume);
			if (readable(format)) expectSame((await diskContent(driver(), volume.id)).subarray(0, 65_536), pattern(65_536));
		});
}
