/** What a real host adds: running QEMUs, full disks, permissions, killed processes, links, damaged and foreign files. */

import { expect, test } from "bun:test";
import { utimesSync, writeFileSync } from "node:fs";
import { link, mkdir, open, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern, upload } from "../conformance.ts";
import type { StorageDriver } from "../driver.ts";
import { errnoOf } from "../file-errors.ts";
import { describePool, localDriver, openLocal, poolId, strayFiles, temporaryFolder } from "./testing/local-pool.ts";

const empty = { kind: "empty" } as const;
const qcow2 = { format: "qcow2", sizeBytes: 4 * MiB } as const;

async function withPool(body: (driver: StorageDriver, root: string, folder: string) => Promise<void>): Promise<void> {
	await using folder = await temporaryFolder();
	const root = join(folder.path, "pool");
	await body(await openLocal(root), root, folder.path);
}

/** A QEMU (not running its guest) that has the disk as its own, until disposed. */
async function heldByQemu(driver: StorageDriver, id: string): Promise<AsyncDisposable> {
	const { source, format } = await driver.attachInfo(id);
	const abort = new AbortController();
	const drive = `driver=${format},node-name=disk,file.driver=file,file.filename=${sourceName(source)}`;
	const machine = ["-machine", "q35,accel=tcg", "-S", "-nodefaults", "-display", "none", "-m", "64"];
	const holder = run("qemu-system-x86_64", [...machine, "-blockdev", drive, "-device", "virtio-blk-pci,drive=disk"], {
		...{ timeoutMs: 60_000, signal: abort.signal },
	}).catch((error) => error);
	// Not by asking for the lock: that would keep it from QEMU.
	const { ino } = await stat(sourceName(source));
	await waitUntil("QEMU to hold the disk", 10_000, async () =>
		new RegExp(`OFDLCK .*:${ino} 201 `).test(await readFile("/proc/locks", "utf8")),
	);
	return {
		async [Symbol.asyncDispose]() {
			abort.abort();
			await holder;
		},
	};
}

for (const format of ["qcow2", "raw"] as const)
	test(`a ${format} disk that a running QEMU has open is not touched`, () =>
		withPool(async (driver) => {
			const { id } = await driver.createVolume(newId(), { format, sizeBytes: 4 * MiB, source: empty });
			{
				await using _holder = await heldByQemu(driver, id);
				const copy = (fullCopy: boolean) =>
					driver.createVolume(newId(), { ...qcow2, source: { kind: "volume", id, fullCopy } });
				await fails("in-use", driver.deleteVolume(id));
				await fails("in-use", driver.resizeVolume(id, 8 * MiB));
				await fails("in-use", copy(true));
				await fails(format === "raw" ? "invalid" : "in-use", copy(false));
				await fails("in-use", driver.exportVolume(id, "raw", {}));
				await fails("in-use", driver.imageFromVolume(newId(), id, {}));
				expect((await driver.getVolume(id))?.sizeBytes).toBe(4 * MiB);
				expect(await driver.listVolumes()).toHaveLength(1);
			}
			await driver.resizeVolume(id, 8 * MiB);
			await driver.deleteVolume(id);
		}));

test("a disk that QEMU has grown has its new size", () =>
	withPool(async (driver) => {
		for (const format of ["qcow2", "raw"] as const) {
			const { id } = await driver.createVolume(newId(), { format, sizeBytes: 4 * MiB, source: empty });
			const { source } = await driver.attachInfo(id);
			await run("qemu-io", ["-f", format, "-c", "truncate 16M", "--", sourceName(source)], { timeoutMs: 10_000 });
			expect((await driver.getVolume(id))?.sizeBytes).toBe(16 * MiB);
		}
	}));

