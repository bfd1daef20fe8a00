/**
 * A thick group that has no room for what is to be made: `no-space`, nothing half-made, and it works when there is room. On LVM's real
 * metadata, see testing/loop-pool.ts.
 */
import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern, sha256 } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import { loopPool } from "./testing/loop-pool.ts";

const empty = { kind: "empty" } as const;
const sizeBytes = 32 * MiB;
/** None, and enough for one of the two logical volumes that a copy-on-write copy takes. */
const rooms = [0, 50 * MiB];

test("each operation on a full group", async () => {
	await using pool = await loopPool();
	const driver = pool.driver();
	await driver.activate();
	const make = async (options: Partial<Parameters<typeof driver.createVolume>[1]>) => {
		const id = newId();
		await driver.createVolume(id, { format: "qcow2", sizeBytes, source: empty, ...options });
		return id;
	};
	const write = async (id: string, bytes: Uint8Array) => {
		await driver.openVolume(id);
		await writeDisk(driver, id, 0, bytes);
		await driver.closeVolume(id);
	};
	const image = await makeImage(driver, pattern(4 * MiB));
	const [volume, raw] = [await make({}), await make({ format: "raw" })];
	for (const id of [volume, raw]) await write(id, pattern(MiB, 5));
	const big = join(pool.folder, "big.img");
	const bigBytes = pattern(64 * MiB);
	await writeFile(big, bigBytes);
	const pending = newId();
	await driver.importFile(pending, big, {});

	// All of them need more than 50 MiB: of a copy-on-write copy, the volume's new disk and the copy's.
	const large = 2 * sizeBytes;
	const copied = { kind: "volume", id: volume, fullCopy: true } as const;
	const shared = { ...copied, fullCopy: false };
	const ofImage = { kind: "image", id: image, fullCopy: false } as const;
	const received = newId();
	const operations: Record<string, () => Promise<unknown>> = {
		"qcow2 volume": () => make({ sizeBytes: large }),
		"raw volume": () => make({ format: "raw", sizeBytes: large }),
		"full copy, qcow2": () => make({ source: copied, sizeBytes: large }),
		"full copy, raw": () => make({ format: "raw", source: copied, sizeBytes: large }),
		"copy-on-write copy of an image": () => make({ source: ofImage, sizeBytes: large }),
		"copy-on-write copy of a volume": () => make({ source: shared }),
		"finish an image": () => driver.finishImage(pending, { format: "raw", sha256: sha256(bigBytes) }),
		"receive a volume": () => {
			const stream = new Blob([new Uint8Array(bigBytes)]).stream();
			return driver.receiveVolume(received, { format: "raw", sizeBytes: bigBytes.length, stream }, {});
		},
		"grow a qcow2 volume": () => driver.resizeVolume(volume, 4 * sizeBytes),
		"grow a raw volume": () => driver.resizeVolume(raw, 4 * sizeBytes),
	};
	const stateOf = async () => ({
		volumes: await driver.listVolumes(),
		images: await driver.listImages(),
		lvs: (await pool.lvs()).filter(({ lv }) => lv !== "ballast"),
		upload: (await driver.getUpload(pending))?.receivedBytes,
	});
	const before = await stateOf();
	expect(before.upload).toBe(bigBytes.length);
	for (const room of rooms)
		for (const [name, work] of Object.entries(operations)) {
			await pool.leave(driver, room);
			try {
				await fails("no-space", work());
				expect(await stateOf()).toEqual(before);
			} catch (error) {
				throw new Error(`${name}, with ${room} bytes left`, { cause: error });
			}
		}
	await pool.leave(driver, 0);
	await fails("no-space", driver.snapshots.take(volume, newId(), { running: false }));
	expect(await stateOf()).toEqual(before);

	await pool.leave(driver, null);
	for (const id of [volume, raw]) expectSame((await diskContent(driver, id)).subarray(0, MiB), pattern(MiB, 5));
	const kept = new Set([volume, raw]);
	for (const [name, work] of Object.entries(operations)) {
		// In one piece only, which is all that testing/loop-pool.ts has: below.
		if (name.startsWith("grow")) continue;
		await work();
		for (const { id } of await driver.listVolumes()) if (!kept.has(id)) await driver.deleteVolume(id);
	}
	const snapshot = newId();
	await driver.deleteImage(pending);
	await driver.snapshots.take(volume, snapshot, { running: false });
	await driver.snapshots.delete(volume, snapshot, {});
	for (const id of [volume, raw]) expectSame((await diskContent(driver, id)).subarray(0, MiB), pattern(MiB, 5));
	for (const id of kept) await driver.deleteVolume(id);
	await driver.deleteImage(image);
	expect(await pool.lvNames()).toEqual([]);
	for (const format of ["qcow2", "raw"] as const) {
		const id = await make({ format });
		await pool.leave(driver, 0);
		await fails("no-space", driver.resizeVolume(id, 4 * sizeBytes));
		await pool.leave(driver, null);
		expect((await driver.resizeVolume(id, 4 * sizeBytes)).sizeBytes).toBe(4 * sizeBytes);
		await driver.deleteVolume(id);
	}
}, 300_000);
