/**
 * What a definition of ours makes different about a domain of others although it can be adopted, as sentences: the
 * model has no word for it, or gives it to every machine alike. Told before anybody adopts, because a guest may notice.
 * What is named here as known is carried over or the same for both. Pure.
 */
import { formatBytes } from "../../../lib/units.ts";
import type { XmlNode } from "../../../lib/xml-reader.ts";
import type { ReadDomain } from "./domain-reader.ts";
import { agentChannelName, ioThreads, machineType, portableCpuModel } from "./machine.ts";
import { readSize } from "./read-devices.ts";

type Say = (condition: boolean, sentence: string) => void;

export function changesOf(domain: ReadDomain): string[] {
	const changes: string[] = [];
	const say: Say = (condition, sentence) => {
		if (condition) changes.push(sentence);
	};
	platform(domain, say);
	processor(domain, say);
	memory(domain.root, say);
	const devices = domain.root.child("devices");
	for (const disk of devices?.all("disk") ?? []) {
		if (disk.attribute("device") === "cdrom") cdrom(disk, say);
		else diskChanges(disk, say);
	}
	for (const nic of devices?.all("interface") ?? []) nicChanges(nic, say);
	if (devices) otherDevices(devices, say);
	return changes;
}

const known = {
	domain: [
		...["name", "uuid", "title", "description", "metadata", "maxMemory", "memory", "currentMemory", "vcpu", "os"],
		...["iothreads"],
		...["features", "cpu", "clock", "on_poweroff", "on_reboot", "on_crash", "pm", "devices", "resource", "vcpus"],
		// Obstacles.
		...["cputune", "numatune", "blkiotune", "memoryBacking", "launchSecurity", "qemu:commandline"],
	],
	os: ["type", "loader", "nvram", "boot", "firmware", "kernel", "initrd", "cmdline"],
	features: ["acpi", "apic", "pae", "smm", "vmport", "ioapic"],
	diskDriver: ["name", "type", "cache", "io", "discard", "iothread", "error_policy", "rerror_policy"],
	disk: [
		...["driver", "source", "backingStore", "target", "address", "alias", "boot", "readonly", "serial", "wwn"],
		...["encryption", "mirror", "shareable", "transient"],
	],
	nic: [
		...["mac", "source", "model", "link", "address", "alias", "boot", "target", "vlan", "filterref", "virtualport"],
	],
	devices: [
		...["emulator", "disk", "controller", "interface", "serial", "console", "channel", "input", "graphics", "video"],
		...["memballoon", "rng", "tpm", "memory", "hub", "audio", "watchdog"],
		// Obstacles.
		...["hostdev", "filesystem", "redirdev", "smartcard", "shmem", "vsock", "parallel", "sound", "panic"],
	],
	channels: [agentChannelName, "org.qemu.guest_agent.0", "com.redhat.spice.0"],
	emulators: ["/usr/bin/qemu-system-x86_64", "/usr/bin/kvm", "/usr/bin/qemu-kvm"],
} as const;

function platform({ root }: ReadDomain, say: Say): void {
	const machine = root.attributeOf("machine", "os", "type") ?? machineType;
	say(machine !== machineType, `Its machine type becomes ${machineType}; it is ${machine}.`);
	const emulator = root.textOf("devices", "emulator");
	say(
		emulator !== null && !includes(known.emulators, emulator),
		`It runs with the system's QEMU instead of ${emulator}.`,
	);
	const offset = root.attributeOf("offset", "clock") ?? "utc";
	say(offset !== "utc", `Its clock is set to UTC; it is set by the rule "${offset}".`);
	for (const [event, ours] of [
		["on_poweroff", "destroy"],
		["on_reboot", "restart"],
		["on_crash", "destroy"],
	] as const) {
		const theirs = root.textOf(event) ?? ours;
		say(theirs !== ours, `${event} becomes "${ours}"; it is "${theirs}".`);
	}
	dropped(
		namesBeside(root, known.domain).filter((name) => name !== "seclabel" || hasOwnLabel(root)),
		"Settings",
		say,
	);
	dropped(namesBeside(root.child("os"), known.os), "Settings of its start", say);
	dropped(namesBeside(root.child("features"), known.features), "Features", say);
	const threads = Number(root.textOf("iothreads") ?? ioThreads);
	say(threads > ioThreads, `Its virtio disks share one IO thread; it has ${threads}.`);
}

/** libvirt itself labels what runs; only a label that somebody chose says something. */
const hasOwnLabel = (root: XmlNode): boolean =>
	root.all("seclabel").some((label) => (label.attribute("type") ?? "dynamic") !== "dynamic");

