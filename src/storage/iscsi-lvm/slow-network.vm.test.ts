/** A target that is far away, and a network that loses packets: slower, and nothing else. Round trips are those of netem at the target. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { limits } from "../../node/limits.ts";
import { withLimit } from "../../node/wait.ts";
import { stopwatch } from "../../testing/lab/stopwatch.ts";
import { type LabLuns, labLuns, sessionCount } from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { note } from "../../testing/note.ts";
import { diskContent, expectSame, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";

let lab: LabLuns;
beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [GiB], withChap: true });
}, 60_000);
afterAll(() => lab.close(), 60_000);

test("20 ms away with one packet of a hundred lost: a pool is made, has a volume with its copy, and goes", async () => {
	await lab.server.netem({ delayMs: 20, lossPercent: 1 });
	const driver = lab.driver(newId());
	const { timed, took } = stopwatch();
	try {
		await timed("pool", () => driver.activate());
		expect(await sessionCount()).toBe(1);
		const [id, copy] = [newId(), newId()];
		const sizeBytes = 16 * MiB;
		await timed("volume", () => driver.createVolume(id, { format: "qcow2", sizeBytes, source: { kind: "empty" } }));
		await timed("open, write, close", async () => {
			await driver.openVolume(id);
			await writeDisk(driver, id, 0, pattern(65_536));
			await driver.closeVolume(id);
		});
		const source = { kind: "volume", id, fullCopy: false } as const;
		await timed("copy", () => driver.createVolume(copy, { format: "qcow2", sizeBytes, source }));
		expectSame((await diskContent(driver, copy)).subarray(0, 65_536), pattern(65_536));
		for (const delayMs of [20, 100, 200]) {
			await lab.server.netem({ delayMs });
			// As the node looks at it: longer, and the pool is not healthy.
			const what = `look, ${delayMs} ms away`;
			const limit = { what, limitMs: limits.poolCheckMs };
			for (let look = 0; look < 3; look++) {
				const usage = await timed(what, () => withLimit(systemClock, limit, () => driver.check()));
				expect(usage.warning).toBeUndefined();
			}
		}
		await lab.server.netem({ delayMs: 20, lossPercent: 1 });
		await timed("delete", async () => {
			await driver.deleteVolume(copy);
			await driver.deleteVolume(id);
		});
		expect(await driver.listVolumes()).toEqual([]);
		await timed("remove", () => driver.remove());
		expect(await sessionCount()).toBe(0);
	} finally {
		note(`iSCSI, 20 ms away, 1 % lost: ${took()}`);
		await lab.server.netem(null);
	}
}, 360_000);
