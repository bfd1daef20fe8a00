/** What keeps a domain of others from becoming ours: sentences for the person who wants to adopt it. Pure. */
import type { XmlNode } from "../../../lib/xml-reader.ts";
import type { PowerState } from "../../../model/vm.ts";
import type { ReadDomain } from "./domain-reader.ts";
import type { ForeignContext } from "./foreign.ts";
import { readDisks } from "./read-devices.ts";

type Add = (condition: boolean, obstacle: string) => void;

export const carriedBuses = ["virtio", "scsi", "sata"] as const;
export const carriedFormats = ["qcow2", "raw"] as const;
export const carriedNicModels = ["virtio", "e1000e"] as const;
const maxCdroms = 4;

export const oneOf = <T extends string>(values: readonly T[], text: string): T | undefined =>
	values.find((value) => value === text);

export function obstaclesIn(domain: ReadDomain, context: ForeignContext): string[] {
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
	tpmObstacles(devices?.child("tpm") ?? null, add);
	for (const other of facts.others) add(true, `It has a device that LimiQuantix does not know: ${other}.`);
	for (const drive of facts.cdroms) add(drive.path !== null, `A disc is in its drive ${drive.alias}; eject it first.`);
	add(facts.cdroms.length > maxCdroms, `It has ${facts.cdroms.length} CD-ROM drives; a VM has ${maxCdroms} at most.`);
	for (const disk of (devices?.all("disk") ?? []).filter((one) => one.attribute("device") !== "cdrom"))
		diskObstacles(disk, add);
	for (const disk of readDisks(devices)) {
		const name = disk.placement?.target ?? disk.alias;
		add(disk.backing.length > 0, `Disk ${name} has a backing file.`);
		add(disk.readOnly && disk.bus === "sata", `Disk ${name} is read-only and on SATA, which QEMU refuses.`);
	}
	for (const nic of devices?.all("interface") ?? []) nicObstacles(nic, add);
	return obstacles;
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
	const cells = root.child("cpu", "numa")?.all("cell").length ?? 0;
	add(cells > 1, `Its memory is divided into ${cells} NUMA nodes.`);
}

/** The variables can be taken along only while nothing writes them, and only to firmware of the same build. */
function firmwareObstacles(domain: ReadDomain, powerState: PowerState, add: Add): void {
	const loader = domain.root.textOf("os", "loader") ?? "";
	const known = /^\/usr\/share\/OVMF\/OVMF_CODE_4M(\.secboot|\.ms)?\.fd$/.test(loader);
	add(!known, `Its firmware is ${loader || "chosen by libvirt"}.`);
	add(known && powerState !== "stopped", "It uses UEFI; stop it first, so that its variables can be taken along.");
}

/** libvirt keeps the state of an emulated one by the domain's UUID, which stays. */
function tpmObstacles(tpm: XmlNode | null, add: Add): void {
	const backend = tpm?.child("backend") ?? null;
	const kind = backend?.attribute("type") ?? "emulator";
	const version = backend?.attribute("version") ?? "2.0";
	add(kind !== "emulator", `Its TPM is of the kind ${kind}.`);
	add(kind === "emulator" && version !== "2.0", `Its TPM has version ${version}.`);
	add(backend?.child("encryption") != null, "The state of its TPM is encrypted.");
	add(backend?.child("source") != null, "The state of its TPM is at a place of its own.");
}

function diskObstacles(disk: XmlNode, add: Add): void {
	const name = disk.attributeOf("dev", "target") ?? "unknown";
	const kind = disk.attribute("device") ?? "disk";
	const type = disk.attribute("type") ?? "unknown";
	const bus = disk.attributeOf("bus", "target") ?? "unknown";
	const format = disk.attributeOf("type", "driver") ?? "unknown";
	add(kind !== "disk", `Disk ${name} is a ${kind}.`);
	add(type !== "file", `Disk ${name} is not a file, but of the kind ${type}.`);
	add(!oneOf(carriedBuses, bus), `Disk ${name} is on a bus of the kind ${bus}.`);
	add(!oneOf(carriedFormats, format), `Disk ${name} has the format ${format}.`);
	add(disk.child("encryption") !== null || disk.child("source", "encryption") !== null, `Disk ${name} is encrypted.`);
	add(disk.child("source", "slices") !== null, `Disk ${name} is a part of its file only.`);
	add(disk.child("mirror") !== null, `Disk ${name} is being copied.`);
	add(disk.child("shareable") !== null, `Disk ${name} is shared between domains.`);
	add(disk.child("transient") !== null, `Disk ${name} throws away what is written to it.`);
}

function nicObstacles(nic: XmlNode, add: Add): void {
	const mac = nic.attributeOf("address", "mac") ?? "unknown";
	const type = nic.attribute("type") ?? "unknown";
	const model = nic.attributeOf("type", "model") ?? "default";
	add(type !== "bridge" && type !== "network", `NIC ${mac} is of the kind ${type}.`);
	add(!oneOf(carriedNicModels, model), `NIC ${mac} is a ${model}.`);
	add(nic.child("vlan") !== null, `NIC ${mac} has a VLAN of its own.`);
	add(nic.child("filterref") !== null, `NIC ${mac} has a filter.`);
	add(nic.child("virtualport") !== null, `NIC ${mac} is on a virtual switch.`);
}