test("files are for root and QEMU only, folders may be passed through", () =>
	withPool(async (driver, root) => {
		const previous = process.umask(0o077);
		try {
			const image = await makeImage(driver, pattern(MiB));
			const source = { kind: "image", id: image, fullCopy: false } as const;
			const { id } = await driver.createVolume(newId(), { ...qcow2, source });
			await driver.createVolume(newId(), { ...qcow2, source: { kind: "volume", id, fullCopy: false } });
			const info = await driver.attachInfo(id);
			const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
			expect(await mode(sourceName(info.source))).toBe("600");
			expect(await mode(dirname(sourceName(info.source)))).toBe("711");
			expect(await mode(join(dirname(sourceName(info.source)), "record.json"))).toBe("600");
			expect(info.backing).toHaveLength(2);
			expect(await mode(info.backing[0] ? sourceName(info.backing[0].source) : "")).toBe("400");
			expect(await mode(sourceName(await driver.imageSource(image)))).toBe("444");
			expect(await mode(dirname(sourceName(await driver.imageSource(image))))).toBe("711");
			for (const [name, wanted] of [
				["", "711"],
				["volumes", "711"],
				["images", "711"],
				["uploads", "700"],
			] as const)
				expect(`${name} ${await mode(join(root, name))}`).toBe(`${name} ${wanted}`);
		} finally {
			process.umask(previous);
		}
	}));

test("imports regular files from outside only", () =>
	withPool(async (_driver, root, folder) => {
		const file = join(folder, "disk.img");
		await writeFile(file, pattern(MiB));
		await symlink(file, join(folder, "link.img"));
		await symlink("/", join(folder, "everything"));
		await symlink("/etc", join(folder, "configuration"));
		await run("mkfifo", ["--", join(folder, "pipe")], { timeoutMs: 5000 });
		const secrets = join(folder, "secrets");
		await mkdir(secrets);
		await writeFile(join(secrets, "key"), pattern(512));
		const guarded = localDriver(root, { protectedPaths: [secrets] });
		await guarded.activate();
		const own = await makeImage(guarded, pattern(512));
		const refused = [
			...["disk.img", "", "relative/path", "/nonexistent/file", "/proc/self/environ", "/sys/kernel/notes", "/dev/zero"],
			...["/dev/null", folder, join(folder, "link.img"), join(folder, "pipe"), join(folder, "everything/dev/zero")],
			...[join(folder, "everything/proc/self/maps"), join(secrets, "key"), join(secrets, "..", "secrets", "key")],
			...[join(folder, "everything/etc/passwd"), join(folder, "configuration/passwd"), "/var/run/utmp"],
			...[
				sourceName(await guarded.imageSource(own)),
				join(root, "limiquantix-pool.json"),
				`${file}\0.txt`,
				`/${"a".repeat(5000)}`,
			],
			'json:{"driver":"file","filename":"/etc/passwd"}',
			"nbd://127.0.0.1/x",
		];
		for (const path of refused) {
			const id = newId();
			await fails("invalid", guarded.importFile(id, path, {}));
			expect(await guarded.getUpload(id)).toBeNull();
			await fails("invalid", guarded.adoptVolume(newId(), { path, format: "raw" }));
		}
		expect(await guarded.listVolumes()).toEqual([]);
		await guarded.importFile(newId(), join(folder, "everything", file), {});
	}));

test("a file that changes while it is imported is not taken", () =>
	withPool(async (driver, _root, folder) => {
		const path = join(folder, "growing.img");
		await writeFile(path, pattern(4 * MiB));
		const id = newId();
		let appended: Promise<void> | null = null;
		const progress = () => {
			appended ??= writeFile(path, pattern(10), { flag: "a" });
		};
		await fails("wrong-state", driver.importFile(id, path, { progress }));
		await appended;
		expect(await driver.getUpload(id)).toBeNull();
	}));

test("nor is one that was given its old time back", () =>
	withPool(async (driver, _root, folder) => {
		const path = join(folder, "hidden.img");
		const time = new Date(1_900_000_000_000);
		await writeFile(path, pattern(4 * MiB));
		await utimes(path, time, time);
		const id = newId();
		let changes = 0;
		const progress = () => {
			if (changes++ > 0) return;
			writeFileSync(path, pattern(10, 3), { flag: "r+" });
			utimesSync(path, time, time);
		};
		await fails("wrong-state", driver.importFile(id, path, { progress }));
		expect(changes).toBeGreaterThan(0);
		expect(await stat(path)).toMatchObject({ size: 4 * MiB, mtime: time });
		expect(await driver.getUpload(id)).toBeNull();
	}));

