/**
 * A block device on a sparse file (a loop device): may grow, and gives space back that is discarded. Between it and its users a
 * device-mapper table that lets its disk fail.
 */
import { rm, truncate, writeFile } from "node:fs/promises";
import { run } from "../../../../lib/run.ts";

export type BackingDisk = AsyncDisposable & {
	/** /dev/loopN, or /dev/mapper/NAME when it can fail. */
	readonly device: string;
	readonly path: string;
	/** Whoever has it open sees the new size. Not for one that can fail. */
	grow(sizeBytes: number): Promise<void>;
};

export type FlakyDisk = BackingDisk & {
	/** "errors": reads and writes fail. "read-errors": only reads. "lost-writes": they are acknowledged, and dropped. */
	fail(how: "errors" | "read-errors" | "lost-writes"): Promise<void>;
	heal(): Promise<void>;
};

const limitMs = 20_000;
const sectorBytes = 512;

/** `path`: in /data; it must not exist, and goes away with the disk. */
export async function makeBackingDisk(path: string, sizeBytes: number): Promise<BackingDisk> {
	await writeFile(path, "", { flag: "wx" });
	await truncate(path, sizeBytes);
	const { stdout } = await run("losetup", ["--find", "--show", "--direct-io=on", "--", path], { timeoutMs: limitMs });
	const device = stdout.trim();
	return {
		device,
		path,
		async grow(bytes) {
			await truncate(path, bytes);
			await run("losetup", ["--set-capacity", device], { timeoutMs: limitMs });
		},
		async [Symbol.asyncDispose]() {
			await run("losetup", ["--detach", device], { timeoutMs: limitMs });
			await rm(path);
		},
	};
}

/** `name`: letters, digits and dashes. */
export async function makeFlakyDisk(name: string, path: string, sizeBytes: number): Promise<FlakyDisk> {
	const disk = await makeBackingDisk(path, sizeBytes);
	const sectors = sizeBytes / sectorBytes;
	const dmsetup = (...args: string[]) => run("dmsetup", args, { timeoutMs: limitMs });
	const linear = `0 ${sectors} linear ${disk.device} 0`;
	// Up for no time, down for ever: the kernel wants a length, in seconds.
	const flaky = (features: string) => `0 ${sectors} flakey ${disk.device} 0 0 3600 ${features}`;
	const tables = {
		errors: `0 ${sectors} error`,
		"read-errors": flaky("1 error_reads"),
		"lost-writes": flaky("1 drop_writes"),
	};
	const become = async (table: string): Promise<void> => {
		await dmsetup("load", name, "--table", table);
		// What waits is not sent to the disk first: it may be one that answers nothing.
		await dmsetup("suspend", "--noflush", "--nolockfs", name);
		await dmsetup("resume", name);
	};
	await dmsetup("create", name, "--table", linear);
	return {
		...disk,
		device: `/dev/mapper/${name}`,
		fail: (how) => become(tables[how]),
		heal: () => become(linear),
		async [Symbol.asyncDispose]() {
			await dmsetup("remove", "--retry", name);
			await disk[Symbol.asyncDispose]();
		},
	};
}
