/**
 * A virtual machine as libvirt will get it: every device there, named and placed, nothing left to decide. Made from a
 * spec by plan-machine.ts, turned into XML by domain-xml.ts. Types and names only.
 *
 * The domain's name in libvirt is `lqx-<VM id>`, because a libvirt domain cannot be renamed while it runs and two VMs
 * may swap names; people see the VM's name as the domain's title. An adopted domain keeps the name that it had.
 */
import type { DiskSource } from "../../../model/disk-source.ts";
import type { DiskLimits } from "../../driver.ts";
import type { Placement } from "../../facts.ts";

export type Address = NonNullable<Placement["address"]>;

export type DiskDevice = {
	alias: string;
	source: DiskSource;
	format: "qcow2" | "raw";
	/** Nearest first. */
	backing: readonly { source: DiskSource; format: "qcow2" | "raw" }[];
	bus: "virtio" | "scsi" | "sata";
	cache: "none" | "writeback" | "writethrough";
	discard: boolean;
	readOnly: boolean;
	limits: DiskLimits | null;
	serial: string;
	bootOrder: number | null;
	target: string;
	address: Address | null;
	/** Its requests are handled by the machine's IO thread. */
	ioThread: boolean;
};

export type CdromDevice = {
	alias: string;
	bus: "sata" | "scsi";
	source: DiskSource | null;
	bootOrder: number | null;
	target: string;
	address: Address | null;
};

export type NicDevice = {
	alias: string;
	mac: string;
	bridge: string;
	model: "virtio" | "e1000e";
	linkUp: boolean;
	bootOrder: number | null;
	address: Address | null;
};

export type MachineFirmware =
	| { kind: "bios" }
	| { kind: "uefi"; secureBoot: boolean; codePath: string; variablesTemplate: string; nvramPath: string };

export type Machine = {
	libvirtName: string;
	uuid: string;
	title: string;
	generation: number;
	accelerator: "kvm" | "tcg";
	/** A named model, or everything that the accelerator has. */
	cpu: { model: string } | "everything";
	vcpus: number;
	maxVcpus: number;
	memoryBytes: number;
	maxMemoryBytes: number;
	firmware: MachineFirmware;
	tpm: boolean;
	/** PCI Express root ports, numbered from 1. */
	rootPorts: number;
	sataControllers: number;
	disks: readonly DiskDevice[];
	cdroms: readonly CdromDevice[];
	nics: readonly NicDevice[];
	vncSocketPath: string;
	agentSocketPath: string;
	serialLogPath: string;
	/** Places of the devices that every machine has, by alias. */
	fixedPlaces: ReadonlyMap<string, Address>;
};

/**
 * One machine type for all nodes: known to QEMU of Debian 12 (7.2) and 13 (10.0), so that guests see the same hardware
 * after an update of the node and can migrate in both directions.
 */
export const machineType = "pc-q35-7.2";

/**
 * The portable CPU: every x86 server since 2011 has what Westmere has (x86-64-v2 with AES), Intel or AMD, and QEMU can
 * emulate all of it.
 */
export const portableCpuModel = "Westmere";

export const metadataUri = "urn:limiquantix:vm:1";
export const metadataPrefix = "limiquantix";

export const agentChannelName = "org.limiquantix.agent.0";
/** QEMU itself is at the host's end of it; the name is what SPICE's agent in the guest looks for. */
export const clipboardChannelType = "qemu-vdagent";
export const clipboardChannelName = "com.redhat.spice.0";
export const sparePorts = 16;
export const memorySlots = 16;

export const fixedAliases = {
	usb: "ua-_usb",
	scsi: "ua-_scsi",
	serial: "ua-_serial",
	balloon: "ua-_balloon",
	random: "ua-_random",
} as const;

/**
 * A thread of its own for the requests of virtio disks, which else wait for whatever QEMU's main loop does. One for all disks of a machine.
 * Not for SCSI: there the thread is the controller's, where devices come and go while QEMU 7.2 has races.
 */
export const ioThreads = 1;

/** More than 255 vCPUs need interrupts that carry longer ids, which takes an IOMMU. */
export const needsLongInterruptIds = (machine: Machine): boolean => machine.maxVcpus > 255;

export const libvirtNameOf = (vmId: string): string => `lqx-${vmId}`;

/** Files of a domain in its folder. The sub-folder belongs to QEMU's user, who makes the socket there. */
export const domainFiles = (folder: string) => ({
	qemuFolder: `${folder}/qemu`,
	vncSocket: `${folder}/qemu/vnc.sock`,
	agentSocket: `${folder}/agent.sock`,
	serialLog: `${folder}/serial.log`,
	nvram: `${folder}/nvram.fd`,
});
