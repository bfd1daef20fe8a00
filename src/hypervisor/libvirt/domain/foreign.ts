/**
 * A domain that somebody else made, read as far as our model goes. What the model cannot say is an obstacle: a sentence
 * for the person who wants to adopt it. Pure.
 */
import type { XmlNode } from "../../../lib/xml-reader.ts";
import type { PowerState } from "../../../model/vm.ts";
import type { ForeignDomain } from "../../driver.ts";
import type { ReadDomain } from "./domain-reader.ts";
import type { ReadDisk, ReadNic } from "./read-devices.ts";
import { readDisks, readNics } from "./read-devices.ts";

export type ForeignContext = {
	powerState: PowerState;
	persistent: boolean;
	/** Snapshots that libvirt keeps. */
	snapshots: number;
	/** A saved state that the next start would go on from. */
	managedSave: boolean;
};

export function foreignDomain(domain: ReadDomain, context: ForeignContext): ForeignDomain {
	const { facts, root } = domain;
	const devices = root.child("devices");
	const obstacles: string[] = [];
	const add: Add = (condition, obstacle) => {
		if (condition) obstacles.push(obstacle);
	};

	add(!context.persistent, "It is transient: libvirt forgets it when it stops.");
	add(context.snapshots > 0, "It has snapshots that libvirt keeps; delete them first.");
	add(context.managedSave, "It has a saved state; start it or remove that first.");
	platformObstacles(domain, add);
	if (facts.firmware !== "bios") firmwareObstacles(domain, context.powerState, add);
	const tpm = devices?.attributeOf("type", "tpm", "backend") ?? "emulator";
	add(tpm !== "emulator", `Its TPM is of the kind ${tpm}.`);
	for (const other of facts.others) add(true, `It has a device that LimiQuantix does not know: ${other}.`);
	for (const drive of facts.cdroms) add(drive.path !== null, `A disc is in its drive ${drive.alias}; eject it first.`);

	const disks = (devices?.all("disk") ?? []).filter((disk) => disk.attribute("device") !== "cdrom");
	disks.forEach((disk) => {
		diskObstacles(disk, add);
	});
	(devices?.all("interface") ?? []).forEach((nic) => {
		nicObstacles(nic, add);
	});
	return {
		id: facts.id,
		name: domain.libvirtName,
		powerState: context.powerState,
		vcpus: facts.vcpus,
		maxVcpus: facts.maxVcpus,
		memoryBytes: facts.memoryBytes,
		maxMemoryBytes: facts.maxMemoryBytes,
		firmware: facts.firmware ?? "bios",
		disks: readDisks(devices).flatMap(foreignDisk),
		nics: readNics(devices).flatMap(foreignNic),
		obstacles,
	};
}

type Add = (condition: boolean, obstacle: string) => void;

const buses = ["virtio", "scsi", "sata"] as const;
const formats = ["qcow2", "raw"] as const;
const nicModels = ["virtio", "e1000e"] as const;
const oneOf = <T extends string>(values: readonly T[], text: string): T | undefined =>
	values.find((value) => value === text);

function foreignDisk(disk: ReadDisk): ForeignDomain["disks"] {
	const [bus, format] = [oneOf(buses, disk.bus), oneOf(formats, disk.format)];
	const target = disk.placement?.target ?? disk.alias;
	return bus && format && disk.kind === "file" && disk.path !== "" ? [{ target, path: disk.path, format, bus }] : [];
}

function foreignNic(nic: ReadNic): ForeignDomain["nics"] {
	const model = oneOf(nicModels, nic.model);
	return model ? [{ mac: nic.mac, model, bridge: nic.network === null ? nic.bridge : null, network: nic.network }] : [];
}

function platformObstacles({ root, facts }: ReadDomain, add: Add): void {
	const type = root.child("os", "type");
	const machine = type?.attribute("machine") ?? "unknown";
	add(facts.accelerator !== "kvm" && facts.accelerator !== "tcg", `Its hypervisor type is ${facts.accelerator}.`);
	add(type?.attribute("arch") !== "x86_64", `Its processor architecture is ${type?.attribute("arch") ?? "unknown"}.`);
	add(
		!/q35/.test(machine),
		`Its machine type is ${machine}; LimiQuantix uses q35, which looks different to the guest.`,
	);
	add(root.child("os", "kernel") !== null, "It boots a kernel of the host.");
	const unknown = ["cputune", "numatune", "blkiotune", "memoryBacking", "launchSecurity", "qemu:commandline"];
	for (const name of unknown) add(root.child(name) !== null, `It has settings that would be lost: ${name}.`);
}

/** The variables can be taken along only while nothing writes them, and only to firmware of the same build. */
function firmwareObstacles(domain: ReadDomain, powerState: PowerState, add: Add): void {
	const loader = domain.root.textOf("os", "loader") ?? "";
	const known = /^\/usr\/share\/OVMF\/OVMF_CODE_4M(\.secboot|\.ms)?\.fd$/.test(loader);
	add(!known, `Its firmware is ${loader || "chosen by libvirt"}.`);
	add(known && powerState !== "stopped", "It uses UEFI; stop it first, so that its variables can be taken along.");
}

function diskObstacles(disk: XmlNode, add: Add): void {
	const name = disk.attributeOf("dev", "target") ?? "unknown";
	const kind = disk.attribute("device") ?? "disk";
	const type = disk.attribute("type") ?? "unknown";
	const bus = disk.attributeOf("bus", "target") ?? "unknown";
	const format = disk.attributeOf("type", "driver") ?? "unknown";
	add(kind !== "disk", `Disk ${name} is a ${kind}.`);
	add(type !== "file", `Disk ${name} is not a file, but of the kind ${type}.`);
	add(!oneOf(buses, bus), `Disk ${name} is on a bus of the kind ${bus}.`);
	add(!oneOf(formats, format), `Disk ${name} has the format ${format}.`);
	add(disk.child("encryption") !== null || disk.child("source", "encryption") !== null, `Disk ${name} is encrypted.`);
	add(disk.child("mirror") !== null, `Disk ${name} is being copied.`);
	add(disk.child("shareable") !== null, `Disk ${name} is shared between domains.`);
	add(disk.child("transient") !== null, `Disk ${name} throws away what is written to it.`);
}

function nicObstacles(nic: XmlNode, add: Add): void {
	const mac = nic.attributeOf("address", "mac") ?? "unknown";
	const type = nic.attribute("type") ?? "unknown";
	const model = nic.attributeOf("type", "model") ?? "default";
	add(type !== "bridge" && type !== "network", `NIC ${mac} is of the kind ${type}.`);
	add(!oneOf(nicModels, model), `NIC ${mac} is a ${model}.`);
	add(nic.child("vlan") !== null, `NIC ${mac} has a VLAN of its own.`);
	add(nic.child("filterref") !== null, `NIC ${mac} has a filter.`);
}
