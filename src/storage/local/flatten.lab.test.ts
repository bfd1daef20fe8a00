/** Copies that are made to stand alone, with real qemu-img: what a running QEMU forbids, and what is left when it is cut short. */
import { expect, test } from "bun:test";
import { copyFile, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { KiB, MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { holdOpen } from "../../testing/lab/held-disk.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern } from "../conformance.ts";
import type { LocalDriver } from "./driver.ts";
import { openLocal, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

const part = 64 * KiB;
const bytes = pattern(MiB);

async function setUp(content = bytes) {
	const folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	const driver = await openLocal(root);
	const image = await makeImage(driver, content);
	const id = newId();
	const source = { kind: "image", id: image, fullCopy: false } as const;
	await driver.createVolume(id, { format: "qcow2", sizeBytes: content.length, source });
	await writeDisk(driver, id, 0, pattern(part, 2));
	return { root, driver, image, id, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

async function holds(driver: LocalDriver, id: string, seed: number, content = bytes): Promise<void> {
	const wanted = content.slice();
	wanted.set(pattern(part, seed));
	expectSame(await diskContent(driver, id), wanted);
}

const copyOf = async (driver: LocalDriver, id: string): Promise<string> => {
	const source = { kind: "volume", id, fullCopy: false } as const;
	return (await driver.createVolume(newId(), { format: "qcow2", sizeBytes: MiB, source })).id;
};
const diskOf = async (driver: LocalDriver, id: string) => sourceName((await driver.attachInfo(id)).source);

test("not while a VM has it open, nor one that rests on it", async () => {
	await using setting = await setUp();
	const { driver, id, image } = setting;
	const copy = await copyOf(driver, id);
	for (const held of [id, copy]) {
		await using _vm = await holdOpen(await diskOf(driver, held), "qcow2");
		await fails("in-use", driver.flattenVolume(id, {}));
		expect((await driver.getVolume(id))?.backing.map((one) => one.id)).toEqual([image]);
	}
	await holds(driver, id, 2);
	await driver.flattenVolume(id, {});
	await driver.deleteImage(image);
	await holds(driver, copy, 2);
	// Layers stay read-only.
	const [layer] = (await driver.attachInfo(id)).backing;
	expect((await stat(sourceName(layer?.source ?? { kind: "file", path: "" }))).mode & 0o777).toBe(0o400);
	expect(await driver.checkVolume(id, { repair: false })).toEqual({ errors: 0, leakedBytes: 0, repaired: 0 });
});

test("called off while it copies", async () => {
	const size = 64 * MiB;
	const large = pattern(size, 5);
	await using setting = await setUp(large);
	const { driver, id, image } = setting;
	const abort = new AbortController();
	const seen: number[] = [];
	const progress = (ratio: number | null) => {
		if (ratio === null || ratio === 0) return;
		seen.push(ratio);
		// qemu-img has copied some of it, and is killed.
		abort.abort();
	};
	await fails("canceled", driver.flattenVolume(id, { signal: abort.signal, progress }));
	expect(seen[0]).toBeGreaterThan(0);
	expect(seen.at(-1)).toBeLessThan(1);
	expect((await driver.getVolume(id))?.backing.map((one) => one.id)).toEqual([image]);
	await holds(driver, id, 2, large);
	await driver.flattenVolume(id, {});
	await driver.deleteImage(image);
	await holds(driver, id, 2, large);
}, 60_000);

test.each(["done", "cut short"])(
	"%s, it leaves alone what another node has made of the volume meanwhile",
	async (end) => {
		await using setting = await setUp();
		const record = join(dirname(await diskOf(setting.driver, setting.id)), "record.json");
		let theirs = "";
		const driver = await openLocal(setting.root, {
			async onStep(name) {
				if (name !== "sync what stands alone") return;
				// As a node that tidied it up, and made a snapshot.
				const { flattening, ...rest } = JSON.parse(await readFile(record, "utf8"));
				expect(flattening).toBe(true);
				const file = "disk-2.qcow2";
				theirs = JSON.stringify({ ...rest, file, layers: [{ file: rest.file, format: "qcow2" }] });
				await copyFile(join(dirname(record), rest.file), join(dirname(record), file));
				await writeFile(record, theirs);
				if (end === "cut short") throw new AppError("storage", "This step failed.");
			},
		});
		await fails(end === "done" ? "in-use" : "storage", driver.flattenVolume(setting.id, {}));
		expect(await readFile(record, "utf8")).toBe(theirs);
	},
);

/** No operation of today makes a second file that rests on what the volume was made of; a record may have one. */
async function secondRoot({
	driver,
	id,
}: Awaited<ReturnType<typeof setUp>>): Promise<{ path: string; snapshot: string }> {
	const folder = dirname(await diskOf(driver, id));
	const path = join(folder, "disk-2.qcow2");
	await copyFile(join(folder, "disk-1.qcow2"), path);
	const command = `write -P 7 0 ${part}`;
	await run("qemu-io", ["-f", "qcow2", "-c", command, "--", path], { timeoutMs: 20_000 });
	const snapshot = newId();
	const record = JSON.parse(await readFile(join(folder, "record.json"), "utf8"));
	record.aside = [{ file: "disk-2.qcow2", format: "qcow2", below: null }];
	record.snapshots = [{ id: snapshot, parentId: null, file: "disk-2.qcow2", sizeBytes: MiB }];
	await writeFile(join(folder, "record.json"), JSON.stringify(record));
	return { path, snapshot };
}

const standsAlone = async (path: string): Promise<boolean> => {
	const { stdout } = await run("qemu-img", ["info", "--output=json", "-f", "qcow2", "--", path], { timeoutMs: 20_000 });
	return JSON.parse(stdout)["backing-filename"] === undefined;
};

for (const clean of ["at once", "by the next start"])
	test(`of two files that rest on the source, the one that was done is set back ${clean}`, async () => {
		await using setting = await setUp();
		const { root, id, image } = setting;
		const second = await secondRoot(setting);
		let begun = 0;
		const cut = await openLocal(root, {
			onStep(name) {
				if (name === "make a file that rests on something writable") begun += 1;
				const ends = begun === 2 && (clean !== "at once" || name === "make a file that rests on something writable");
				if (ends) throw new AppError("storage", "This step failed.");
			},
		});
		await fails("storage", cut.flattenVolume(id, {}));
		expect(await standsAlone(second.path)).toBe(clean !== "at once");
		// Whatever the headers say, the disk is what it was, and so is what it can be copied from.
		await holds(cut, id, 2);
		const driver = await openLocal(root);
		expect(await standsAlone(second.path)).toBe(false);
		await holds(driver, id, 2);
		expect(await fails("in-use", driver.deleteImage(image))).toContain(id);
		await driver.flattenVolume(id, {});
		expect(await standsAlone(second.path)).toBe(true);
		await driver.deleteImage(image);
		await driver.snapshots.revert(id, second.snapshot);
		const wanted = bytes.slice();
		wanted.fill(7, 0, part);
		expectSame(await diskContent(driver, id), wanted);
	});
