/**
 * Making the volume group, ended at each of its steps. What the node that made it does when it comes back must never cost what others
 * have put on the LUN meanwhile: a pool that they use already, or something that is not ours.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { diskContent, expectSame, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import { type LoopPool, loopPool } from "./testing/loop-pool.ts";

const steps = ["make the volume group", "finish the volume group", "forget that the volume group was begun"] as const;

/** A driver begins to make the group, and never goes on at `step`. */
async function endedAt(pool: LoopPool, step: (typeof steps)[number]): Promise<void> {
	const ended = Promise.withResolvers<void>();
	const driver = pool.driver({
		onStep: (name) => {
			if (name !== step) return;
			ended.resolve();
			return new Promise<void>(() => {});
		},
	});
	const whole = driver.activate().then(() => {
		throw new Error(`it did not stop at "${step}"`);
	});
	await Promise.race([ended.promise, whole]);
}

/** As another node does it: with files of its own, and without leave to make the group. */
const other = (pool: LoopPool) =>
	pool.driver({ mayInitialize: false, stagingFolder: join(pool.folder, "staging of another") });

const signatures = async (pool: LoopPool) =>
	(await run("wipefs", ["--no-act", "--noheadings", "--output", "TYPE", pool.device], { timeoutMs: 10_000 })).stdout
		.trim()
		.split("\n");

for (const step of steps)
	test(`ended at "${step}", it is made in the end, and used`, async () => {
		await using pool = await loopPool();
		await endedAt(pool, step);
		const driver = pool.driver();
		await driver.activate();
		const id = newId();
		await driver.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
		const again = pool.driver({ mayInitialize: false });
		await again.activate();
		expect((await again.listVolumes()).map((volume) => volume.id)).toEqual([id]);
	}, 120_000);

test("what is not finished is used by nobody", async () => {
	await using pool = await loopPool();
	await endedAt(pool, "finish the volume group");
	await expect(other(pool).activate()).rejects.toMatchObject({
		code: "wrong-state",
		message: "The node that makes the volume group on the LUN has not finished it yet.",
	});
	const driver = pool.driver();
	await driver.activate();
	await other(pool).activate();
}, 120_000);

test("volumes that others have made meanwhile stay", async () => {
	await using pool = await loopPool();
	await endedAt(pool, "forget that the volume group was begun");
	const second = other(pool);
	await second.activate();
	const id = newId();
	await second.createVolume(id, { format: "raw", sizeBytes: 4 * MiB, source: { kind: "empty" } });
	await second.openVolume(id);
	await writeDisk(second, id, 0, pattern(65_536));
	await second.closeVolume(id);

	const first = pool.driver();
	await first.activate();
	expectSame((await diskContent(first, id)).subarray(0, 65_536), pattern(65_536));
}, 120_000);

test("what somebody else has put on the LUN meanwhile stays", async () => {
	await using pool = await loopPool();
	await endedAt(pool, "make the volume group");
	await run("mke2fs", ["-q", "-t", "ext4", pool.device], { timeoutMs: 30_000 });
	await expect(pool.driver().activate()).rejects.toMatchObject({ code: "wrong-state" });
	expect(await signatures(pool)).toEqual(["ext4"]);
}, 120_000);

test("a pool that is deleted before it was finished leaves nothing", async () => {
	await using pool = await loopPool();
	await endedAt(pool, "finish the volume group");
	expect(await signatures(pool)).toEqual(["LVM2_member"]);
	await pool.driver().remove();
	expect(await signatures(pool)).toEqual([""]);
}, 120_000);
