/** Disks in a real Ceph: what runs goes there, to another image and back, grows, and gets more of them. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "../../lib/units.ts";
import { fileSource, type RbdSource } from "../../model/disk-source.ts";
import { startCeph } from "../../testing/lab/ceph.ts";
import { startLab } from "../../testing/lab/libvirt-lab.ts";
import type { DomainDisk } from "../driver.ts";
import { smallDomain, testUuid, withCdrom, withDisk } from "../test-domain.ts";

const sizeBytes = 16 * MiB;

test("a running domain's disk moves into Ceph, within it and out of it; others are plugged in", async () => {
	const ceph = await startCeph();
	const lab = await startLab({ name: "rbd", network: "machine" });
	try {
		await ceph.makePool("vms");
		const key = await ceph.makeUser("lqx", ["mon", "profile rbd", "osd", "profile rbd pool=vms"]);
		for (const image of ["a", "b", "more", "disc"]) await ceph.rbd("create", "--size", `${sizeBytes}B`, `vms/${image}`);
		const secretId = testUuid(7000);
		const monitors = ceph.monitors.map((monitor) => {
			const [host = "", port = ""] = monitor.split(":");
			return { host, port: Number(port) };
		});
		const rbd = (image: string): RbdSource => ({
			...{ kind: "rbd", pool: "vms", namespace: null, image, monitors, user: "lqx", secretId },
		});
		const on = (image: string): DomainDisk => ({ id: "disk-0", source: rbd(image), format: "raw", backing: [] });
		const exported = async (image: string): Promise<Buffer> => {
			const path = join(lab.folder, `${image}.exported`);
			await ceph.rbd("export", "--no-progress", `vms/${image}`, path);
			return readFileSync(path);
		};
		await lab.driver.putSecret({ id: secretId, kind: "ceph", name: "vms", value: Buffer.from(key, "base64") });
		const path = await lab.makeFullDisk("full.raw", sizeBytes);
		const bare = withCdrom(smallDomain(1, lab.vmFolder(1)), "cd-0", null);
		const domain = withDisk(bare, "disk-0", path, { cache: "writeback" }, { format: "raw" });
		await lab.driver.define(domain);
		await lab.driver.start(domain.id, { paused: false });

		const canceling = new AbortController();
		const canceled = lab.driver.copyDisk(domain.id, "disk-0", on("a"), {
			...{ bytesPerSecond: MiB / 8, signal: canceling.signal },
			progress: () => canceling.abort(),
		});
		await expect(canceled).rejects.toMatchObject({ code: "canceled" });
		await lab.driver.copyDisk(domain.id, "disk-0", on("a"));
		expect((await exported("a")).equals(readFileSync(path))).toBe(true);
		await lab.driver.copyDisk(domain.id, "disk-0", on("b"));
		await lab.driver.resizeDisk(domain.id, "disk-0", 2 * sizeBytes);
		expect(await lab.driver.diskLayers(domain.id)).toEqual([{ diskId: "disk-0", layers: ["rbd:vms/b"] }]);

		const more = withDisk({ ...domain, disks: [on("b")] }, "disk-1", "", {}, { source: rbd("more"), format: "raw" });
		expect(await lab.driver.applyLive(more)).toEqual([{ field: "disks[disk-1]", applied: true, reason: null }]);
		await lab.driver.changeMedia(domain.id, "cd-0", rbd("disc"));
		const complete = { ...more, cdroms: [{ id: "cd-0", source: rbd("disc") }] };
		expect(await lab.driver.compare(complete)).toEqual([]);
		await lab.driver.destroy(domain.id);
		await lab.driver.start(domain.id, { paused: false });
		expect(await lab.driver.compare(complete)).toEqual([]);

		const back = await lab.makeDisk("back.qcow2", "qcow2", 2 * sizeBytes);
		const target: DomainDisk = { id: "disk-0", source: fileSource(back), format: "qcow2", backing: [] };
		await lab.driver.copyDisk(domain.id, "disk-0", target);
		expect(await lab.driver.compare({ ...complete, disks: [target, ...more.disks.slice(1)] })).toEqual([]);
		const larger = await lab.makeDisk("larger.raw", "raw", 4 * sizeBytes);
		const wrongSize = lab.driver.copyDisk(domain.id, "disk-0", {
			...target,
			source: fileSource(larger),
			format: "raw",
		});
		await expect(wrongSize).rejects.toMatchObject({ code: "hypervisor", message: expect.stringContaining("size") });
	} finally {
		await lab.close();
		await ceph.stop();
	}
}, 120_000);
