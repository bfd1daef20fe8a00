/** The libvirt driver on a private libvirtd with QEMU (TCG), for lab tests. */

import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { DomainSpec, HypervisorDriver } from "../../hypervisor/driver.ts";
import { createLibvirtDriver } from "../../hypervisor/libvirt/libvirt-driver.ts";
import { createLibvirtClient, type LibvirtClient } from "../../hypervisor/libvirt/rpc/client.ts";
import { testUuid, withDisk } from "../../hypervisor/test-domain.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { fileSource } from "../../model/disk-source.ts";
import { buildGuestImage } from "./guest-image.ts";
import { type LibvirtdOptions, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { waitUntil } from "./wait-until.ts";

export type LibvirtLab = {
	libvirtd: PrivateLibvirtd;
	client: LibvirtClient;
	driver: HypervisorDriver;
	/** For files of the test; removed at the end. */
	folder: string;
	vmFolder(number: number): string;
	makeDisk(name: string, format: "qcow2" | "raw", sizeBytes: number): Promise<string>;
	/** A raw disk with something in all of it. */
	makeFullDisk(name: string, sizeBytes: number): Promise<string>;
	/** An empty qcow2 disk that rests on another. */
	makeOverlay(name: string, below: { source: { path: string }; format: "qcow2" | "raw" }): Promise<string>;
	/** Adds the small guest's disk, and memory for it. */
	withGuest(domain: DomainSpec): Promise<DomainSpec>;
	/** Waits until the guest has written `text` to its serial port; gives all that it wrote. */
	guestSays(id: string, text: string): Promise<string>;
	close(): Promise<void>;
};

const cacheDir = resolve(import.meta.dir, "../../../.cache");
const guestLimitMs = 90_000;

export type LabOptions = LibvirtdOptions & { guestLimitMs?: number; uri?: "qemu" | "test" };

/** Nothing is left behind when it fails. */
export async function startLab(options: LabOptions): Promise<LibvirtLab> {
	const libvirtd = await startLibvirtd(options);
	const folder = mkdtempSync(`/tmp/lqx-${options.name}-vm-`);
	const uri = options.uri === "test" ? libvirtd.testUri : libvirtd.uri;
	const client = createLibvirtClient({ uri, clock: systemClock, random: systemRandom, logger: silentLogger });
	const driver = createLibvirtDriver({
		client,
		clock: systemClock,
		logger: silentLogger,
		folderOf: (id) => join(folder, "vms", id),
		neighbourFile: `/proc/${libvirtd.namespace.initPid}/net/arp`,
		...(options.guestLimitMs === undefined ? {} : { guestLimitMs: options.guestLimitMs }),
	});
	const close = async () => {
		await driver.close();
		await client.close();
		await libvirtd.stop();
		rmSync(folder, { recursive: true, force: true });
	};
	try {
		await client.open();
	} catch (error) {
		await close();
		throw error;
	}
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
		async makeFullDisk(name, sizeBytes) {
			const path = join(folder, name);
			const block = randomBytes(MiB);
			writeFileSync(path, Buffer.concat(Array.from({ length: Math.ceil(sizeBytes / MiB) }, () => block)));
			return path;
		},
		async makeOverlay(name, { source, format }) {
			const path = join(folder, name);
			const backing = ["-b", source.path, "-F", format];
			await run("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, "--", path], { timeoutMs: 10_000 });
			return path;
		},
		async withGuest(domain) {
			const image = await buildGuestImage({ cacheDir });
			const path = join(folder, `guest-${domain.id}.qcow2`);
			const backing = ["-b", image.qcow2Path, "-F", "qcow2"];
			await run("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, "--", path], { timeoutMs: 10_000 });
			const spec = { ...domain.spec, memory: { sizeBytes: 256 * MiB, maxSizeBytes: 512 * MiB } };
			const chain = { backing: [{ source: fileSource(image.qcow2Path), format: "qcow2" as const }] };
			return withDisk({ ...domain, spec }, "disk-guest", path, {}, chain);
		},
		guestSays(id, text) {
			const log = join(folder, "vms", id, "serial.log");
			return waitUntil(`the guest to say "${text}"`, guestLimitMs, () => {
				const said = existsSync(log) ? readFileSync(log, "utf8") : "";
				return said.includes(text) ? said : undefined;
			});
		},
		close,
	};
}
