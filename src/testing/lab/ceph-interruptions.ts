/**
 * Every operation that changes a Ceph pool, cut short before each of its steps: by the end of the process (the next activate tidies
 * up) or by an error. Either way the pool holds what it held before or what it holds afterwards, nothing else lies about, and repeating the
 * operation finishes it. At the end everything is deleted, and nothing is left in the cluster.
 */
import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { CephRbdDriver } from "../../storage/ceph-rbd/driver.ts";
import { newId, pattern, upload } from "../../storage/conformance.ts";
import type { CephSession, TestPool } from "./ceph-pool.ts";
import { waitUntil } from "./wait-until.ts";

type Setting = { pool: TestPool; volume: string; fresh: string; snapshot: string };
type Operation = {
	name: string;
	steps: number;
	/** Of those that every run of the tests has: it changes more than one thing. */
	central?: true;
	prepare?(driver: CephRbdDriver, setting: Setting): Promise<unknown>;
	act(driver: CephRbdDriver, setting: Setting): Promise<unknown>;
};

const raw = { format: "raw", sizeBytes: MiB } as const;
const running = { running: false };
const cloneOf = (driver: CephRbdDriver, { volume, fresh }: Setting, fullCopy: boolean) =>
	driver.createVolume(fresh, { ...raw, source: { kind: "volume", id: volume, fullCopy } });

const operations: Operation[] = [
	{
		name: "make an empty volume",
		steps: 2,
		act: (driver, { fresh }) => driver.createVolume(fresh, { ...raw, source: { kind: "empty" } }),
	},
	{
		name: "copy a volume copy-on-write",
		steps: 6,
		central: true,
		act: (driver, setting) => cloneOf(driver, setting, false),
	},
	{ name: "copy a volume in full", steps: 2, act: (driver, setting) => cloneOf(driver, setting, true) },
	{
		name: "delete a volume with snapshots",
		steps: 3,
		prepare: (driver, { volume, snapshot }) => driver.snapshots.take(volume, snapshot, running),
		act: (driver, { volume }) => driver.deleteVolume(volume),
	},
	{
		name: "take a snapshot",
		steps: 2,
		act: (driver, { volume, snapshot }) => driver.snapshots.take(volume, snapshot, running),
	},
	{
		name: "set a volume back",
		steps: 5,
		central: true,
		async prepare(driver, { pool, volume, snapshot }) {
			await driver.snapshots.take(volume, snapshot, running);
			await pool.writeDisk(driver, volume, 0, pattern(65_536, 9));
		},
		act: (driver, { volume, snapshot }) => driver.snapshots.revert(volume, snapshot),
	},
	{
		name: "make a copy stand alone",
		steps: 1,
		prepare: (driver, setting) => cloneOf(driver, setting, false),
		act: (driver, { fresh }) => driver.flattenVolume(fresh, {}),
	},
	{
		name: "receive a volume",
		steps: 2,
		async act(driver, { volume, fresh }) {
			if ((await driver.getVolume(fresh)) !== null) return;
			await driver.receiveVolume(fresh, await driver.readVolume(volume, {}), {});
		},
	},
	{
		name: "finish an image",
		steps: 7,
		prepare: (driver, { fresh }) => upload(driver, fresh, pattern(MiB)),
		act: (driver, { fresh }) => driver.finishImage(fresh, { format: "raw", sha256: null }),
	},
	{
		name: "grow a volume",
		steps: 1,
		act: (driver, { volume }) => driver.resizeVolume(volume, 2 * MiB),
	},
	{
		name: "delete a snapshot",
		steps: 1,
		prepare: (driver, { volume, snapshot }) => driver.snapshots.take(volume, snapshot, running),
		act: (driver, { volume, snapshot }) => driver.snapshots.delete(volume, snapshot, {}),
	},
	{
		name: "delete an image",
		steps: 5,
		async prepare(driver, { fresh }) {
			await upload(driver, fresh, pattern(MiB));
			await driver.finishImage(fresh, { format: "raw", sha256: null });
		},
		act: (driver, { fresh }) => driver.deleteImage(fresh),
	},
	{
		name: "make an image of a volume",
		steps: 8,
		act: (driver, { fresh, volume }) => driver.imageFromVolume(fresh, volume, { format: "raw" }),
	},
];

