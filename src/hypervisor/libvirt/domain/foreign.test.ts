/** What is carried over from a domain of others, and what is said to change. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { goldenCases } from "../golden/cases.ts";
import { readDomain } from "./domain-reader.ts";
import { type ForeignContext, foreignDomain } from "./foreign.ts";

const stopped: ForeignContext = {
	...{ powerState: "stopped", persistent: true, autostart: false, snapshots: 0, managedSave: false },
};
const xml = (parts: { os?: string; rest?: string; devices?: string }) =>
	`<domain type='kvm'><name>web</name><uuid>0b6f0a1e-0000-4000-8000-000000000001</uuid>${parts.rest ?? ""}
	<memory unit='GiB'>1</memory><vcpu>1</vcpu>
	<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>${parts.os ?? ""}</os><devices>${parts.devices ?? ""}</devices></domain>`;
const read = (parts: Parameters<typeof xml>[0], context: Partial<ForeignContext> = {}) =>
	foreignDomain(readDomain(xml(parts)), { ...stopped, ...context });
const disk = (target: string, inside = "", driver = "") =>
	`<disk type='file' device='disk'><driver name='qemu' type='qcow2' ${driver}/><source file='/vm/${target}'/><target dev='${target}' bus='virtio'/>${inside}</disk>`;
const cdrom = (target: string, inside = "", bus = "sata") =>
	`<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='${target}' bus='${bus}'/><readonly/>${inside}</disk>`;
const nic = (last: string, inside = "") =>
	`<interface type='bridge'><mac address='52:54:00:11:22:${last}'/><source bridge='br0'/><model type='virtio'/>${inside}</interface>`;

test("what the model can say is taken over as it is", () => {
	const foreign = read(
		{
			rest: "<description>two&#10;lines</description>",
			devices: `${disk("vda", "<readonly/>", "cache='none' discard='unmap'")}${disk("vdb", "", "cache='writethrough'")}${disk("vdc")}
				${nic("01", "<link state='down'/>")}${nic("02", "<link state='up'/>")}${cdrom("sda")}
				<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>`,
		},
		{ autostart: true },
	);
	expect(foreign.disks.map(({ cache, discard, readOnly }) => [cache, discard, readOnly])).toEqual([
		["none", true, true],
		["writethrough", false, false],
		["writeback", false, false],
	]);
	expect(foreign.nics.map(({ linkUp }) => linkUp)).toEqual([false, true]);
	expect(foreign).toMatchObject({ cdroms: [{ target: "sda" }], tpm: true, autostart: true, description: "two\nlines" });
	expect(foreign.obstacles).toEqual([]);
	expect(foreign.changes).toEqual(["Its processor becomes the portable model (Westmere); it is QEMU's default."]);
});

test("the boot order: by number, or by kind", () => {
	const order = (number: number) => `<boot order='${number}'/>`;
	const devices = `${disk("vda", order(3))}${disk("vdb", order(1))}${cdrom("sda")}${nic("01")}${nic("02", order(2))}`;
	expect(read({ devices }).bootOrder).toEqual([
		{ kind: "disk", index: 1 },
		{ kind: "nic", index: 1 },
		{ kind: "disk", index: 0 },
	]);
	const plain = `${disk("vda")}${disk("vdb")}${cdrom("sda")}${nic("01")}`;
	const kinds = (...names: string[]) =>
		read({ devices: plain, os: names.map((name) => `<boot dev='${name}'/>`).join("") }).bootOrder;
	expect(kinds("network", "cdrom", "hd", "fd")).toEqual([
		{ kind: "nic", index: 0 },
		{ kind: "cdrom", index: 0 },
		{ kind: "disk", index: 0 },
	]);
	expect(kinds("hd")).toEqual([{ kind: "disk", index: 0 }]);
	expect(kinds()).toEqual([]);
	expect(read({ devices: nic("01"), os: "<boot dev='hd'/><boot dev='network'/>" }).bootOrder).toEqual([
		{ kind: "nic", index: 0 },
	]);
});

test("processors: what comes nearest, and said when it is not the same", () => {
	const cpu = (text: string) => {
		const { cpuModel, changes } = read({ rest: text });
		return [cpuModel, changes.join("\n")];
	};
	expect(cpu("<cpu mode='host-passthrough'/>")).toEqual(["host", ""]);
	expect(cpu("<cpu mode='maximum'/>")).toEqual(["host", ""]);
	expect(cpu("<cpu mode='custom'><model>Westmere</model></cpu>")).toEqual(["portable", ""]);
	expect(cpu("<cpu mode='host-model'/>")).toEqual(["host", expect.stringContaining("host's model")]);
	expect(cpu("<cpu mode='custom'><model>Skylake-Server</model></cpu>")).toEqual([
		"portable",
		expect.stringContaining("it is Skylake-Server"),
	]);
	expect(cpu("<cpu mode='host-passthrough'><feature policy='disable' name='vmx'/></cpu>")).toEqual([
		"host",
		"Processor features that were set one by one that go: vmx (disable).",
	]);
});

test("what it does not take over is said, one by one", () => {
	const { changes, obstacles } = read({
		os: "<bootmenu enable='yes'/>",
		rest: `<cpu mode='host-passthrough'/><clock offset='localtime'/><on_reboot>destroy</on_reboot><iothreads>2</iothreads>
			<features><acpi/><hyperv><relaxed state='on'/></hyperv></features><sysinfo type='smbios'/>`,
		devices: `<emulator>/opt/qemu</emulator>
			${disk("vda", "<serial>ABC</serial><wwn>5000c50015ea71ad</wwn><iotune/>", "cache='unsafe' detect_zeroes='on'")}
			${disk("vdb", "", "cache='directsync'")}${cdrom("sdb", "", "scsi")}${nic("01", "<mtu size='9000'/><bandwidth/>")}
			<controller type='scsi' model='lsilogic'/><graphics type='spice'/><video><model type='qxl'/></video>
			<serial type='tcp'/><channel type='unix'><target type='virtio' name='org.example.0'/></channel>
			<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
			<tpm model='tpm-tis'><backend type='emulator'/></tpm><crypto model='virtio'/>`,
	});
	expect(obstacles).toEqual([]);
	const text = changes.join("\n");
	for (const word of [
		"/opt/qemu",
		"localtime",
		"on_reboot",
		"share one IO thread; it has 2",
		"that go: sysinfo",
		"bootmenu",
		"hyperv",
	])
		expect(text).toContain(word);
	for (const word of ["serial number", "ABC", "5000c50015ea71ad", "detect_zeroes, iotune", "unsafe", "directsync"])
		expect(text).toContain(word);
	for (const word of ["sdb moves to SATA", "mtu, bandwidth", "lsilogic", "spice", "qxl", "tcp", "org.example.0"])
		expect(text).toContain(word);
	expect(text).toContain("tpm-tis");
	expect(text).toContain("Devices that go: crypto");
	expect(text).not.toContain("guest_agent");
});

test("what a guest or its data could not do with is an obstacle", () => {
	const { obstacles } = read({
		rest: "<cpu><numa><cell id='0'/><cell id='1'/></numa></cpu>",
		devices: `${disk("vda", "<backingStore type='file'><format type='qcow2'/><source file='/b'/></backingStore>")}
			<disk type='file' device='disk'><driver type='raw'/><source file='/x'><slices><slice type='storage' offset='1' size='1'/></slices></source><target dev='sda' bus='sata'/><readonly/></disk>
			${nic("01", "<virtualport type='openvswitch'/>")}${["sdb", "sdc", "sdd", "sde", "sdf"].map((name) => cdrom(name)).join("")}
			<tpm><backend type='emulator' version='1.2'><encryption secret='x'/></backend></tpm>`,
	});
	const text = obstacles.join("\n");
	for (const word of ["NUMA", "vda has a backing file", "part of its file", "sda is read-only", "virtual switch"])
		expect(text).toContain(word);
	for (const word of ["5 CD-ROM drives", "version 1.2", "encrypted"]) expect(text).toContain(word);
});

test("a definition of ours would change nothing but limits, which the model does not take over yet", () => {
	for (const { name, domain } of goldenCases) {
		const text = readFileSync(join(import.meta.dir, "../golden", `${name}.xml`), "utf8");
		const { changes } = foreignDomain(readDomain(text), stopped);
		const said = changes.filter((change) => !/serial number|screen is shown|iotune/.test(change));
		expect({ name, said: domain.spec.cloudInit === null && domain.seedPath === null ? said : [] }).toEqual({
			name,
			said: [],
		});
	}
});
