/** Operations in a thick pool that were cut short, on LVM's real metadata without device-mapper. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { newId, pattern } from "../conformance.ts";
import { endedAt, restarted, write } from "./testing/interrupted.ts";
import { interruptedOperations } from "./testing/interrupted-operations.ts";
import { loopPool } from "./testing/loop-pool.ts";

interruptedOperations({ layout: "thick", open: () => loopPool(), limitMs: 300_000 });

// In a thin pool nothing is overwritten.
test("what was deleted is overwritten, however often that is cut short", async () => {
	await using pool = await loopPool();
	const id = newId();
	const marker = Buffer.from(pattern(64, 99));
	const isThere = async () => {
		for await (const chunk of Bun.file(join(pool.folder, "lun")).stream())
			if (Buffer.from(chunk).includes(marker)) return true;
		return false;
	};
	const wiping = { wipeOnDelete: true };
	for (let at = 1; at < 10; at++) {
		const first = pool.driver(wiping);
		await first.activate();
		await first.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
		await write(first, id, 3, 99);
		expect(await isThere()).toBe(true);
		const done = await endedAt(pool, at, (of) => of.deleteVolume(id), wiping);
		const again = await restarted(pool, wiping);
		await again.deleteVolume(id);
		expect(await again.listVolumes()).toEqual([]);
		expect(await isThere()).toBe(false);
		if (done) return;
	}
	throw new Error("more than 10 steps");
}, 300_000);