export function interruptions(
	session: CephSession,
	end: "process" | "error",
	which: "central" | "others" | "all",
): void {
	for (const operation of operations) {
		if (which !== "all" && (which === "central") !== (operation.central ?? false)) continue;
		const by = end === "process" ? "the end of the process" : "an error";
		test(`${operation.name}, ended by ${by} before each step`, async () => {
			let steps: string[] = [];
			const whole = await prepared(session, operation);
			const before = await describe(await whole.pool.open(), whole);
			const complete = await whole.pool.open({ onStep: (name) => void steps.push(name) });
			steps = [];
			await operation.act(complete, whole);
			const made = steps.slice();
			const after = await describe(complete, whole);
			await cleared(complete, whole);
			expect(after).not.toEqual(before);
			expect(made).toHaveLength(operation.steps);

			const outcomes = new Set<string>();
			for (let stop = 1; stop <= made.length; stop++) {
				const setting = await prepared(session, operation);
				const cut = await cutShort(operation, setting, stop, end);
				const where = `before step ${stop} (${made[stop - 1]})`;
				const next = cut ?? (await setting.pool.open());
				const found = await describe(next, setting);
				// Setting back that was begun is finished by the next start.
				const outcome = [before, after].findIndex((state) => Bun.deepEquals(state, found));
				if (outcome === -1 && end === "process") expect({ where, found }).toEqual({ where, found: before });
				outcomes.add(outcome === 0 ? "before" : "after");
				if (end === "process") expect({ where, stray: await stray(setting) }).toEqual({ where, stray: [] });
				await operation.act(next, setting);
				expect({ where, found: await describe(next, setting) }).toEqual({ where, found: after });
				await cleared(next, setting);
			}
			expect(outcomes.has("before")).toBe(true);
		});
	}
}

/** Names in place of ids, so that settings can be held against each other. */
async function describe(driver: CephRbdDriver, { pool, volume, fresh, snapshot }: Setting) {
	const named = (id: string | null) =>
		id === null ? null : ({ [volume]: "volume", [fresh]: "fresh", [snapshot]: "snapshot" }[id] ?? id);
	const volumes = [];
	for (const { id, sizeBytes, backing } of await driver.listVolumes()) {
		const content = await pool.content(`lqx-vol-${id}`);
		const snapshots = (await driver.snapshots.list(id)).map((one) => [named(one.id), named(one.parentId)]);
		volumes.push({ id: named(id), sizeBytes, backing: backing.map((one) => named(one.id)), content, snapshots });
	}
	volumes.sort((a, b) => (`${a.id}` < `${b.id}` ? -1 : 1));
	return { volumes, images: (await driver.listImages()).map(named), upload: await driver.getUpload(fresh) };
}

/** What is in the cluster and in no list of ours, and what is left of an upload in the node's folder. */
async function stray({ pool, fresh }: Setting): Promise<string[]> {
	const files = (await readdir(join(pool.folder, "staging", pool.poolId, "uploads"))).sort();
	const isWhole = Bun.deepEquals(files, [`${fresh}.json`, `${fresh}.part`]);
	const images = (await pool.contents()).filter((name) => /^(trash|lqx-tmp)|@lqx-tmp/.test(name));
	return isWhole ? images : [...images, ...files];
}

async function cleared(driver: CephRbdDriver, { pool }: Setting): Promise<void> {
	// Copies before what they rest on.
	const volumes = (await driver.listVolumes()).sort((a, b) => b.backing.length - a.backing.length);
	for (const { id } of volumes) await driver.deleteVolume(id);
	for (const id of await driver.listImages()) await driver.deleteImage(id);
	await driver.remove();
	// The cluster takes what only a snapshot had away in its own time.
	await waitUntil("an empty pool", 60_000, async () => (await pool.contents()).length === 0).catch(() => {});
	expect(await pool.contents()).toEqual([]);
	await pool.close();
}

async function prepared(session: CephSession, operation: Operation): Promise<Setting> {
	const pool = await session.pool();
	const driver = await pool.open();
	const setting = { pool, volume: newId(), fresh: newId(), snapshot: newId() };
	await driver.createVolume(setting.volume, { ...raw, source: { kind: "empty" } });
	await pool.writeDisk(driver, setting.volume, 0, pattern(65_536));
	await operation.prepare?.(driver, setting);
	return setting;
}

/** Keeps what stopped for ever from being collected. */
const ended: (() => void)[] = [];

/** Runs the operation up to the step and ends it there. The driver that had an error, or null for one that is no more. */
async function cutShort(operation: Operation, setting: Setting, stop: number, end: "process" | "error") {
	let count = Number.NEGATIVE_INFINITY;
	const { promise: reached, resolve } = Promise.withResolvers<void>();
	const driver = await setting.pool.open({
		onStep() {
			count += 1;
			if (count !== stop) return;
			if (end === "error") throw new AppError("storage", "This step failed.");
			// Nothing after this step happens, no clean-up either: as if the process had ended.
			resolve();
			return new Promise<void>((goOn) => ended.push(goOn));
		},
	});
	count = 0;
	const work = operation.act(driver, setting).catch(() => {});
	await Promise.race([work, reached]);
	return end === "error" ? driver : null;
}
