/**
 * A VM whose disks are images of RBD, in a real libvirtd: booted from a copy-on-write copy of an image, a disk grown while it runs,
 * space given back, a snapshot with the guest paused, and set back to it; what is on the disks is read from inside the guest.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { resolve } from "node:path";
import type { DomainSpec } from "../../hypervisor/driver.ts";
import { smallDomain, withDisk } from "../../hypervisor/test-domain.ts";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import { type TestPool, useCeph } from "../../testing/lab/ceph-pool.ts";
import { buildGuestImage, guestReadyLine } from "../../testing/lab/guest-image.ts";
import { type LibvirtLab, startLab } from "../../testing/lab/libvirt-lab.ts";
import { SerialLog } from "../../testing/lab/serial-log.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { fails, newId } from "../conformance.ts";
import type { CephRbdDriver } from "./driver.ts";

const limitMs = 120_000;
setDefaultTimeout(4 * limitMs);
const session = useCeph();
let lab: LibvirtLab | undefined;
let pool: TestPool | undefined;

beforeAll(async () => {
	lab = await startLab({ name: "rbd", network: "machine", guestLimitMs: 4000 });
}, limitMs);
afterAll(async () => {
	await lab?.close();
	await pool?.close();
}, limitMs);

/** The guest's shell on its serial port: what it said between a command and the command's end. */
async function shell(id: string): Promise<{ run(command: string): Promise<string>; close(): Promise<void> }> {
	const serial = await present(lab, "the lab").driver.openSerial(id);
	const log = new SerialLog();
	const listening = (async () => {
		for await (const bytes of serial.output) log.append(bytes);
		log.end();
	})();
	let number = 0;
	return {
		async run(command) {
			number += 1;
			const from = log.mark();
			// The shell repeats what it is told; the sum is only in what it answers.
			await serial.write(Buffer.from(`\n${command}; echo end-$((1000+${number}))\n`));
			await log.waitFor(`end-${1000 + number}`, limitMs, from);
			return log.text.slice(from);
		},
		async close() {
			await serial.close();
			await listening;
		},
	};
}

async function domainOf(driver: CephRbdDriver, disks: Record<string, string>, iso: string): Promise<DomainSpec> {
	let domain = smallDomain(1, present(lab, "the lab").vmFolder(1));
	for (const [name, volume] of Object.entries(disks)) {
		await driver.openVolume(volume);
		const info = await driver.attachInfo(volume);
		domain = withDisk(domain, name, "", { cache: "writeback" }, info);
	}
	const cdrom = { id: "cdrom-0", imageId: iso };
	return {
		...domain,
		spec: { ...domain.spec, memory: { sizeBytes: 256 * MiB, maxSizeBytes: 512 * MiB }, cdroms: [cdrom] },
		cdroms: [{ id: cdrom.id, source: await driver.imageSource(iso) }],
	};
}

test("a VM boots from RBD; its disks grow, give back space, and are set back", async () => {
	const { driver: hypervisor, guestSays } = present(lab, "the lab");
	pool = await session.pool({ namespace: null });
	const driver = await pool.open();
	const guest = await buildGuestImage({ cacheDir: resolve(import.meta.dir, "../../../.cache") });
	const [image, iso, system, data, snapshot] = [newId(), newId(), newId(), newId(), newId()];
	await driver.importFile(image, guest.qcow2Path, {});
	const { virtualSizeBytes } = await driver.finishImage(image, { format: "qcow2", sha256: guest.sha256 });
	await driver.importFile(iso, guest.isoPath, {});
	await driver.finishImage(iso, { format: "iso", sha256: null });
	const copy = { kind: "image", id: image, fullCopy: false } as const;
	await driver.createVolume(system, { format: "raw", sizeBytes: virtualSizeBytes, source: copy });
	await driver.createVolume(data, { format: "raw", sizeBytes: 32 * MiB, source: { kind: "empty" } });

	const domain = await domainOf(driver, { "disk-system": system, "disk-data": data }, iso);
	await hypervisor.define(domain);
	for (const secret of driver.hostSecrets) await hypervisor.putSecret(secret);
	await hypervisor.start(domain.id, { paused: false });
	const said = await guestSays(domain.id, guestReadyLine);
	expect(said).toContain(`block vda ${virtualSizeBytes}`);
	expect(said).toContain(`block vdb ${32 * MiB}`);
	expect(await hypervisor.compare(domain)).toEqual([]);
	expect(await hypervisor.domainXml(domain.id)).not.toContain(session.userKey);

	const inside = await shell(domain.id);
	const first = () => inside.run("dd if=/dev/vdb bs=5 count=1 2>/dev/null; echo");
	// The guest has no driver for the drive; QEMU opens what is in it.
	for (const source of [null, await driver.imageSource(iso)]) {
		await hypervisor.changeMedia(domain.id, "cdrom-0", source);
		expect((await hypervisor.compare(domain)).length).toBe(source === null ? 1 : 0);
	}
	await inside.run("echo -n ALPHA | dd of=/dev/vdb conv=notrunc; sync");
	await fails("in-use", driver.deleteVolume(data));

	await hypervisor.resizeDisk(domain.id, "disk-data", 64 * MiB);
	await guestSays(domain.id, `change block vdb ${64 * MiB}`);
	expect((await driver.getVolume(data))?.sizeBytes).toBe(64 * MiB);

	await inside.run("dd if=/dev/urandom of=/dev/vdb bs=1M seek=16 count=16 conv=notrunc; sync");
	const full = present(await driver.getVolume(data), "the volume").allocatedBytes;
	expect(full).toBeGreaterThanOrEqual(16 * MiB);
	expect(await inside.run("blkdiscard -o 16777216 -l 16777216 /dev/vdb && echo discarded-$((1+1))")).toContain(
		"discarded-2",
	);
	await waitUntil(
		"the space to be free again",
		limitMs,
		async () => present(await driver.getVolume(data), "the volume").allocatedBytes <= full - 16 * MiB,
	);

	// What the guest has written and not flushed is in the snapshot too: QEMU makes it, and writes out its cache before.
	await inside.run("echo -n BRAVO | dd of=/dev/vdb conv=notrunc oflag=direct bs=512");
	await hypervisor.pause(domain.id);
	await driver.snapshots.take(data, snapshot, { running: true });
	await hypervisor.resume(domain.id);
	await inside.run("echo -n DELTA | dd of=/dev/vdb conv=notrunc; sync");
	expect(await first()).toContain("DELTA");
	await fails("in-use", driver.snapshots.revert(data, snapshot));
	await inside.close();
	await hypervisor.destroy(domain.id);

	expect(await driver.snapshots.revert(data, snapshot)).toMatchObject({ sizeBytes: 64 * MiB });
	await hypervisor.start(domain.id, { paused: false });
	await waitUntil(
		"the guest to come up again",
		limitMs,
		async () => (await guestSays(domain.id, guestReadyLine)).split(guestReadyLine).length > 2,
	);
	const again = await shell(domain.id);
	expect(await again.run("dd if=/dev/vdb bs=5 count=1 2>/dev/null; echo")).toContain("BRAVO");
	await again.close();
	await hypervisor.destroy(domain.id);
	await hypervisor.undefine(domain.id);

	for (const volume of [data, system]) await driver.deleteVolume(volume);
	for (const one of [image, iso]) await driver.deleteImage(one);
	await driver.remove();
	expect(await pool.contents()).toEqual([]);
});
