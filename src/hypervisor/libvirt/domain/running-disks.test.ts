import { expect, test } from "bun:test";
import { writeXml } from "../../../lib/xml-writer.ts";
import type { DomainDisk } from "../../driver.ts";
import { blockCopyXml, overlaysXml } from "./disk-work-xml.ts";
import { readDomain } from "./domain-reader.ts";
import { runningDisks, withDefinedIds } from "./running-disks.ts";

const domain = (devices: string) =>
	readDomain(`<domain type='kvm'><name>a</name><uuid>0b6f0a1e-0000-4000-8000-000000000001</uuid>
		<memory>1</memory><vcpu>1</vcpu><devices>${devices}</devices></domain>`);

test("layers, by name and by libvirt's index; what they may go over to", () => {
	const disks = runningDisks(
		domain(`<disk type='file' device='disk'><driver type='qcow2'/><source file='/top' index='4'/>
			<backingStore type='block' index='2'><format type='qcow2'/><source dev='/dev/vg/b'/>
			<backingStore type='network' index='1'><format type='raw'/><source protocol='rbd' name='p/i'/><backingStore/></backingStore></backingStore>
			<mirror type='network' job='copy' ready='yes'><format type='raw'/><source protocol='rbd' name='p/n/j' index='5'/></mirror>
			<target dev='vda' bus='virtio'/><alias name='ua-disk-0'/></disk>
			<disk type='block' device='disk'><driver type='raw'/><source dev='/dev/vg/c'/><backingStore/>
			<mirror type='file' job='active-commit'><source file='/low'/></mirror><target dev='sda'/><alias name='scsi0-0-0'/></disk>
			<disk type='file' device='cdrom'><target dev='sdb'/><alias name='ua-cd-0'/></disk>`),
	);
	expect(disks).toEqual([
		{
			...{ id: "disk-0", target: "vda", isCdrom: false, isDevice: false },
			layers: [
				{ name: "/top", index: 4 },
				{ name: "/dev/vg/b", index: 2 },
				{ name: "rbd:p/i", index: 1 },
			],
			mirror: { job: "copy", target: "rbd:p/n/j", ready: true },
		},
		{
			...{ id: null, target: "sda", isCdrom: false, isDevice: true, layers: [{ name: "/dev/vg/c", index: null }] },
			mirror: { job: "active-commit", target: "/low", ready: false },
		},
		{ id: null, target: "sdb", isCdrom: true, isDevice: false, layers: [], mirror: null },
	]);
});

test("disks of a domain that was adopted while it runs get the ids of its definition", () => {
	const disks = (...named: [path: string, alias: string][]) =>
		runningDisks(
			domain(
				named
					.map(([path, alias]) => `<disk type='file'><source file='${path}'/><alias name='${alias}'/></disk>`)
					.join(""),
			),
		);
	const running = disks(["/a", "virtio-disk0"], ["/b", "virtio-disk1"], ["/c", "ua-disk-c"], ["/x", "virtio-disk2"]);
	const defined = disks(["/b", "ua-disk-b"], ["/a", "ua-disk-a"], ["/x", "ua-disk-c"]);
	expect(withDefinedIds(running, defined).map(({ id }) => id)).toEqual(["disk-a", "disk-b", "disk-c", null]);
});

test("the target of a copy, with its format, and ended", () => {
	const monitors = [{ host: "fd00::1", port: 3300 }];
	const rbd = { kind: "rbd", pool: "p", namespace: null, image: "i", monitors, user: "u", secretId: "s" } as const;
	const target: DomainDisk = { id: "disk-0", source: rbd, format: "raw", backing: [] };
	const xml = writeXml(blockCopyXml(target)).replace(/>\s+</g, "><");
	expect(xml).toContain(`<disk type="network"><driver name="qemu" type="raw"/><source protocol="rbd" name="p/i">`);
	expect(xml).toContain(`<secret type="ceph" uuid="s"/></auth></source><backingStore/></disk>`);
	const tenant = { ...target, source: { ...rbd, namespace: "n" } };
	expect(() => blockCopyXml(tenant)).toThrow(expect.objectContaining({ code: "unsupported" }));
});

test("overlays name every disk: those that stay are said to stay", () => {
	const disks = runningDisks(domain("<disk><target dev='vda'/></disk><disk><target dev='vdb'/></disk>"));
	const source = { kind: "block", path: "/dev/vg/o" } as const;
	const overlay: DomainDisk = { id: "disk-1", source, format: "qcow2", backing: [] };
	expect(writeXml(overlaysXml(disks, new Map([["vdb", overlay]]))).replace(/>\s+</g, "><")).toBe(
		`<domainsnapshot><disks><disk name="vda" snapshot="no"/><disk name="vdb" snapshot="external" type="block"><driver type="qcow2"/><source dev="/dev/vg/o"/></disk></disks></domainsnapshot>\n`,
	);
});
