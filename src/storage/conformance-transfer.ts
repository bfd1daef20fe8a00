/** Conformance, volumes that go from one node's part of a pool to another's. See conformance.ts. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
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
const streamOf = (bytes: Uint8Array) => new Blob([new Uint8Array(bytes)]).stream();

export function transferConformance(suite: Suite): void {
	const { driver, check, under } = suite;
	const make = (source: CreateSource = empty, sizeBytes = 4 * MiB, format: "qcow2" | "raw" = suite.format) => {
		const id = newId();
		return driver().createVolume(id, { format, sizeBytes, source });
	};

	test("refuses to read or receive what is no id, and to read what is not there", async () => {
		for (const id of hostileIds) {
			await fails("invalid", driver().readVolume(id, {}));
			const content = { format: "raw" as const, sizeBytes: MiB, stream: streamOf(new Uint8Array(0)) };
			await fails("invalid", driver().receiveVolume(id, content, {}));
		}
		await fails("not-found", driver().readVolume(newId(), {}));
		expect(await driver().listVolumes()).toEqual([]);
	});

	for (const format of under.capabilities.formats) {
		test(`a ${format} volume goes to another pool as it is`, async () => {
			const { id } = await make(empty, 4 * MiB, format);
			await suite.pool().writeDisk(driver(), id, 65_536, pattern(100_000));
			const wanted = await diskContent(driver(), id);
			const moved = await driver().readVolume(id, {});
			expect(moved.format).toBe(format);
			const copy = newId();
			const progress: (number | null)[] = [];
			const made = await driver().receiveVolume(copy, moved, { progress: (ratio) => progress.push(ratio) });
			expect(made).toMatchObject({ id: copy, format, sizeBytes: 4 * MiB, backing: [] });
			expect(progress.at(-1)).toBe(1);
			const reopened = await suite.pool().reopen();
			expect(await reopened.getVolume(copy)).toEqual(made);
			expectSame(await diskContent(reopened, copy), wanted);
			await reopened.deleteVolume(id);
		});
	}

	check("a copy-on-write volume arrives as one that stands alone", under.decodesQcow2, async () => {
		const image = await makeImage(driver(), pattern(MiB));
		const { id } = await make({ kind: "image", id: image, fullCopy: false }, MiB);
		await suite.pool().writeDisk(driver(), id, 0, pattern(1000, 9));
		const wanted = await diskContent(driver(), id);
		const copy = newId();
		const made = await driver().receiveVolume(copy, await driver().readVolume(id, {}), {});
		expect(made.backing).toEqual([]);
		await driver().deleteVolume(id);
		await driver().deleteImage(image);
		expectSame(await diskContent(driver(), copy), wanted);
	});

	test("a volume that does not arrive whole is none", async () => {
		const { id } = await make();
		const read = async (change: (bytes: Uint8Array) => Uint8Array, announced?: number) => {
			const { stream, ...content } = await driver().readVolume(id, {});
			const bytes = change(await readAll(stream));
			return { ...content, sizeBytes: announced ?? bytes.length, stream: streamOf(bytes) };
		};
		const refused = newId();
		const whole = (await read((bytes) => bytes)).sizeBytes;
		await fails("storage", driver().receiveVolume(refused, await read((bytes) => bytes.slice(0, -1), whole), {}));
		await fails("storage", driver().receiveVolume(refused, await read((bytes) => bytes, whole - 1), {}));
		const evil = qcow2Sample({ virtualSizeBytes: 4 * MiB, backingFile: "/etc/passwd" });
		const refers = { ...(await read(() => evil)), format: "qcow2" as const };
		await fails("invalid", driver().receiveVolume(refused, refers, {}));
		const broken = new ReadableStream<Uint8Array>({
			pull(controller) {
				controller.error(new AppError("unavailable", "The link broke."));
			},
		});
		await fails("unavailable", driver().receiveVolume(refused, { format: "raw", sizeBytes: MiB, stream: broken }, {}));
		const signal = AbortSignal.abort();
		await fails("canceled", driver().receiveVolume(refused, await read((bytes) => bytes), { signal }));
		await fails("already-exists", driver().receiveVolume(id, await read((bytes) => bytes), {}));
		expect((await driver().listVolumes()).map((volume) => volume.id)).toEqual([id]);
		await driver().deleteVolume(id);
	});

	test("a volume that is being read stays until the reader has finished, or given up", async () => {
		const { id } = await make(empty, 4 * MiB, "raw");
		const { stream } = await driver().readVolume(id, {});
		await stream.cancel();
		await driver().deleteVolume(id);
		expect(await driver().getVolume(id)).toBeNull();
	});
}
