/**
 * Domain XML as libvirt gives it → what we compare with and need to know. Pure. `malformed` for what is no domain.
 */
import { AppError } from "../../../lib/errors.ts";
import { readXml, type XmlNode } from "../../../lib/xml-reader.ts";
import type { Firmware } from "../../../model/vm.ts";
import type { DomainFacts, Placement } from "../../facts.ts";
import { fixedAliases, metadataPrefix, metadataUri, portableCpuModel } from "./machine.ts";
import type { Placements } from "./plan-machine.ts";
import {
	addressOf,
	aliasIn,
	readCdroms,
	readDisks,
	readMemoryModules,
	readNics,
	readSeed,
	readSize,
} from "./read-devices.ts";

export type ReadDomain = {
	root: XmlNode;
	libvirtName: string;
	/** What our metadata say; null for a domain that is not ours. */
	ours: OurMetadata | null;
	facts: DomainFacts;
	/** Memory with all modules, before the balloon. */
	memoryTotalBytes: number;
	memoryModules: { alias: string; sizeBytes: number }[];
	vncSocketPath: string | null;
	nvramPath: string | null;
	ioThreads: number;
	/** Highest PCI Express root port. */
	rootPorts: number;
	seedAlias: string | null;
	/** Places of the devices that every machine has, by alias. */
	fixedPlacements: Placements;
};

/** Generation 0: ours, but it runs as nobody's spec says (adopted while running, for example). */
export type OurMetadata = { name: string; generation: number };

export function readDomain(xml: string): ReadDomain {
	const root = readXml(xml);
	const id = root.textOf("uuid");
	const libvirtName = root.textOf("name");
	if (root.name !== "domain" || id === null || libvirtName === null)
		throw new AppError("malformed", "libvirt's answer is not a domain.");
	const devices = root.child("devices");
	const ours = metadataIn(root);
	const maxVcpus = wholeNumber(root.textOf("vcpu"), 1);
	const memoryTotalBytes = readSize(root.child("memory")) ?? 0;
	const [disks, cdroms, nics, seed] = [readDisks(devices), readCdroms(devices), readNics(devices), readSeed(devices)];
	const order = [...disks, ...cdroms, ...nics].filter((device) => device.id !== null && device.bootOrder !== null);
	return {
		root,
		libvirtName,
		ours,
		facts: {
			id,
			name: ours?.name ?? libvirtName,
			accelerator: acceleratorOf(root),
			firmware: firmwareOf(root),
			tpm: devices?.child("tpm") != null,
			vcpus: wholeNumber(root.attributeOf("current", "vcpu"), maxVcpus),
			maxVcpus,
			cpuModel: cpuModelOf(root.child("cpu")),
			memoryBytes: readSize(root.child("currentMemory")) ?? memoryTotalBytes,
			maxMemoryBytes: readSize(root.child("maxMemory")) ?? memoryTotalBytes,
			disks,
			cdroms,
			nics,
			seedPath: seed?.path ?? null,
			bootOrder: order.sort((a, b) => (a.bootOrder ?? 0) - (b.bootOrder ?? 0)).map((device) => device.id ?? ""),
			bootOrderChosen: false,
			others: otherDevices(devices),
		},
		memoryTotalBytes,
		memoryModules: readMemoryModules(devices),
		vncSocketPath: vncSocketOf(devices),
		nvramPath: root.textOf("os", "nvram") || null,
		ioThreads: wholeNumber(root.textOf("iothreads"), 0),
		rootPorts: Math.max(0, ...ports(devices)),
		seedAlias: seed?.alias ?? null,
		fixedPlacements: fixedPlacements(devices),
	};
}

/** Our element as it is in a domain. Null when it is not ours after all. */
function metadataIn(root: XmlNode): OurMetadata | null {
	const node = root.child("metadata", `${metadataPrefix}:vm`);
	return node?.attribute(`xmlns:${metadataPrefix}`) === metadataUri ? readMetadata(node) : null;
}

/** Our element as libvirt gives it when asked for our namespace: without any prefix. */
export function readMetadata(node: XmlNode): OurMetadata | null {
	const name = node.attribute("name");
	const generation = Number(node.attribute("generation") ?? Number.NaN);
	return name !== null && Number.isSafeInteger(generation) && generation >= 0 ? { name, generation } : null;
}

/** Places of all devices by the alias that they have, or would have, as devices of ours. */
export function placementsOf(domain: ReadDomain, facts: DomainFacts): Map<string, Placement> {
	const places = new Map(domain.fixedPlacements);
	for (const device of [...facts.disks, ...facts.cdroms, ...facts.nics])
		if (device.id !== null && device.placement) places.set(`ua-${device.id}`, device.placement);
	const seed = readSeed(domain.root.child("devices"));
	if (seed?.placement) places.set(seed.alias, seed.placement);
	return places;
}

const wholeNumber = (text: string | null, fallback: number): number =>
	text !== null && /^\d{1,6}$/.test(text) ? Number(text) : fallback;

function acceleratorOf(root: XmlNode): string {
	const type = root.attribute("type") ?? "unknown";
	return type === "qemu" ? "tcg" : type;
}

function firmwareOf(root: XmlNode): Firmware | null {
	const loader = root.child("os", "loader");
	const flash = loader?.attribute("type") === "pflash" || root.attributeOf("firmware", "os") === "efi";
	if (flash) return loader?.attribute("secure") === "yes" ? "uefi-secure-boot" : "uefi";
	return loader && loader.text !== "" ? null : "bios";
}

function cpuModelOf(cpu: XmlNode | null): string {
	const mode = cpu?.attribute("mode");
	if (mode === "host-passthrough" || mode === "maximum") return "host";
	if (mode === "host-model") return "host-model";
	const model = cpu?.textOf("model") ?? "default";
	return model === portableCpuModel ? "portable" : model;
}

const vncSocketOf = (devices: XmlNode | null): string | null => {
	const vnc = devices?.all("graphics").find((graphics) => graphics.attribute("type") === "vnc");
	return (
		vnc
			?.all("listen")
			.find((listen) => listen.attribute("type") === "socket")
			?.attribute("socket") ?? null
	);
};

const ports = (devices: XmlNode | null): number[] =>
	(devices?.all("controller") ?? [])
		.filter((controller) => controller.attribute("model") === "pcie-root-port")
		.map((controller) => Number(controller.attribute("index") ?? 0));

function fixedPlacements(devices: XmlNode | null): Placements {
	const aliases = new Set<string>(Object.values(fixedAliases));
	const places = new Map<string, Placement>();
	for (const device of devices?.children ?? []) {
		const alias = aliasIn(device);
		if (alias !== null && aliases.has(alias)) places.set(alias, { target: null, address: addressOf(device) });
	}
	return places;
}

const neverMade = new Set([
	"hostdev",
	"filesystem",
	"redirdev",
	"smartcard",
	"shmem",
	"vsock",
	"parallel",
	"sound",
	"panic",
	"watchdog",
]);

// A watchdog of the chip set is there whether one asks for it or not; libvirt 9.1 and later say so.
const isBuiltIn = (device: XmlNode): boolean => device.name === "watchdog" && device.attribute("model") === "itco";

const otherDevices = (devices: XmlNode | null): string[] =>
	(devices?.children ?? [])
		.filter((device) => neverMade.has(device.name) && !isBuiltIn(device))
		.map((device) => aliasIn(device) ?? device.name);
