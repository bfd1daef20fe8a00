import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compareFacts } from "../../compare.ts";
import { type DomainFacts, wantedFacts } from "../../facts.ts";
import { smallDomain, withDisk, withNic } from "../../test-domain.ts";
import { goldenCases } from "../golden/cases.ts";
import { placementsOf, readDomain } from "./domain-reader.ts";
import { domainXml } from "./domain-xml.ts";
import { type ForeignContext, foreignDomain } from "./foreign.ts";
import { planMachine } from "./plan-machine.ts";

const stopped: ForeignContext = {
	powerState: "stopped",
	persistent: true,
	autostart: false,
	snapshots: 0,
	managedSave: false,
};

/** Facts without what is not compared. */
function plain({ disks, cdroms, nics, ...facts }: DomainFacts): unknown {
	const strip = (devices: object[]) =>
		devices.map((device) => ({ ...device, placement: null, bootOrder: null, network: null, kind: null }));
	const all = { disks: strip(disks), cdroms: strip(cdroms), nics: strip(nics) };
	return { ...facts, ...all, bootOrderChosen: false, maxMemoryBytes: 0 };
}

describe("reading what was written", () => {
	for (const golden of goldenCases)
		test(golden.name, () => {
			const read = readDomain(readFileSync(join(import.meta.dir, "../golden", `${golden.name}.xml`), "utf8"));
			const wanted = wantedFacts(golden.domain);
			expect(plain(read.facts)).toEqual(plain(wanted));
			expect(compareFacts(wanted, read.facts)).toEqual([]);
			expect(read.ours).toEqual({ name: golden.domain.name, generation: 1 });
			expect(read.vncSocketPath).toBe(`${golden.domain.folder}/qemu/vnc.sock`);
		});

	test("a new definition keeps every place", () => {
		for (const { domain, context } of goldenCases) {
			const first = domainXml(planMachine(domain, context));
			const read = readDomain(first);
			const again = { libvirtName: read.libvirtName, placements: placementsOf(read, read.facts) };
			expect(domainXml(planMachine(domain, again))).toBe(first);
		}
	});

	test("a disk that goes leaves the names of the others alone", () => {
		const three = ["a", "b", "c"].reduce((domain, id) => withDisk(domain, id, `/${id}`), smallDomain(1, "/f"));
		const read = readDomain(domainXml(planMachine(three)));
		const two = { ...three, spec: { ...three.spec, disks: three.spec.disks.slice(1) }, disks: three.disks.slice(1) };
		const machine = planMachine(withDisk(two, "d", "/d"), { placements: placementsOf(read, read.facts) });
		expect(machine.disks.map(({ alias, target }) => `${alias} ${target}`)).toEqual([
			"ua-b vdb",
			"ua-c vdc",
			"ua-d vda",
		]);
	});
});

describe("comparing", () => {
	const domain = withNic(withDisk(smallDomain(1, "/f"), "disk-0", "/a"), "nic-0", "br0");
	const facts = () => readDomain(domainXml(planMachine(domain))).facts;
	const fields = (change: (found: DomainFacts) => void) => {
		const found = facts();
		change(found);
		return compareFacts(wantedFacts(domain), found).map(({ field, repair }) => `${field} ${repair}`);
	};

	test("names each field that differs", () => {
		expect(
			fields((found) => {
				found.name = "other";
				found.accelerator = "kvm"; // emulated CPUs do not go
				found.firmware = "uefi";
				found.tpm = true;
				found.cpuModel = "host";
				found.maxVcpus = 9;
				found.vcpus = 9;
				found.maxMemoryBytes *= 2;
				found.memoryBytes *= 2;
				found.seedPath = "/seed";
			}),
		).toEqual([
			"name automatic",
			"accelerator next-start",
			"firmware next-start",
			"tpm next-start",
			"cpu.model next-start",
			"cpu.maxVcpus next-start",
			"cpu.vcpus automatic",
			"memory.maxSizeBytes next-start",
			"memory.sizeBytes automatic",
			"cloudInit next-start",
		]);
	});

	test("knows devices that changed, went, or came from elsewhere", () => {
		expect(fields((found) => Object.assign(found.disks[0] ?? {}, { path: "/b", cache: "x" }))).toEqual([
			"disks[disk-0].path next-start",
			"disks[disk-0].cache next-start",
		]);
		expect(fields((found) => void found.disks.pop())).toEqual(["disks[disk-0] automatic"]);
		expect(fields((found) => Object.assign(found.nics[0] ?? {}, { bridge: "br9", linkUp: false }))).toEqual([
			"nics[nic-0].bridge automatic",
			"nics[nic-0].linkUp automatic",
		]);
		expect(fields((found) => Object.assign(found.disks[0] ?? {}, { id: null, alias: "virtio-disk0" }))).toEqual([]);
		expect(fields((found) => Object.assign(found.nics[0] ?? {}, { id: null, mac: "52:54:00:00:00:99" }))).toEqual([
			"device manual",
			"nics[nic-0] automatic",
		]);
		expect(fields((found) => found.others.push("hostdev0"))).toEqual(["device manual"]);
	});
});

