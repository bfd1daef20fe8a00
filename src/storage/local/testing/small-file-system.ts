/** A small file system for tests of pools that run full. Needs root. */
import { appendFile, mkdir, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../../lib/run.ts";
import { MiB } from "../../../lib/units.ts";
import { isFull } from "../../file-errors.ts";

export type SmallFileSystem = AsyncDisposable & {
	/** Where it is mounted. */
	path: string;
	/** Fills it up with something of nobody's: about so much is left. Again is fine, also with more. */
	leave(bytes: number): Promise<void>;
	/** That goes. */
	empty(): Promise<void>;
	/** Makes what is free many pieces of one block, and says how much they are together; `empty` ends it. */
	scatter(): Promise<number>;
};

export type FileSystemKind = "tmpfs" | "ext4";

const limit = { timeoutMs: 30_000 };
const blockBytes = 4096;
const block = new Uint8Array(blockBytes).fill(1);
const scatteredBytes = 4 * MiB;
const sizeBytes = { tmpfs: 64 * MiB, ext4: 64 * MiB };

/** Mounted at `folder`/NAME. What is in it that is not the pool's is in "outside". */
export async function smallFileSystem(folder: string, name: string, kind: FileSystemKind): Promise<SmallFileSystem> {
	const path = join(folder, name);
	await mkdir(path);
	if (kind === "tmpfs") {
		await run("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes.tmpfs},mode=0711`, "tmpfs", path], limit);
	} else {
		const disk = join(folder, `${name}.img`);
		await writeFile(disk, "");
		await truncate(disk, sizeBytes.ext4);
		// With a journal, a write for which there is no space is tried again after each of several commits: minutes, where all is emulated.
		const features = ["-m", "0", "-b", `${blockBytes}`, "-O", "^has_journal"];
		await run("mke2fs", ["-q", "-F", "-t", "ext4", ...features, "--", disk], limit);
		await run("mount", ["-o", "loop", "--", disk, path], limit);
	}
	const outside = join(path, "outside");
	await mkdir(outside);
	const ballast = join(outside, "ballast");
	const available = async () => {
		const { bavail, bsize } = await statfs(path);
		return bavail * bsize;
	};
	const empty = async () => {
		await rm(outside, { recursive: true });
		await mkdir(outside);
		await run("sync", ["-f", "--", path], limit);
	};
	const leave = async (bytes: number) => {
		await empty();
		const free = async () => blockBytes * Math.floor(((await available()) - bytes) / blockBytes);
		// What a file of so many pieces needs for itself is not known before.
		const bulk = (await free()) - 64 * blockBytes;
		if (bulk > 0) await run("fallocate", ["--length", `${bulk}`, "--", ballast], limit);
		let most = 64 * blockBytes;
		for (let left = await free(); left > 0 && most >= blockBytes; left = await free()) {
			try {
				await appendFile(ballast, new Uint8Array(Math.min(left, most)).fill(1));
			} catch (error) {
				if (!isFull(error)) throw error;
				most /= 2;
			}
		}
		await run("sync", ["-f", "--", path], limit);
	};
	return {
		...{ path, empty, leave },
		async scatter() {
			await leave(2 * scatteredBytes);
			const pieces: string[] = [];
			try {
				for (let at = 0; at < (2 * scatteredBytes) / blockBytes; at++) {
					const piece = join(outside, `${at}`);
					await writeFile(piece, block);
					pieces.push(piece);
				}
			} catch (error) {
				if (!isFull(error)) throw error;
			}
			await run("sync", ["-f", "--", path], limit);
			for (const [at, piece] of pieces.entries()) if (at % 2 === 0) await rm(piece);
			await run("sync", ["-f", "--", path], limit);
			return available();
		},
		async [Symbol.asyncDispose]() {
			await run("umount", ["--lazy", "--", path], limit);
		},
	};
}
