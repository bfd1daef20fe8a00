/**
 * Machine → domain XML (https://libvirt.org/formatdomain.html). Each part says why it is there; what is left out is
 * libvirt's default. Pure.
 */
import { element, textElement, writeXml, type XmlElement } from "../../../lib/xml-writer.ts";
import { memoryBlockBytes } from "../../facts.ts";
import { controllers, fixedDevices } from "./controllers-xml.ts";
import { cdromElement, diskElement, kibibytes, nicElement } from "./device-xml.ts";
import {
	ioThreads,
	type Machine,
	machineType,
	memorySlots,
	metadataPrefix,
	metadataUri,
	needsLongInterruptIds,
} from "./machine.ts";

export const domainXml = (machine: Machine): string => writeXml(domainElement(machine));

function domainElement(machine: Machine): XmlElement {
	return element("domain", { type: machine.accelerator === "kvm" ? "kvm" : "qemu" }, [
		textElement("name", machine.libvirtName),
		textElement("uuid", machine.uuid),
		textElement("title", machine.title),
		element("metadata", {}, [metadataElement(machine.title, machine.generation)]),
		...memory(machine),
		textElement("vcpu", machine.maxVcpus, { placement: "static", current: machine.vcpus }),
		textElement("iothreads", ioThreads),
		os(machine),
		features(machine),
		cpu(machine),
		clock(),
		// What happens next is decided by the node, from the state that these leave behind.
		textElement("on_poweroff", "destroy"),
		textElement("on_reboot", "restart"),
		textElement("on_crash", "destroy"),
		// A guest that sleeps looks dead, and cannot be migrated.
		element("pm", {}, [element("suspend-to-mem", { enabled: false }), element("suspend-to-disk", { enabled: false })]),
		element("devices", {}, [
			...controllers(machine),
			...machine.disks.map(diskElement),
			...machine.cdroms.map(cdromElement),
			...machine.nics.map(nicElement),
			...fixedDevices(machine),
		]),
	]);
}

/** By this element we know our domains again; it also says which generation of the spec they were made from. */
const metadataElement = (name: string, generation: number): XmlElement =>
	element(`${metadataPrefix}:vm`, { [`xmlns:${metadataPrefix}`]: metadataUri, name, generation });

/** The same, as libvirt wants it when it is to change the element of a running domain: it adds the namespace. */
export const bareMetadataXml = (name: string, generation: number): string =>
	writeXml(element("vm", { name, generation }));

/** Memory modules are plugged in whole blocks, so the limit is the size plus whole blocks. */
export function memoryLimitBytes(machine: Pick<Machine, "memoryBytes" | "maxMemoryBytes">): number {
	const room = machine.maxMemoryBytes - machine.memoryBytes;
	return machine.memoryBytes + Math.ceil(room / memoryBlockBytes) * memoryBlockBytes;
}

function memory(machine: Machine): (XmlElement | null)[] {
	const limit = memoryLimitBytes(machine);
	const size = kibibytes(machine.memoryBytes);
	return [
		limit > machine.memoryBytes
			? textElement("maxMemory", kibibytes(limit), { slots: memorySlots, unit: "KiB" })
			: null,
		textElement("memory", size, { unit: "KiB" }),
		textElement("currentMemory", size, { unit: "KiB" }),
	];
}

/** Flash images are raw unless their format is said, and libvirt 9.0 knows no way to say it. */
function os(machine: Machine): XmlElement {
	const { firmware } = machine;
	return element("os", {}, [
		textElement("type", "hvm", { arch: "x86_64", machine: machineType }),
		firmware.kind === "uefi" &&
			textElement("loader", firmware.codePath, {
				readonly: true,
				secure: firmware.secureBoot,
				type: "pflash",
			}),
		firmware.kind === "uefi" && textElement("nvram", firmware.nvramPath, { template: firmware.variablesTemplate }),
	]);
}

function features(machine: Machine): XmlElement {
	const secureBoot = machine.firmware.kind === "uefi" && machine.firmware.secureBoot;
	return element("features", {}, [
		element("acpi"),
		element("apic"),
		secureBoot && element("smm", { state: "on" }),
		// VMware's back door is of no use to anybody here.
		element("vmport", { state: "off" }),
		needsLongInterruptIds(machine) && machine.accelerator === "kvm" && element("ioapic", { driver: "qemu" }),
	]);
}

function cpu(machine: Machine): XmlElement {
	// One socket: desktop editions of Windows use two at most.
	const topology = element("topology", { sockets: 1, dies: 1, cores: machine.maxVcpus, threads: 1 });
	// Memory can only be plugged into a machine with a NUMA node.
	const cell = element("cell", {
		id: 0,
		cpus: machine.maxVcpus === 1 ? "0" : `0-${machine.maxVcpus - 1}`,
		memory: kibibytes(machine.memoryBytes),
		unit: "KiB",
	});
	const parts = [topology, machine.maxMemoryBytes > machine.memoryBytes && element("numa", {}, [cell])];
	if (machine.cpu === "everything") {
		const mode = machine.accelerator === "kvm" ? "host-passthrough" : "maximum";
		return element("cpu", { mode, check: "none", migratable: "on" }, parts);
	}
	return element("cpu", { mode: "custom", match: "exact", check: "partial" }, [
		textElement("model", machine.cpu.model, { fallback: "forbid" }),
		...parts,
	]);
}

const clock = (): XmlElement =>
	element("clock", { offset: "utc" }, [
		element("timer", { name: "rtc", tickpolicy: "catchup" }),
		element("timer", { name: "pit", tickpolicy: "delay" }),
		element("timer", { name: "hpet", present: false }),
	]);