test(
	"sparse files stay sparse: import, image, full copy, export",
	() =>
		withPool(async (driver, root, folder) => {
			const path = join(folder, "sparse.img");
			const file = await open(path, "w");
			await file.write(pattern(65_536), 0, 65_536, 128 * MiB);
			await file.truncate(GiB);
			await file.close();
			const image = newId();
			await driver.importFile(image, path, {});
			expect((await stat(join(root, "uploads", `${image}.part`))).blocks * 512).toBeLessThan(MiB);
			await driver.finishImage(image, { format: "raw", sha256: null });
			const stored = await stat(sourceName(await driver.imageSource(image)));
			expect({ size: stored.size, small: stored.blocks * 512 < MiB }).toEqual({ size: GiB, small: true });
			for (const format of ["raw", "qcow2"] as const) {
				const source = { kind: "image", id: image, fullCopy: true } as const;
				const made = await driver.createVolume(newId(), { format, sizeBytes: GiB, source });
				expect(made.allocatedBytes).toBeLessThan(MiB);
				const before = (await driver.check()).usedBytes;
				const { stream, sizeBytes } = await driver.exportVolume(made.id, "raw", {});
				expect(sizeBytes).toBe(GiB);
				expect((await driver.check()).usedBytes - before).toBeLessThan(256 * MiB);
				await stream.cancel();
			}
		}),
	60_000,
);

test("a disk whose header was turned to a file of the host is not followed", () =>
	withPool(async (driver, _root, folder) => {
		const secret = join(folder, "secret.img");
		await writeFile(secret, pattern(MiB));
		const { id } = await driver.createVolume(newId(), { ...qcow2, source: empty });
		const { source } = await driver.attachInfo(id);
		await run("qemu-img", ["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", secret, "--", sourceName(source)], {
			timeoutMs: 10_000,
		});
		await fails("corrupt", driver.exportVolume(id, "raw", {}));
		await fails("corrupt", driver.imageFromVolume(newId(), id, {}));
		for (const fullCopy of [true, false])
			await fails("corrupt", driver.createVolume(newId(), { ...qcow2, source: { kind: "volume", id, fullCopy } }));
		expect(await driver.attachInfo(id)).toMatchObject({ backing: [] });
		await driver.deleteVolume(id);
	}));

test("a damaged record touches nothing, hides nothing else, and lets nothing that it might need be deleted", () =>
	withPool(async (driver, root) => {
		const image = await makeImage(driver, pattern(MiB));
		const make = () =>
			driver.createVolume(newId(), { ...qcow2, source: { kind: "image", id: image, fullCopy: false } });
		const [good, bad] = [await make(), await make()];
		const record = join(root, "volumes", bad.id, "record.json");
		for (const text of [
			"",
			"{",
			"null",
			'{"version":2}',
			JSON.stringify({ ...JSON.parse(await readFile(record, "utf8")), file: "../../x" }),
		]) {
			await writeFile(record, text);
			const next = await openLocal(root);
			await fails("corrupt", next.getVolume(bad.id));
			await fails("corrupt", next.attachInfo(bad.id));
			await fails("corrupt", next.deleteVolume(bad.id));
			expect((await next.listVolumes()).map(({ id }) => id)).toEqual([good.id]);
			await fails("corrupt", next.deleteImage(image));
			expect(await readdir(join(root, "volumes", bad.id))).toContain("disk-1.qcow2");
		}
	}));