function processor({ root, facts }: ReadDomain, say: Say): void {
	const cpu = root.child("cpu");
	if (facts.cpuModel === "host-model")
		say(true, "Its processor becomes all of the host's; it is what libvirt calls the host's model.");
	else if (facts.cpuModel !== "host" && facts.cpuModel !== "portable") {
		const now = facts.cpuModel === "default" ? "QEMU's default" : facts.cpuModel;
		say(true, `Its processor becomes the portable model (${portableCpuModel}); it is ${now}.`);
	}
	const features = (cpu?.all("feature") ?? []).map((one) => `${one.attribute("name")} (${one.attribute("policy")})`);
	dropped(features, "Processor features that were set one by one", say);
	if (facts.maxVcpus === 1) return;
	const topology = cpu?.child("topology") ?? null;
	const part = (name: string) => Number(topology?.attribute(name) ?? 1);
	const sockets = topology ? part("sockets") : facts.maxVcpus;
	const cores = part("dies") * part("clusters") * part("cores");
	say(
		sockets !== 1 || part("threads") !== 1,
		`Its ${facts.maxVcpus} CPUs become the cores of one socket; they are ${sockets} sockets × ${cores} cores × ${part("threads")} threads.`,
	);
}

function memory(root: XmlNode, say: Say): void {
	const [whole, current] = [readSize(root.child("memory")), readSize(root.child("currentMemory"))];
	if (whole !== null && current !== null)
		say(
			current < whole,
			`It starts with ${formatBytes(current)} of memory and can be given more; now it starts with ${formatBytes(whole)} and gives some back.`,
		);
}

function diskChanges(disk: XmlNode, say: Say): void {
	const name = `Disk ${disk.attributeOf("dev", "target") ?? "unknown"}`;
	const cache = disk.attributeOf("cache", "driver");
	say(cache === "directsync", `${name}: its cache mode becomes writethrough; it is directsync.`);
	say(
		cache === "unsafe",
		`${name}: its cache mode becomes writeback; it is unsafe, which ignores what the guest flushes.`,
	);
	const serial = disk.textOf("serial");
	say(serial !== null, `${name}: its serial number becomes another one; it is ${serial}.`);
	const wwn = disk.textOf("wwn");
	say(wwn !== null, `${name}: its world wide name ${wwn} goes.`);
	const driver = disk.child("driver");
	const attributes = [...(driver?.attributes.keys() ?? [])].filter((key) => !includes(known.diskDriver, key));
	dropped([...attributes, ...namesBeside(driver, []), ...namesBeside(disk, known.disk)], `${name}: settings`, say);
}

function cdrom(drive: XmlNode, say: Say): void {
	const bus = drive.attributeOf("bus", "target") ?? "sata";
	say(bus !== "sata", `The CD-ROM drive ${drive.attributeOf("dev", "target")} moves to SATA; it is on ${bus}.`);
}

function nicChanges(nic: XmlNode, say: Say): void {
	const name = `NIC ${nic.attributeOf("address", "mac") ?? "unknown"}`;
	dropped(namesBeside(nic, known.nic), `${name}: settings`, say);
}

function otherDevices(devices: XmlNode, say: Say): void {
	const scsi = devices.all("controller").filter((one) => one.attribute("type") === "scsi");
	for (const model of new Set(scsi.map((one) => one.attribute("model") ?? "virtio-scsi")))
		say(model !== "virtio-scsi" && model !== "auto", `Its SCSI controller becomes virtio-scsi; it is ${model}.`);
	const tpm = devices.attributeOf("model", "tpm");
	say(tpm !== null && tpm !== "tpm-crb", `Its TPM becomes a tpm-crb; it is a ${tpm}.`);
	const screens = devices.all("graphics").map((one) => one.attribute("type") ?? "unknown");
	if (screens.length > 0)
		say(true, `Its screen is shown by the console of LimiQuantix only; now it is served as ${list(screens)}.`);
	for (const video of devices.all("video")) {
		const model = video.attributeOf("type", "model") ?? "vga";
		say(model !== "vga", `Its graphics card becomes a standard VGA; it is ${model}.`);
	}
	for (const serial of devices.all("serial")) {
		const type = serial.attribute("type") ?? "pty";
		say(type !== "pty", `Its serial port leads to the console of LimiQuantix; now it leads to a ${type}.`);
	}
	const channels = devices
		.all("channel")
		.map((one) => one.attributeOf("name", "target") ?? one.attribute("type") ?? "");
	dropped(
		channels.filter((name) => !includes(known.channels, name)),
		"Channels to its guest",
		say,
	);
	dropped(namesBeside(devices, known.devices), "Devices", say);
}

const includes = (names: readonly string[], name: string): boolean => names.includes(name);
const list = (names: readonly string[]): string => [...new Set(names)].join(", ");

/** Names of the children that are not among those, once each. */
const namesBeside = (node: XmlNode | null, names: readonly string[]): string[] => [
	...new Set((node?.children ?? []).map((child) => child.name).filter((name) => !names.includes(name))),
];

function dropped(names: readonly string[], what: string, say: Say): void {
	say(names.length > 0, `${what} that go: ${list(names)}.`);
}
