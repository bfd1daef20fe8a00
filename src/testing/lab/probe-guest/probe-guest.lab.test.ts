/** The probe boots, sees its disk, keeps its number over a restart, and does what the buttons of its machine say. */
import { expect, test } from "bun:test";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../../lib/run.ts";
import { MiB } from "../../../lib/units.ts";
import { type QemuProcess, startQemu } from "../qemu-process.ts";
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
		const start = () => startQemu({ writableQcow2: disk, memoryMib: 32, cpus: 1, lifetimeMs: limitMs });
		const written = (guest: QemuProcess, least: number) =>
			waitUntil("the probe to write", 40_000, () => {
				const report = readProbe(guest.serial.text);
				return (report.wrote ?? 0) >= least && report;
			});
		let wrote = 0;
		{
			await using guest = await start();
			const first = await written(guest, 3);
			expect(first).toMatchObject({ sectors: BigInt(probeDiskBytes / 512), found: 0, boots: 1, failures: 0 });
			wrote = first.wrote ?? 0;
		}
		await using guest = await start();
		const again = await written(guest, wrote + 2);
		expect(again.found).toBeGreaterThanOrEqual(wrote);
		expect(again).toMatchObject({ boots: 2, failures: 0 });

		await guest.qmp.command("block_resize", { "node-name": "disk", size: 2 * MiB });
		await guest.qmp.command("system_reset");
		await guest.serial.waitFor("boots 00000003\r\n", 40_000);
		const larger = await written(guest, (again.wrote ?? 0) + 1);
		expect(larger).toMatchObject({ sectors: BigInt((2 * MiB) / 512), boots: 3, failures: 0 });
		await guest.qmp.command("system_powerdown");
		await guest.exited;
		expect(guest.serial.text).toEndWith("PROBE stops\r\n");
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}, 120_000);