test("a folder that belongs to another pool, or to none any more, is refused", () =>
	withPool(async (driver, root) => {
		const other = localDriver(root, { poolId: newId() });
		expect(await fails("in-use", other.activate())).toContain(poolId);
		await fails("storage", other.check());
		await rename(root, `${root}.away`);
		expect(await fails("storage", driver.check())).toContain("mounted");
		await mkdir(root);
		const ready = localDriver(root, { mayInitialize: false });
		expect(await fails("storage", ready.activate())).toContain("mounted");
		expect(await readdir(root)).toEqual([]);
		await rm(root, { recursive: true });
		await rename(`${root}.away`, root);
		await ready.activate();
		await ready.check();
		for (const path of ["/", "relative", "/proc/x", "/sys", "/dev/shm/../mem", "/tmp/a\nb", ""])
			await fails("invalid", (async () => localDriver(path))());
	}));

test("after a power cut an upload goes on from what was flushed for sure", () =>
	withPool(async (driver, root) => {
		const id = newId();
		const first = await driver.openUpload(id, 1000);
		await first.write(pattern(300));
		await first.close();
		const second = await driver.openUpload(id, 1000);
		await second.write(pattern(200));
		// Not closed: 300 bytes are flushed, 500 are in the file. Then another boot.
		const record = join(root, "uploads", `${id}.json`);
		const text = await readFile(record, "utf8");
		await writeFile(record, text.replace(/"bootId": "[^"]+"/, '"bootId": "another"'));
		const next = await openLocal(root);
		expect((await next.getUpload(id))?.receivedBytes).toBe(300);
		const third = await next.openUpload(id, 1000);
		expect(third.receivedBytes).toBe(300);
		await third.close();
		await second.close().catch(() => {});
	}));

test("an upload is not seen through a second name once it is an image", () =>
	withPool(async (driver, root) => {
		const id = newId();
		await upload(driver, id, pattern(MiB));
		await driver.finishImage(id, { format: "raw", sha256: null });
		expect((await stat(sourceName(await driver.imageSource(id)))).nlink).toBe(1);
		// As if the process had ended between the two.
		await link(sourceName(await driver.imageSource(id)), join(root, "uploads", `${id}.part`));
		const next = await openLocal(root);
		expect((await stat(sourceName(await next.imageSource(id)))).nlink).toBe(1);
		expect(await strayFiles(root, next, [id])).toEqual([]);
	}));

test(
	"a copy whose process is killed at any time leaves everything or nothing",
	() =>
		withPool(async (driver, root) => {
			const image = await makeImage(driver, pattern(96 * MiB));
			const child = join(import.meta.dir, "testing", "copy-child.ts");
			const wholeMs = await copyInChild(child, [root, image, newId()], null);
			for (let round = 0; round < 8; round++) {
				const before = await describePool(await openLocal(root), [image]);
				const volume = newId();
				await copyInChild(child, [root, image, volume], Math.random() * wholeMs);
				const next = await openLocal(root);
				expect(await strayFiles(root, next, [image])).toEqual([]);
				const made = await next.getVolume(volume);
				const others = (await describePool(next, [image])).volumes.filter(({ id }) => id !== volume);
				expect(others).toEqual(before.volumes);
				if (made) expectSame(await diskContent(next, volume), pattern(96 * MiB));
				for (const { id } of await next.listVolumes()) await next.deleteVolume(id);
			}
		}),
	120_000,
);

/** Kills the process `killAfterMs` after it is ready; null lets it finish. The time from ready to the end. */
async function copyInChild(child: string, args: string[], killAfterMs: number | null): Promise<number> {
	let processId = 0;
	let readyAt = 0;
	const work = run(process.execPath, [child, ...args], {
		timeoutMs: 60_000,
		onStart: (id) => {
			processId = id;
		},
		onStdoutLine(line) {
			if (line !== "ready") return;
			readyAt = performance.now();
			if (killAfterMs !== null) setTimeout(() => killIfThere(processId), killAfterMs);
		},
	});
	const failure = await work.then(
		() => null,
		(error) => error,
	);
	if (killAfterMs === null && failure) throw failure;
	return performance.now() - readyAt;
}

function killIfThere(processId: number): void {
	try {
		process.kill(processId, "SIGKILL");
	} catch (error) {
		if (errnoOf(error) !== "ESRCH") throw error;
	}
}
