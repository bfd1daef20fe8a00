/** The probe boots, sees its disk, and keeps its number over a restart. */
import { expect, test } from "bun:test";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../../lib/run.ts";
import { startQemu } from "../qemu-process.ts";
import { waitUntil } from "../wait-until.ts";
import { buildProbeGuest, probeDiskBytes, readProbe } from "./probe-guest.ts";

const cacheDir = join(import.meta.dir, "../../../../.cache");
const limitMs = 60_000;

test("counts on its disk, from where it was", async () => {
	const folder = await mkdtemp(join(tmpdir(), "lqx-probe-"));
	try {
		const [raw, disk] = [join(folder, "probe.raw"), join(folder, "probe.qcow2")];
		await copyFile(await buildProbeGuest({ cacheDir }), raw);
		await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", "--", raw, disk], { timeoutMs: limitMs });
		const boot = async (least: number) => {
			await using guest = await startQemu({ writableQcow2: disk, memoryMib: 32, cpus: 1, lifetimeMs: limitMs });
			// Awaited here: the guest ends with this function.
			return await waitUntil("the probe to write", 40_000, () => {
				const report = readProbe(guest.serial.text);
				return (report.wrote ?? 0) >= least && report;
			});
		};
		const first = await boot(3);
		expect(first).toMatchObject({ sectors: BigInt(probeDiskBytes / 512), found: 0, failures: 0 });
		const again = await boot((first.wrote ?? 0) + 2);
		expect(again.found).toBeGreaterThanOrEqual(3);
		expect(again.failures).toBe(0);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}, 120_000);
