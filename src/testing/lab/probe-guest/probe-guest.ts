/** The guest that is one boot sector (probe.asm): up at once even when it is emulated by what is emulated. Host program: nasm. */
import { mkdir, rename, truncate } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../../lib/run.ts";
import { MiB } from "../../../lib/units.ts";

export const probeDiskBytes = 1 * MiB;

/** The path of its disk, raw, which callers copy. */
export async function buildProbeGuest(options: { cacheDir: string }): Promise<string> {
	const folder = join(options.cacheDir, "probe-guest");
	await mkdir(folder, { recursive: true });
	const path = join(folder, "probe.raw");
	const made = `${path}.${process.pid}`;
	await run("nasm", ["-f", "bin", "-o", made, join(import.meta.dir, "probe.asm")], { timeoutMs: 30_000 });
	await truncate(made, probeDiskBytes);
	await rename(made, path);
	return path;
}

export type ProbeReport = {
	/** Of its disk when it started; null while it has not said so. */
	sectors: bigint | null;
	/** The number that it found on its disk. */
	found: number | null;
	/** How often it was up with this disk, this time included. */
	boots: number | null;
	/** The last that it wrote and read back. */
	wrote: number | null;
	/** How often something went wrong with its disk, as it saw it. */
	failures: number;
};

/** What it said on its serial port. After a restart, of the last one. */
export function readProbe(serial: string): ProbeReport {
	const said = serial.slice(Math.max(0, serial.lastIndexOf("PROBE up")));
	const up = /PROBE up sectors ([0-9a-f]{16}) found ([0-9a-f]{8}) boots ([0-9a-f]{8})\r\n/.exec(said);
	const wrote = [...said.matchAll(/PROBE wrote ([0-9a-f]{8})\r\n/g)].at(-1)?.[1];
	return {
		sectors: up ? BigInt(`0x${up[1]}`) : null,
		found: up ? Number.parseInt(up[2] ?? "", 16) : null,
		boots: up ? Number.parseInt(up[3] ?? "", 16) : null,
		wrote: wrote === undefined ? null : Number.parseInt(wrote, 16),
		failures: said.match(/PROBE (failed|differs)/g)?.length ?? 0,
	};
}
