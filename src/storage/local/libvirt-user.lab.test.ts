/**
 * The local pool under a libvirt as a node has it: QEMU as a user of its own, libvirt handing out the files. A volume
 * and its copy-on-write copy run at the same time on shared layers and a shared image, and nobody else can read or
 * change any of them.
 */

import { expect, test } from "bun:test";
import { chmod, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import { startLibvirtd } from "../../testing/lab/libvirtd.ts";
import { diskContent, expectSame, makeImage, newId, pattern } from "../conformance.ts";
import type { StorageDriver } from "../driver.ts";
import { openLocal, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

const asRoot = process.getuid?.() === 0;
/** Debian's user of QEMU. */
const qemuUser = "libvirt-qemu";
const whenRoot = asRoot ? test : test.skip;

async function domainXml(driver: StorageDriver, name: string, id: string): Promise<string> {
	const { source, format, backing } = await driver.attachInfo(id);
	const chain = backing.reduceRight(
		(inner, file) =>
			`<backingStore type='file'><format type='${file.format}'/><source file='${sourceName(file.source)}'/>${inner}</backingStore>`,
		"<backingStore/>",
	);
	return `<domain type='qemu'><name>${name}</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
		<devices><controller type='usb' model='none'/><memballoon model='none'/>
		<disk type='file' device='disk'><driver name='qemu' type='${format}'/><source file='${sourceName(source)}'/>${chain}<target dev='vda' bus='virtio'/></disk>
		</devices></domain>`;
}

/** With QEMU as a user of its own. */
async function libvirtOfUser(driver: StorageDriver, folder: string) {
	const libvirtd = await startLibvirtd({ name: "local-pool" });
	await Bun.write(
		join(libvirtd.folder, "etc/qemu.conf"),
		`user = "${qemuUser}"\ngroup = "${qemuUser}"\nsecurity_driver = "none"\n`,
	);
	await libvirtd.restart();
	const virsh = (...args: string[]) => libvirtd.runInNamespace("virsh", ["-c", libvirtd.uri, ...args]);
	const start = async (name: string, id: string) => {
		const path = join(folder, `${name}.xml`);
		await Bun.write(path, await domainXml(driver, name, id));
		await virsh("create", path);
	};
	const modes = async (id: string) => {
		const { source, backing } = await driver.attachInfo(id);
		const all = [source, ...backing.map((file) => file.source)].map(async (one) =>
			((await stat(sourceName(one))).mode & 0o777).toString(8),
		);
		return Promise.all(all);
	};
	return { libvirtd, virsh, start, modes };
}

whenRoot(
	`volumes on shared layers start as QEMU's user, and stay closed to others${asRoot ? "" : " (skipped: needs root)"}`,
	async () => {
		await using folder = await temporaryFolder();
		await chmod(folder.path, 0o711);
		const driver = await openLocal(join(folder.path, "pool"));
		const image = await makeImage(driver, pattern(MiB));
		const make = (source: Parameters<StorageDriver["createVolume"]>[1]["source"]) =>
			driver.createVolume(newId(), { format: "qcow2", sizeBytes: 4 * MiB, source });
		const { id: first } = await make({ kind: "image", id: image, fullCopy: false });
		await writeDisk(driver, first, 0, pattern(65_536, 3));
		const { libvirtd, virsh, start, modes } = await libvirtOfUser(driver, folder.path);
		try {
			// It has run once, so libvirt has had its hands on the files.
			await start("first", first);
			expect((await virsh("list", "--name")).stdout).toContain("first");
			await virsh("destroy", "first");
			const { id: second } = await make({ kind: "volume", id: first, fullCopy: false });
			await start("first", first);
			await start("second", second);
			expect((await virsh("list", "--name")).stdout.trim().split("\n").sort()).toEqual(["first", "second"]);
			expect(await modes(first)).toEqual(["600", "400", "444"]);
			expect(await modes(second)).toEqual(["600", "400", "444"]);
			const { source } = await driver.attachInfo(second);
			const { stdout: userId } = await run("id", ["--user", qemuUser], { timeoutMs: 5000 });
			expect((await stat(sourceName(source))).uid).toBe(Number(userId));
			expect(((await stat(dirname(sourceName(source)))).mode & 0o777).toString(8)).toBe("711");
			await virsh("destroy", "first");
			await virsh("destroy", "second");
			// A second round: the files have changed hands and are ours to work with still.
			await writeDisk(driver, first, 65_536, pattern(65_536, 4));
			const { id: third } = await make({ kind: "volume", id: first, fullCopy: false });
			await start("third", third);
			await start("first", first);
			await virsh("destroy", "third");
			await virsh("destroy", "first");
			for (const id of [third, second, first]) await driver.deleteVolume(id);
			await driver.deleteImage(image);
		} finally {
			await libvirtd.stop();
		}
	},
	120_000,
);

whenRoot(
	`QEMU's user merges the layers of a disk that it has open${asRoot ? "" : " (skipped: needs root)"}`,
	async () => {
		await using folder = await temporaryFolder();
		await chmod(folder.path, 0o711);
		const driver = await openLocal(join(folder.path, "pool"));
		const { id } = await driver.createVolume(newId(), {
			format: "qcow2",
			sizeBytes: 4 * MiB,
			source: { kind: "empty" },
		});
		const snapshots: string[] = [];
		const part = 65_536;
		for (const seed of [1, 2, 3, 4]) {
			await writeDisk(driver, id, seed * part, pattern(part, seed));
			snapshots.push(newId());
			if (seed < 4) await driver.snapshots.take(id, snapshots.at(-1) ?? "", { running: false });
		}
		const { libvirtd, virsh, start, modes } = await libvirtOfUser(driver, folder.path);
		try {
			await start("merged", id);
			for (const [at, left] of [
				[1, 3],
				[0, 2],
				[2, 1],
			] as const) {
				const merge = present(await driver.snapshots.planLiveDelete(id, snapshots[at] ?? "", {}), "what QEMU merges");
				const [top, base] = [sourceName(merge.top), sourceName(merge.base)];
				const how = merge.active ? ["--active", "--pivot"] : ["--keep-relative"];
				await virsh("blockcommit", "merged", "vda", "--base", base, "--top", top, "--wait", ...how);
				await driver.snapshots.finishLiveDelete(id, merge);
				expect(await driver.snapshots.planLiveDelete(id, snapshots[at] ?? "", {})).toBeNull();
				expect(await modes(id)).toEqual(["600", ...Array(left - 1).fill("400")]);
			}
			await virsh("destroy", "merged");
			const content = await diskContent(driver, id);
			for (const seed of [1, 2, 3, 4])
				expectSame(content.subarray(seed * part, (seed + 1) * part), pattern(part, seed));
			await driver.deleteVolume(id);
		} finally {
			await libvirtd.stop();
		}
	},
	120_000,
);
