/**
 * Tests: every operation that changes a local pool, cut short before each of its steps: by an error (what was done is undone at
 * once) and by the end of the process (the next activate cleans up). Either way the pool holds what it held before or
 * what it holds afterwards, nothing else lies about, and repeating the operation finishes it.
 */
import { expect, test } from "bun:test";
import { cp, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { present } from "../../../lib/assert.ts";
import { AppError } from "../../../lib/errors.ts";
import { MiB } from "../../../lib/units.ts";
import { makeImage, newId, pattern, upload } from "../../conformance.ts";
import type { StorageDriver } from "../../driver.ts";
import type { LocalDriver } from "../driver.ts";
import { describePool, mergeLayers, openLocal, strayFiles, temporaryFolder, writeDisk } from "./local-pool.ts";

type Setting = {
	root: string;
	volume: string;
	other: string;
	image: string;
	fresh: string;
	hostPath: string;
	/** Ids of snapshots, of `volume`. */
	snapshots: [string, string, string];
};
type Operation = {
	name: string;
	prepare(driver: StorageDriver, setting: Setting): Promise<unknown>;
	act(driver: StorageDriver, setting: Setting): Promise<unknown>;
	/** Part of an upload may be there: it is not complete, so nothing is made of it. */
	partOfUpload?: true;
};

const empty = { kind: "empty" } as const;
const nothing = async () => {};
const qcow2 = { format: "qcow2", sizeBytes: MiB } as const;

async function makeVolume(driver: StorageDriver, id: string): Promise<void> {
	await driver.createVolume(id, { ...qcow2, source: empty });
	await writeDisk(driver, id, 0, pattern(65_536));
}

/** A volume with snapshots, something else written after each. */
async function makeSnapshots(driver: StorageDriver, { volume, snapshots }: Setting, count: number): Promise<void> {
	await makeVolume(driver, volume);
	for (const [at, snapshot] of snapshots.slice(0, count).entries()) {
		await snapshotsOf(driver).take(volume, snapshot, { running: false });
		await writeDisk(driver, volume, 0, pattern(65_536, 50 + at));
	}
}
const snapshotsOf = (driver: StorageDriver) => present(driver.snapshots, "snapshots");

async function deleteLive(driver: StorageDriver, volume: string, snapshot: string): Promise<void> {
	const snapshots = snapshotsOf(driver);
	for (;;) {
		const merge = await snapshots.planLiveDelete?.(volume, snapshot, {});
		if (!merge) return;
		await mergeLayers(driver, volume, merge);
		await snapshots.finishLiveDelete?.(volume, merge);
	}
}

const copyOf = (driver: StorageDriver, setting: Setting, fullCopy: boolean) =>
	driver.createVolume(setting.fresh, { ...qcow2, source: { kind: "volume", id: setting.volume, fullCopy } });

const operations: Operation[] = [
	{
		name: "create an empty volume",
		prepare: nothing,
		act: (driver, { fresh }) => driver.createVolume(fresh, { ...qcow2, source: empty }),
	},
	{
		name: "copy an image in full",
		prepare: nothing,
		act: (driver, { fresh, image }) =>
			driver.createVolume(fresh, { ...qcow2, format: "raw", source: { kind: "image", id: image, fullCopy: true } }),
	},
	{
		name: "copy an image copy-on-write",
		prepare: nothing,
		act: (driver, { fresh, image }) =>
			driver.createVolume(fresh, { ...qcow2, source: { kind: "image", id: image, fullCopy: false } }),
	},
	{
		name: "copy a volume copy-on-write",
		prepare: (driver, { volume }) => makeVolume(driver, volume),
		act: (driver, setting) => copyOf(driver, setting, false),
	},
	{
		name: "copy a volume copy-on-write a second time",
		async prepare(driver, { volume, other }) {
			await makeVolume(driver, volume);
			await driver.createVolume(other, { ...qcow2, source: { kind: "volume", id: volume, fullCopy: false } });
			await writeDisk(driver, volume, 65_536, pattern(65_536, 9));
		},
		act: (driver, setting) => copyOf(driver, setting, false),
	},
	{
		name: "delete a volume",
		prepare: (driver, { volume }) => makeVolume(driver, volume),
		act: (driver, { volume }) => driver.deleteVolume(volume),
	},
	{
		name: "grow a volume",
		prepare: (driver, { volume }) => makeVolume(driver, volume),
		act: (driver, { volume }) => driver.resizeVolume(volume, 2 * MiB),
	},
	{
		name: "make a thick volume of an image",
		prepare: nothing,
		act: (driver, { fresh, image }) =>
			driver.createVolume(fresh, {
				...{ ...qcow2, provisioning: "thick", source: { kind: "image", id: image, fullCopy: true } },
			}),
	},
	{
		name: "grow a thick volume",
		prepare: (driver, { volume }) =>
			driver.createVolume(volume, { ...qcow2, format: "raw", provisioning: "thick", source: empty }),
		async act(driver, { volume }) {
			const { allocatedBytes } = await driver.resizeVolume(volume, 2 * MiB);
			expect(allocatedBytes).toBeGreaterThanOrEqual(2 * MiB);
		},
	},
	{
		name: "receive a volume",
		prepare: (driver, { volume }) => makeVolume(driver, volume),
		act: async (driver, { volume, fresh }) => {
			if ((await driver.getVolume(fresh)) !== null) return;
			await driver.receiveVolume(fresh, await driver.readVolume(volume, {}), {});
		},
	},
	{
		name: "take over a file",
		prepare: nothing,
		act: (driver, { fresh, hostPath }) => driver.adoptVolume(fresh, { path: hostPath, format: "raw" }),
	},
	{
		name: "delete a volume that was taken over",
		prepare: (driver, { volume, hostPath }) => driver.adoptVolume(volume, { path: hostPath, format: "raw" }),
		async act(driver, { volume, hostPath }) {
			await driver.deleteVolume(volume);
			// Repeated after a cut, the file goes too: with the delete, or with the activate before it.
			if (await Bun.file(hostPath).exists()) throw new Error("the file that was taken over is still there");
		},
	},
	{
		name: "give back a file that was taken over",
		prepare: (driver, { volume, hostPath }) => driver.adoptVolume(volume, { path: hostPath, format: "raw" }),
		async act(driver, { volume, hostPath }) {
			await driver.releaseVolume(volume);
			if (!(await Bun.file(hostPath).exists())) throw new Error("the file went with the volume");
		},
	},
	{
		name: "take a snapshot",
		prepare: (driver, setting) => makeSnapshots(driver, setting, 1),
		act: (driver, { volume, snapshots: [, second] }) => snapshotsOf(driver).take(volume, second, { running: false }),
	},
	{
		name: "take a snapshot while QEMU has the disk open, and undo it",
		async prepare(driver, setting) {
			await makeSnapshots(driver, setting, 1);
			await snapshotsOf(driver).take(setting.volume, setting.snapshots[1], { running: true });
		},
		act: (driver, { volume, snapshots: [, second] }) =>
			present(driver.snapshots?.undoTake, "undoTake").call(driver.snapshots, volume, second),
	},
	{
		name: "go back to a snapshot",
		prepare: (driver, setting) => makeSnapshots(driver, setting, 2),
		act: (driver, { volume, snapshots: [first] }) => snapshotsOf(driver).revert(volume, first),
	},
	{
		name: "delete the newest snapshot",
		prepare: (driver, setting) => makeSnapshots(driver, setting, 2),
		act: (driver, { volume, snapshots: [, second] }) => snapshotsOf(driver).delete(volume, second, {}),
	},
	{
		name: "delete the oldest snapshot",
		prepare: (driver, setting) => makeSnapshots(driver, setting, 2),
		act: (driver, { volume, snapshots: [first] }) => snapshotsOf(driver).delete(volume, first, {}),
	},
	{
		name: "delete a snapshot between others, on a branch",
		async prepare(driver, setting) {
			await makeSnapshots(driver, setting, 3);
			await snapshotsOf(driver).revert(setting.volume, setting.snapshots[0]);
		},
		act: (driver, { volume, snapshots: [, second] }) => snapshotsOf(driver).delete(volume, second, {}),
	},
	{
		name: "delete the newest snapshot while QEMU has the disk open",
		prepare: (driver, setting) => makeSnapshots(driver, setting, 2),
		act: (driver, { volume, snapshots: [, second] }) => deleteLive(driver, volume, second),
	},
	{
		name: "delete a snapshot between others while QEMU has the disk open",
		prepare: (driver, setting) => makeSnapshots(driver, setting, 3),
		act: (driver, { volume, snapshots: [, second] }) => deleteLive(driver, volume, second),
	},
	{
		name: "make a copy with snapshots stand alone",
		async prepare(driver, { volume, other, snapshots: [first, second] }) {
			await makeVolume(driver, other);
			await driver.createVolume(volume, { ...qcow2, source: { kind: "volume", id: other, fullCopy: false } });
			await writeDisk(driver, volume, 65_536, pattern(65_536, 7));
			await snapshotsOf(driver).take(volume, first, { running: false });
			await driver.createVolume(newId(), { ...qcow2, source: { kind: "volume", id: volume, fullCopy: false } });
			await snapshotsOf(driver).take(volume, second, { running: false });
			await writeDisk(driver, volume, 2 * 65_536, pattern(65_536, 8));
		},
		act: (driver, { volume }) => driver.flattenVolume(volume, {}),
	},
	{
		name: "import a file",
		partOfUpload: true,
		prepare: nothing,
		act: (driver, { fresh, hostPath }) => driver.importFile(fresh, hostPath, {}),
	},
	{
		name: "finish an image",
		prepare: (driver, { fresh }) => upload(driver, fresh, pattern(MiB)),
		act: (driver, { fresh }) => driver.finishImage(fresh, { format: "raw", sha256: null }),
	},
	{
		name: "make an upload of a volume",
		prepare: (driver, { volume }) => makeVolume(driver, volume),
		act: (driver, { fresh, volume }) => driver.imageFromVolume(fresh, volume, { format: "raw" }),
	},
	{
		name: "delete an image",
		prepare: nothing,
		act: (driver, { image }) => driver.deleteImage(image),
	},
];

export function interruptedBy(end: "error" | "process"): void {
	for (const operation of operations) {
		test(`${operation.name}, ended by ${end === "error" ? "an error" : "the end of the process"} at each step`, async () => {
			await using template = await temporaryFolder();
			const setting = await prepared(operation, template.path);
			const imageIds = [setting.image, setting.fresh];
			const before = await describePool(await openLocal(setting.root), imageIds);

			const steps: string[] = [];
			await using whole = await copyOfPool(template.path);
			const complete = await openLocal(join(whole.path, "pool"), { onStep: (name) => void steps.push(name) });
			steps.length = 0;
			await operation.act(complete, { ...setting, hostPath: join(whole.path, "host.img") });
			// Looking makes steps of its own.
			const count = steps.length;
			const after = await describePool(complete, imageIds);
			expect(after).not.toEqual(before);
			expect(await strayFiles(join(whole.path, "pool"), complete, imageIds)).toEqual([]);
			expect(count).toBeGreaterThan(1);

			const outcomes = new Set<string>();
			for (let stop = 1; stop <= count; stop++) {
				await using run = await copyOfPool(template.path);
				const root = join(run.path, "pool");
				const here = { ...setting, root, hostPath: join(run.path, "host.img") };
				const cut = await cutShort(operation, here, stop, end);
				const where = `${operation.name}, before step ${stop} (${steps[stop - 1]})`;
				// After an error the same daemon goes on; after the end of the process another one comes.
				const next = end === "error" && cut ? cut : await openLocal(root);
				const found = await describePool(next, imageIds);
				if (operation.partOfUpload) forgetPart(found);
				const outcome = [before, after].findIndex((state) => Bun.deepEquals(state, found));
				if (outcome === -1) expect({ where, found }).toEqual({ where, found: before });
				outcomes.add(outcome === 0 ? "before" : "after");
				if (end === "process")
					expect({ where, stray: await strayFiles(root, next, imageIds) }).toEqual({ where, stray: [] });
				await operation.act(next, here);
				expect({ where, found: await describePool(next, imageIds) }).toEqual({ where, found: after });
				expect({ where, stray: await strayFiles(root, await openLocal(root), imageIds) }).toEqual({ where, stray: [] });
			}
			expect(outcomes.has("before")).toBe(true);
		}, 120_000);
	}
}

async function prepared(operation: Operation, folder: string): Promise<Setting> {
	const root = join(folder, "pool");
	const hostPath = join(folder, "host.img");
	await writeFile(hostPath, pattern(MiB));
	const driver = await openLocal(root);
	const image = await makeImage(driver, pattern(MiB));
	const snapshots: Setting["snapshots"] = [newId(), newId(), newId()];
	const setting = { root, hostPath, image, volume: newId(), other: newId(), fresh: newId(), snapshots };
	await operation.prepare(driver, setting);
	return setting;
}

/** A copy of the pool and of the files that it took over. */
async function copyOfPool(from: string): Promise<{ path: string } & AsyncDisposable> {
	const to = await temporaryFolder();
	await cp(from, to.path, { recursive: true });
	for await (const name of new Bun.Glob("pool/volumes/*/record.json").scan(to.path)) {
		const record = join(to.path, name);
		const volume = JSON.parse((await readFile(record, "utf8")).replaceAll(from, to.path));
		if (volume.adopted) volume.adopted.inode = `${(await stat(volume.adopted.path)).ino}`;
		await writeFile(record, JSON.stringify(volume));
	}
	return to;
}

function forgetPart({ images }: Awaited<ReturnType<typeof describePool>>): void {
	for (const image of images)
		if (image.upload && image.upload.receivedBytes !== image.upload.totalBytes) image.upload = null;
}

/** Keeps what stopped for ever from being collected, with the files that it has open. */
const ended: (() => void)[] = [];

/** Runs the operation up to the step and ends it there. The driver that had an error, or null for one that is no more. */
async function cutShort(operation: Operation, setting: Setting, stop: number, end: "error" | "process") {
	let count = Number.NEGATIVE_INFINITY;
	const { promise: reached, resolve } = Promise.withResolvers<void>();
	const driver: LocalDriver = await openLocal(setting.root, {
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
	const work = operation.act(driver, setting).then(
		() => "done",
		() => "failed",
	);
	await Promise.race([work, reached]);
	return end === "error" ? driver : null;
}
