/**
 * Spec → machine: which devices there are, in which order they boot, and where they sit. Pure. Fails with `invalid`
 * when the spec asks for what QEMU cannot do, and with `unsupported` where this build cannot.
 */
import { present } from "../../../lib/assert.ts";
import { AppError } from "../../../lib/errors.ts";
import { formatBytes, GiB } from "../../../lib/units.ts";
import { fileSource } from "../../../model/disk-source.ts";
import type { DomainSpec } from "../../driver.ts";
import { aliasOf, type Placement, seedAlias, wantedFacts } from "../../facts.ts";
import {
	type Address,
	type CdromDevice,
	type DiskDevice,
	domainFiles,
	fixedAliases,
	libvirtNameOf,
	type Machine,
	type MachineFirmware,
	type NicDevice,
	portableCpuModel,
	sparePorts,
} from "./machine.ts";
import { type Bus, Places } from "./placement.ts";

/** Where devices were, by alias of ours. */
export type Placements = ReadonlyMap<string, Placement>;

export type MachineContext = {
	/** Name of the domain in libvirt, when there is one already. */
	libvirtName?: string | null;
	placements?: Placements;
	/** Places that are taken by devices that the spec does not name. */
	taken?: readonly { bus: Bus | "pci"; placement: Placement }[];
	/** False where the domain runs without IO threads: nothing that comes can have one. Default true. */
	ioThreads?: boolean;
};

/** Not SATA: the kernels of many cloud images have no driver for it. For discs to install from, SATA is what all know. */
const seedBus = "scsi" as const;
const maxVcpusOfMachineType = 288;
/** Guest physical addresses of a named CPU model have 40 bits; half of them is left to devices. */
const maxPortableMemoryBytes = 512 * GiB;
const maxSocketPathBytes = 107;
const firmwareFolder = "/usr/share/OVMF";

export function planMachine(domain: DomainSpec, context: MachineContext = {}): Machine {
	const { spec } = domain;
	const facts = wantedFacts(domain);
	checkLimits(domain, facts.maxVcpus, facts.maxMemoryBytes);
	const files = domainFiles(domain.folder);
	const placements = context.placements ?? new Map<string, Placement>();
	const places = new Places();
	const bootOrder = new Map(facts.bootOrder.map((id, index) => [id, index + 1]));

	for (const { bus, placement } of context.taken ?? []) {
		if (bus === "pci") places.keepPort(placement);
		else places.keep(bus, placement);
	}
	// What stays is taken before what is new, so that nothing new can get its place.
	const keptPorts = new Map<string, Address>();
	for (const alias of [...Object.values(fixedAliases), ...facts.nics.map((nic) => nic.alias)]) {
		const address = places.keepPort(placements.get(alias) ?? null);
		if (address) keptPorts.set(alias, address);
	}
	const drives = [
		...spec.cdroms.map((cdrom) => ({ alias: aliasOf(cdrom.id), bus: "sata" as const })),
		...(domain.seedPath === null ? [] : [{ alias: seedAlias, bus: seedBus }]),
		...spec.disks.map((disk) => ({ alias: aliasOf(disk.id), bus: disk.bus })),
	].map((drive) => ({ ...drive, kept: places.keep(drive.bus, placements.get(drive.alias) ?? null) }));
	const placed = new Map(drives.map((drive) => [drive.alias, places.drive(drive.bus, drive.kept)]));
	const placeOf = (alias: string) => present(placed.get(alias), `place of ${alias}`);

	const cdroms = facts.cdroms.map(
		(cdrom, index): CdromDevice => ({
			alias: cdrom.alias,
			bus: "sata",
			source: present(domain.cdroms[index], `medium of ${cdrom.id}`).source,
			bootOrder: bootOrder.get(cdrom.id ?? "") ?? null,
			...placeOf(cdrom.alias),
		}),
	);
	if (domain.seedPath !== null)
		cdroms.push({
			alias: seedAlias,
			bus: seedBus,
			source: fileSource(domain.seedPath),
			bootOrder: null,
			...placeOf(seedAlias),
		});
	const disks = spec.disks.map((disk, index): DiskDevice => {
		const source = present(domain.disks[index], `source of disk ${disk.id}`);
		const alias = aliasOf(disk.id);
		return {
			alias,
			source: source.source,
			format: source.format,
			backing: source.backing,
			bus: disk.bus,
			cache: disk.cache,
			discard: disk.discard,
			readOnly: disk.readOnly,
			limits: source.qos ?? null,
			serial: diskSerial(disk.volumeId),
			bootOrder: bootOrder.get(disk.id) ?? null,
			ioThread: disk.bus === "virtio" && context.ioThreads !== false,
			...placeOf(alias),
		};
	});
	const nics = spec.nics.map(
		(nic, index): NicDevice => ({
			alias: aliasOf(nic.id),
			mac: nic.mac,
			bridge: present(domain.nics[index], `bridge of ${nic.id}`).bridge,
			model: nic.model,
			linkUp: nic.linkUp,
			bootOrder: bootOrder.get(nic.id) ?? null,
			address: keptPorts.get(aliasOf(nic.id)) ?? null,
		}),
	);
	const used = Object.keys(fixedAliases).length + nics.length + disks.filter((disk) => disk.bus === "virtio").length;
	return {
		libvirtName: context.libvirtName ?? libvirtNameOf(domain.id),
		uuid: domain.id,
		title: domain.name,
		generation: domain.generation,
		accelerator: domain.accelerator,
		cpu: spec.cpu.model === "host" ? "everything" : { model: portableCpuModel },
		vcpus: facts.vcpus,
		maxVcpus: facts.maxVcpus,
		memoryBytes: facts.memoryBytes,
		maxMemoryBytes: facts.maxMemoryBytes,
		firmware: firmwareOf(domain),
		tpm: spec.tpm,
		rootPorts: Math.max(used + sparePorts, places.highestPort),
		sataControllers: places.sataControllers,
		disks,
		cdroms,
		nics,
		vncSocketPath: files.vncSocket,
		agentSocketPath: files.agentSocket,
		serialLogPath: files.serialLog,
		fixedPlaces: keptPorts,
	};
}

