/**
 * Making the volume group, ended at each of its steps. What the node that made it does when it comes back must never cost what others
 * have put on the LUN meanwhile: a pool that they use already, or something that is not ours.
 */
import { expect, test } from "bun:test";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { diskContent, expectSame, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import { lvmConfig } from "./lvm.ts";
import { type LoopPool, loopPool, nodeId } from "./testing/loop-pool.ts";

const steps = ["make the volume group", "finish the volume group", "forget that the volume group was begun"] as const;
/** Only where something is on the LUN that may go. */
const allSteps = ["clear the LUN", ...steps] as const;

/** A driver begins to make the group, and never goes on at `step`. */
async function endedAt(pool: LoopPool, step: (typeof allSteps)[number], overwrite: string[] = []): Promise<void> {
	const ended = Promise.withResolvers<void>();
	const driver = pool.driver({
		onStep: (name) => {
			if (name !== step) return;
			ended.resolve();
			return new Promise<void>(() => {});
		},
	});
	const whole = driver.activate({ overwrite }).then(() => {
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

const lvmCommand = (device: string, ...args: string[]) =>
	run("lvm", [args[0] ?? "", "--devices", device, "--driverloaded", "n", ...args.slice(1)], {
		...{ timeoutMs: 30_000, environment: { LVM_SUPPRESS_FD_WARNINGS: "1" } },
	});
const anyDevice = ["--config", 'devices/global_filter=["a|.*|"]'];
/** The first MiB, and the last. */
const ends = async ({ folder }: LoopPool): Promise<Buffer[]> => {
	const bytes = await readFile(join(folder, "lun"));
	return [bytes.subarray(0, MiB), bytes.subarray(-MiB)];
};

for (const step of ["make the volume group", "finish the volume group"] as const)
	for (const [what, at] of [
		["over all of the beginning", 0],
		["at the end only", 599],
	] as const)
		test(`bytes that nobody knows, put on the LUN after it was ended at "${step}", stay: ${what}`, async () => {
			await using pool = await loopPool();
			await endedAt(pool, step);
			await run("wipefs", ["--all", "--quiet", pool.device], { timeoutMs: 10_000 });
			const write = ["if=/dev/urandom", `of=${pool.device}`, "bs=1M", "count=1", `seek=${at}`, "status=none"];
			await run("dd", write, { timeoutMs: 30_000 });
			const before = await ends(pool);
			const refusal = { code: "wrong-state", context: { found: ["data"] } };
			await expect(pool.driver().activate()).rejects.toMatchObject(refusal);
			await expect(pool.driver().activate({ overwrite: ["ext4"] })).rejects.toMatchObject(refusal);
			expect(await ends(pool)).toEqual(before);
			await pool.driver().activate({ overwrite: ["data"] });
			await other(pool).activate();
		}, 120_000);

test("a bare device of LVM that somebody has made on the LUN meanwhile stays, and so does a group on it", async () => {
	await using pool = await loopPool();
	await endedAt(pool, "make the volume group");
	await lvmCommand(pool.device, "pvcreate", ...anyDevice, "--yes", pool.device);
	const before = await ends(pool);
	const refusal = { code: "wrong-state", context: { found: ["LVM2_member"] } };
	await expect(pool.driver().activate()).rejects.toMatchObject(refusal);
	expect(await ends(pool)).toEqual(before);
	await lvmCommand(pool.device, "vgcreate", ...anyDevice, "--yes", "data", pool.device);
	await expect(pool.driver().activate()).rejects.toMatchObject({
		context: { found: ["LVM2_member of group data"] },
	});
	await pool.driver().remove();
	expect(await signatures(pool)).toEqual(["LVM2_member"]);
}, 120_000);

test("a group that could not be made leaves a device of our own, which is begun anew", async () => {
	await using pool = await loopPool();
	await endedAt(pool, "finish the volume group");
	const { stdout } = await lvmCommand(pool.device, "pvs", ...anyDevice, "--foreign", "--noheadings", "-o", "vg_name");
	const config = ["--config", lvmConfig({ nodeId, hostId: null })];
	// As LVM does it itself when sanlock refuses.
	await lvmCommand(pool.device, "vgremove", ...config, "--yes", stdout.trim());
	expect(await signatures(pool)).toEqual(["LVM2_member"]);
	await pool.driver().activate();
	await other(pool).activate();
}, 120_000);

test("what was cut short while it was being cleared is known by its label", async () => {
	await using pool = await loopPool();
	await endedAt(pool, "finish the volume group");
	const zero = ["--zeroout", "--force", "--offset", "4096", "--length", `${2 * MiB - 4096}`, pool.device];
	await run("blkdiscard", zero, { timeoutMs: 10_000 });
	await pool.driver().activate();
	await other(pool).activate();
}, 120_000);

test("a pool that is deleted before it was finished leaves nothing", async () => {
	await using pool = await loopPool();
	await endedAt(pool, "finish the volume group");
	expect(await signatures(pool)).toEqual(["LVM2_member"]);
	await pool.driver().remove();
	expect(await signatures(pool)).toEqual([""]);
}, 120_000);

const makeExt4 = (device: string) => run("mke2fs", ["-q", "-F", "-t", "ext4", device], { timeoutMs: 30_000 });
/** A volume group of somebody else, on the whole LUN. */
const makeGroup = async (device: string, name: string) => {
	const config = ["--devices", device, "--config", 'devices/global_filter=["a|.*|"]', "--driverloaded", "n"];
	await run("lvm", ["vgcreate", ...config, "--yes", name, device], {
		...{ timeoutMs: 30_000, environment: { LVM_SUPPRESS_FD_WARNINGS: "1" } },
	});
};

test("what is on the LUN is told by name, and goes when exactly that was named", async () => {
	await using pool = await loopPool();
	await makeExt4(pool.device);
	const refusal = { code: "wrong-state", context: { found: ["ext4"] } };
	await expect(pool.driver().probe()).rejects.toMatchObject(refusal);
	await expect(pool.driver().activate()).rejects.toMatchObject(refusal);
	await expect(pool.driver().activate({ overwrite: ["xfs", "data"] })).rejects.toMatchObject(refusal);
	// Whoever is not to make the group clears nothing.
	await expect(other(pool).activate({ overwrite: ["ext4"] })).rejects.toMatchObject({ code: "storage" });
	expect((await pool.driver().probe({ overwrite: ["ext4"] })).usedBytes).toBe(0);
	expect(await signatures(pool)).toEqual(["ext4"]);
	const driver = pool.driver();
	await driver.activate({ overwrite: ["ext4"] });
	expect(await signatures(pool)).toEqual(["LVM2_member"]);
	expect(await driver.listVolumes()).toEqual([]);
}, 120_000);

test("a volume group of somebody else is named with its name", async () => {
	await using pool = await loopPool();
	await makeGroup(pool.device, "data");
	const name = "LVM2_member of group data";
	const refusal = {
		code: "wrong-state",
		message: "The LUN is in use by another volume group, data.",
		context: { found: [name] },
	};
	await expect(pool.driver().probe()).rejects.toMatchObject(refusal);
	await expect(pool.driver().activate({ overwrite: ["LVM2_member"] })).rejects.toMatchObject(refusal);
	await expect(pool.driver().activate({ overwrite: ["LVM2_member of group other"] })).rejects.toMatchObject(refusal);
	await pool.driver().activate({ overwrite: [name] });
	await other(pool).activate();
}, 120_000);

test("data that nobody knows goes when that was said", async () => {
	await using pool = await loopPool();
	await run("dd", ["if=/dev/urandom", `of=${pool.device}`, "bs=64k", "count=1", "status=none"], { timeoutMs: 30_000 });
	await expect(pool.driver().activate()).rejects.toMatchObject({ context: { found: ["data"] } });
	await pool.driver().activate({ overwrite: ["data"] });
}, 120_000);

test("what is mounted here does not go", async () => {
	await using pool = await loopPool();
	await makeExt4(pool.device);
	const mountPoint = join(pool.folder, "mounted");
	await mkdir(mountPoint);
	await run("mount", [pool.device, mountPoint], { timeoutMs: 10_000 });
	try {
		const options = { overwrite: ["ext4"] };
		await expect(pool.driver().probe(options)).rejects.toMatchObject({ code: "in-use" });
		await expect(pool.driver().activate(options)).rejects.toMatchObject({ code: "in-use" });
	} finally {
		await run("umount", [mountPoint], { timeoutMs: 10_000 });
	}
	expect(await signatures(pool)).toEqual(["ext4"]);
}, 120_000);

for (const step of allSteps)
	test(`with something on the LUN, ended at "${step}": it is made in the end`, async () => {
		await using pool = await loopPool();
		await makeExt4(pool.device);
		await endedAt(pool, step, ["ext4"]);
		// Before that it is as it was: without leave, nothing goes.
		if (step === "clear the LUN") {
			await expect(pool.driver().activate()).rejects.toMatchObject({ context: { found: ["ext4"] } });
			expect(await signatures(pool)).toEqual(["ext4"]);
		}
		// Afterwards none is needed.
		await pool.driver().activate(step === "clear the LUN" ? { overwrite: ["ext4"] } : {});
		await other(pool).activate();
	}, 120_000);

test("leave to overwrite counts once: what is put there after the LUN was cleared stays", async () => {
	await using pool = await loopPool();
	await makeExt4(pool.device);
	await endedAt(pool, "make the volume group", ["ext4"]);
	expect(await signatures(pool)).toEqual([""]);
	await makeExt4(pool.device);
	await expect(pool.driver().activate({ overwrite: ["ext4"] })).rejects.toMatchObject({ code: "wrong-state" });
	expect(await signatures(pool)).toEqual(["ext4"]);
}, 120_000);
