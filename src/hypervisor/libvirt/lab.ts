/** The libvirt driver on a private libvirtd with QEMU (TCG), for lab tests. Imported by tests only. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import { type LibvirtdOptions, type PrivateLibvirtd, startLibvirtd } from "../../testing/lab/libvirtd.ts";
import type { HypervisorDriver } from "../driver.ts";
import { testUuid } from "../test-domain.ts";
import { createLibvirtDriver } from "./libvirt-driver.ts";
import { createLibvirtClient, type LibvirtClient } from "./rpc/client.ts";

export type LibvirtLab = {
	libvirtd: PrivateLibvirtd;
	client: LibvirtClient;
	driver: HypervisorDriver;
	/** For files of the test; removed at the end. */
	folder: string;
	vmFolder(number: number): string;
	makeDisk(name: string, format: "qcow2" | "raw", sizeBytes: number): Promise<string>;
	close(): Promise<void>;
};

export type LabOptions = LibvirtdOptions & { guestLimitMs?: number; uri?: "qemu" | "test" };

export async function startLab(options: LabOptions): Promise<LibvirtLab> {
	const libvirtd = await startLibvirtd(options);
	const folder = mkdtempSync(`/tmp/lqx-${options.name}-vm-`);
	const uri = options.uri === "test" ? libvirtd.testUri : libvirtd.uri;
	const client = createLibvirtClient({ uri, clock: systemClock, random: systemRandom, logger: silentLogger });
	await client.open();
	const driver = createLibvirtDriver({
		client,
		clock: systemClock,
		logger: silentLogger,
		folderOf: (id) => join(folder, "vms", id),
		...(options.guestLimitMs === undefined ? {} : { guestLimitMs: options.guestLimitMs }),
	});
	return {
		libvirtd,
		client,
		driver,
		folder,
		vmFolder: (number) => join(folder, "vms", testUuid(number)),
		async makeDisk(name, format, sizeBytes) {
			const path = join(folder, name);
			await run("qemu-img", ["create", "-q", "-f", format, "--", path, String(sizeBytes)], { timeoutMs: 10_000 });
			return path;
		},
		async close() {
			await driver.close();
			await client.close();
			await libvirtd.stop();
			rmSync(folder, { recursive: true, force: true });
		},
	};
}