/** virtio and SATA take 20 characters: the random end of the volume's id. */
export const diskSerial = (volumeId: string): string => volumeId.replaceAll("-", "").slice(-20);

/** Debian's OVMF, in its 4 MiB build. With Secure Boot: the one that needs SMM, and variables with Microsoft's keys. */
function firmwareOf(domain: DomainSpec): MachineFirmware {
	const { firmware } = domain.spec;
	if (firmware === "bios") return { kind: "bios" };
	const secureBoot = firmware === "uefi-secure-boot";
	return {
		kind: "uefi",
		secureBoot,
		codePath: `${firmwareFolder}/OVMF_CODE_4M${secureBoot ? ".secboot" : ""}.fd`,
		variablesTemplate: `${firmwareFolder}/OVMF_VARS_4M${secureBoot ? ".ms" : ""}.fd`,
		nvramPath: domainFiles(domain.folder).nvram,
	};
}

function checkLimits(domain: DomainSpec, maxVcpus: number, maxMemoryBytes: number): void {
	const { spec, folder } = domain;
	const invalid = (path: string, message: string) => {
		throw new AppError("invalid", message, { fields: [{ path, message }] });
	};
	if (maxVcpus > maxVcpusOfMachineType)
		invalid("/cpu/maxVcpus", `A VM can have ${maxVcpusOfMachineType} vCPUs at most.`);
	if (spec.cpu.model === "portable" && maxMemoryBytes > maxPortableMemoryBytes)
		invalid(
			"/memory/maxSizeBytes",
			`With the portable CPU model a VM can have ${formatBytes(maxPortableMemoryBytes)} of memory at most; choose "host".`,
		);
	spec.disks.forEach((disk, index) => {
		if (disk.bus === "sata" && disk.readOnly)
			invalid(`/disks/${index}/readOnly`, "A SATA disk cannot be read-only; choose virtio or SCSI.");
	});
	if (!folder.startsWith("/")) throw new AppError("invalid", "The folder of a VM is an absolute path.");
	for (const path of [domainFiles(folder).vncSocket, domainFiles(folder).agentSocket])
		if (Buffer.byteLength(path) > maxSocketPathBytes)
			throw new AppError("invalid", `The path ${path} is too long for a socket; use a shorter data folder.`);
}
