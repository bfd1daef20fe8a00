/** fio with all that it needs, from Debian's packages, on a read-only disk that a guest mounts and runs it from. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { cachedFolder } from "../../lab/cached-folder.ts";
import { unpackDebian } from "../../lab/storage-vm/debian-root.ts";
import { makeFilledDisk } from "../../lab/storage-vm/filled-disk.ts";

const unused = ["usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/info"];

/** Path of a raw image with ext4; in the cache. Fails with `unavailable` when the packages cannot be had. */
export async function buildFioDisk(cacheDir: string): Promise<string> {
	const folder = await cachedFolder(cacheDir, "fio-disk", [await Bun.file(import.meta.path).bytes()], async (out) => {
		const work = join(out, "work");
		await mkdir(work);
		const root = await unpackDebian(work, ["fio"]);
		for (const path of unused) await rm(join(root, path), { recursive: true, force: true });
		for (const name of ["dev", "tmp"]) await mkdir(join(root, name), { recursive: true });
		await makeFilledDisk({ from: root, to: join(out, "fio.raw") });
		await rm(work, { recursive: true });
	});
	return join(folder, "fio.raw");
}

export const fioJobs = {
	randomRead: ["--rw=randread", "--bs=4k", "--iodepth=32"],
	randomWrite: ["--rw=randwrite", "--bs=4k", "--iodepth=32"],
	read: ["--rw=read", "--bs=1M", "--iodepth=8"],
	write: ["--rw=write", "--bs=1M", "--iodepth=8"],
} as const;
export type FioJob = keyof typeof fioJobs;

/** Run once in the guest before the others. `device`: that of the disk with fio. */
export const mountFio = (device: string): string =>
	`mount -t ext4 -o ro,noload ${device} /mnt && mount -t devtmpfs devtmpfs /mnt/dev && mount -t tmpfs tmpfs /mnt/tmp && chroot /mnt fio --version`;

/** One line of fio's terse output, version 3, comes back. */
export function fioCommand(job: FioJob, device: string, seconds: number): string {
	const time = ["--time_based", `--runtime=${seconds}`, "--ramp_time=1"];
	const where = [`--filename=${device}`, "--ioengine=libaio", "--direct=1", "--randrepeat=1", "--norandommap"];
	const output = ["--output-format=terse", "--terse-version=3"];
	return ["chroot /mnt fio", `--name=${job}`, ...fioJobs[job], ...where, ...time, ...output].join(" ");
}

/** Operations a second. Fields as in fio's HOWTO, "Terse output": 8 reads, 49 writes. */
export function operationsOf(terse: string, job: FioJob): number {
	const line = terse.split("\n").find((one) => one.startsWith("3;"));
	const fields = line?.split(";") ?? [];
	const isWrite = job === "randomWrite" || job === "write";
	const operations = Number(fields[isWrite ? 48 : 7]);
	if (!(operations > 0) || fields[4] !== "0") throw new Error(`fio failed: ${terse.slice(0, 500)}`);
	return operations;
}