describe("domains of others", () => {
	const xml = (devices: string, rest = "") =>
		`<domain type='kvm'><name>web &lt;1&gt;</name><uuid>0b6f0a1e-0000-4000-8000-000000000001</uuid>${rest}
		<memory unit='GiB'>2</memory><currentMemory unit='MiB'>1024</currentMemory><vcpu current='2'>4</vcpu>
		<os><type arch='x86_64' machine='pc-q35-6.2'>hvm</type></os><devices>${devices}</devices></domain>`;
	const plainDisk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/vm/a.qcow2'/><target dev='vda' bus='virtio'/></disk>`;

	test("an ordinary one has no obstacle", () => {
		const nics = `<interface type='network'><mac address='52:54:00:11:22:33'/><source network='default'/><model type='virtio'/></interface>
			<interface type='bridge'><mac address='52:54:00:11:22:34'/><source bridge='br0'/><model type='e1000e'/></interface>`;
		const read = readDomain(
			xml(`${plainDisk}${nics}<disk device='cdrom' type='file'><target dev='sda' bus='sata'/></disk>`),
		);
		expect(foreignDomain(read, stopped)).toEqual({
			id: "0b6f0a1e-0000-4000-8000-000000000001",
			name: "web <1>",
			description: "",
			powerState: "stopped",
			autostart: false,
			accelerator: "kvm",
			vcpus: 2,
			maxVcpus: 4,
			cpuModel: "portable",
			memoryBytes: 2 ** 30,
			maxMemoryBytes: 2 ** 31,
			firmware: "bios",
			tpm: false,
			disks: [
				{
					...{ target: "vda", path: "/vm/a.qcow2", format: "qcow2", bus: "virtio" },
					...{ cache: "writeback", discard: false, readOnly: false },
				},
			],
			cdroms: [{ target: "sda" }],
			nics: [
				{ mac: "52:54:00:11:22:33", model: "virtio", bridge: null, network: "default", linkUp: true },
				{ mac: "52:54:00:11:22:34", model: "e1000e", bridge: "br0", network: null, linkUp: true },
			],
			bootOrder: [],
			obstacles: [],
			changes: [
				"Its machine type becomes pc-q35-7.2; it is pc-q35-6.2.",
				"Its processor becomes the portable model (Westmere); it is QEMU's default.",
				"Its 4 CPUs become the cores of one socket; they are 4 sockets × 1 cores × 1 threads.",
				"It starts with 1 GiB of memory and can be given more; now it starts with 2 GiB and gives some back.",
			],
		});
		expect(read.ours).toBeNull();
	});

	test("everything that we cannot say is an obstacle", () => {
		const devices = `
			<hostdev mode='subsystem' type='pci'><alias name='hostdev0'/></hostdev>
			<filesystem type='mount'/>
			<disk type='network' device='disk'><driver type='raw'/><source protocol='rbd' name='p/i'/><target dev='vdb' bus='virtio'/></disk>
			<disk type='file' device='disk'><driver type='vmdk'/><source file='/x'/><target dev='hda' bus='ide'/><shareable/></disk>
			<disk type='file' device='floppy'><driver type='raw'/><target dev='fda' bus='fdc'/></disk>
			<disk type='file' device='cdrom'><source file='/cd.iso'/><target dev='sda' bus='sata'/></disk>
			<interface type='direct'><mac address='52:54:00:11:22:35'/><model type='rtl8139'/></interface>
			<tpm><backend type='passthrough'/></tpm>`;
		const rest = "<cputune><shares>1</shares></cputune>";
		const read = readDomain(xml(devices, rest).replace("pc-q35-6.2", "pc-i440fx-7.2"));
		const { obstacles, disks, nics } = foreignDomain(read, {
			powerState: "running",
			persistent: false,
			autostart: false,
			snapshots: 2,
			managedSave: true,
		});
		expect(disks).toEqual([]);
		expect(nics).toEqual([]);
		const text = obstacles.join("\n");
		for (const word of ["transient", "snapshots", "saved state", "i440fx", "cputune", "hostdev0", "filesystem"])
			expect(text).toContain(word);
		for (const word of ["kind network", "vmdk", "kind ide", "shared", "floppy", "drive sda", "kind direct", "rtl8139"])
			expect(text).toContain(word);
		expect(text).toContain("kind passthrough");
	});

	test("UEFI can be taken along when it is Debian's and stopped", () => {
		const loader = (path: string) =>
			readDomain(
				xml(plainDisk).replace("</os>", `<loader type='pflash' secure='no'>${path}</loader><nvram>/n.fd</nvram></os>`),
			);
		const ours = loader("/usr/share/OVMF/OVMF_CODE_4M.fd");
		expect(foreignDomain(ours, stopped)).toMatchObject({ firmware: "uefi", obstacles: [] });
		expect(ours.nvramPath).toBe("/n.fd");
		expect(foreignDomain(ours, { ...stopped, powerState: "running" }).obstacles).toHaveLength(1);
		expect(foreignDomain(loader("/opt/x.fd"), stopped).obstacles).toHaveLength(1);
	});
});

describe("hostile XML", () => {
	test("is refused, or read as text", () => {
		for (const bad of ["", "<x/>", "<domain/>", "<domain><name>a</name></domain>"])
			expect(() => readDomain(bad)).toThrow(expect.objectContaining({ code: "malformed" }));
		const fake = `<domain><name>a</name><uuid>u</uuid><metadata><limiquantix:vm xmlns:limiquantix='urn:other' name='x' generation='1'/></metadata></domain>`;
		expect(readDomain(fake).ours).toBeNull();
		expect(readDomain(fake.replace("urn:other", "urn:limiquantix:vm:1").replace("'1'/>", "'-1'/>")).ours).toBeNull();
	});
});
