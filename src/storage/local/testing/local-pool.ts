/** For the tests of the local driver: drivers on temporary pools, and what is in a pool. */

import { existsSync } from "node:fs";
import { chown, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { present } from "../../../lib/assert.ts";
import { systemClock } from "../../../lib/clock.ts";
import { silentLogger } from "../../../lib/log.ts";
import { systemRandom } from "../../../lib/random.ts";
import { run } from "../../../lib/run.ts";
import { type DiskSource, sourceName } from "../../../model/disk-source.ts";
import { newId, readAll, sha256 } from "../../conformance.ts";
import type { LayerMerge, StorageDriver } from "../../driver.ts";
import { LocalDriver, type LocalDriverOptions } from "../driver.ts";
import { ownFiles } from "../layer-tree.ts";
import type { VolumeRecord } from "../records.ts";

export const poolId = "01890000-0000-7000-8000-0000000000aa";

export function localDriver(path: string, more: Partial<LocalDriverOptions> = {}): LocalDriver {
	const base = { random: systemRandom, clock: systemClock, log: silentLogger, protectedPaths: [], lockWaitMs: 1000 };
	return new LocalDriver({ ...base, poolId, ...more, path });
}

export async function openLocal(path: string, more: Partial<LocalDriverOptions> = {}): Promise<LocalDriver> {
	const driver = localDriver(path, more);
	await driver.activate();
	return driver;
}

/** For the suite of all drivers: files of the node, outside of any pool. */
export const hostFilesIn = (folder: string) => ({
	async hostFile(name: string, bytes: Uint8Array): Promise<string> {
		const path = join(folder, name);
		await writeFile(path, bytes);
		return path;
	},
	hostFileExists: async (path: string) => existsSync(path),
	removeHostFile: (path: string) => rm(path),
});

/** A folder that goes with the block: `await using folder = await temporaryFolder()`. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
	const path = await mkdtemp(join(tmpdir(), "limiquantix-pool-"));
	return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Writes into a disk with QEMU's own code, as a guest would. `user`: where the files are not root's. */
export async function writeDisk(
	driver: StorageDriver,
	id: string,
	position: number,
	bytes: Uint8Array,
	user: { uid: number; gid: number } | null = null,
): Promise<void> {
	const { source, format } = await driver.attachInfo(id);
	const file = join(tmpdir(), `limiquantix-content-${newId()}`);
	await writeFile(file, bytes);
	if (user !== null) await chown(file, user.uid, user.gid);
	try {
		const command = `write -s ${file} ${position} ${bytes.length}`;
		const write = ["qemu-io", "-f", format, "-c", command, "--", sourceName(source)];
		const as = user === null ? [] : ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"];
		const [program = "", ...args] = [...as, ...write];
		await run(program, args, { timeoutMs: 20_000 });
	} finally {
		await rm(file);
	}
}

/** Past the driver; for the suite of all drivers. */
export async function placeInFolder(
	root: string,
	name: string | Uint8Array,
	what: "thing" | "folder" | "link",
): Promise<void> {
	const path = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name)]);
	if (what === "folder") await mkdir(path);
	else if (what === "link") await symlink("/", path);
	else await writeFile(path, "somebody's");
}

/** As QEMU does it, by its tools: the layer is in the one below, and what rested on it names that one in the way that libvirt has it named. */
export async function mergeLayers(driver: StorageDriver, id: string, { top, base }: LayerMerge): Promise<void> {
	const { backing, ...disk } = await driver.attachInfo(id);
	const chain = [disk, ...backing];
	const placeOf = (source: DiskSource) => chain.findIndex((layer) => sourceName(layer.source) === sourceName(source));
	const qemuImg = (...args: string[]) => run("qemu-img", args, { timeoutMs: 20_000 });
	await qemuImg("commit", "-q", "-d", "-f", "qcow2", "-b", sourceName(base), "--", sourceName(top));
	const above = chain[placeOf(top) - 1];
	if (!above) return;
	const name = `././${basename(sourceName(base))}`;
	const format = present(chain[placeOf(base)], "the layer below").format;
	await qemuImg("rebase", "-q", "-u", "-f", "qcow2", "-F", format, "-b", name, "--", sourceName(above.source));
}

/** All that the pool says it holds, with the content of the disks. */
export async function describePool(driver: StorageDriver, imageIds: string[]) {
	const volumes = [];
	for (const { allocatedBytes: _allocated, contentMark: _mark, ...volume } of await driver.listVolumes()) {
		const { stream } = await driver.exportVolume(volume.id, "raw", {});
		const snapshots = await describeSnapshots(driver, volume.id);
		volumes.push({ ...volume, content: sha256(await readAll(stream)), snapshots });
	}
	const images = [];
	for (const id of imageIds) images.push({ id, image: await driver.getImage(id), upload: await driver.getUpload(id) });
	return { volumes, images };
}

/** Read from their layers, past the driver. */
async function describeSnapshots(driver: StorageDriver, id: string) {
	const described = [];
	for (const snapshot of (await driver.snapshots?.list(id)) ?? []) {
		const folder = dirname(sourceName((await driver.attachInfo(id)).source));
		const { snapshots = [], ...record }: VolumeRecord = JSON.parse(await readFile(join(folder, "record.json"), "utf8"));
		const file = present(snapshots.find((one) => one.id === snapshot.id)?.file, "the layer");
		const { format } = present(
			ownFiles(record).find((one) => one.file === file),
			"the layer's format",
		);
		const copy = join(tmpdir(), `limiquantix-content-${newId()}`);
		const args = ["convert", "-f", format, "-O", "raw", "--", join(folder, file), copy];
		await run("qemu-img", args, { timeoutMs: 20_000 });
		described.push({ ...snapshot, content: sha256(new Uint8Array(await readFile(copy))) });
		await rm(copy);
	}
	return described;
}

/** Files of the pool that no record speaks of, relative to its root. */
export async function strayFiles(root: string, driver: StorageDriver, imageIds: string[]): Promise<string[]> {
	const known = new Set(["limiquantix-pool.json"]);
	const add = (path: string) => known.add(relative(root, path));
	for (const { id } of await driver.listVolumes()) {
		const record = join(root, "volumes", id, "record.json");
		add(record);
		for (const { file } of (JSON.parse(await readFile(record, "utf8")) as { aside?: { file: string }[] }).aside ?? [])
			add(join(root, "volumes", id, file));
		const { source, backing } = await driver.attachInfo(id);
		for (const path of [sourceName(source), ...backing.map((file) => sourceName(file.source))]) add(path);
	}
	for (const id of imageIds) {
		if (await driver.getImage(id)) {
			const path = sourceName(await driver.imageSource(id));
			add(path);
			add(join(dirname(path), "record.json"));
		}
		if (await driver.getUpload(id))
			for (const ending of ["part", "json"]) add(join(root, "uploads", `${id}.${ending}`));
	}
	const entries = await readdir(root, { recursive: true, withFileTypes: true });
	const files = entries.filter((entry) => !entry.isDirectory());
	const folders = entries.filter((entry) => entry.isDirectory() && entry.name.startsWith("."));
	return [...files, ...folders]
		.map((entry) => relative(root, join(entry.parentPath, entry.name)))
		.filter((path) => !known.has(path));
}
