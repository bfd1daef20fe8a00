/**
 * A domain that somebody else made, read as far as our model goes. What the model cannot say is an obstacle
 * (foreign-obstacles.ts) when the guest or its data could not do with the loss, and else a change that the person who
 * adopts it is told of (foreign-changes.ts). Pure.
 */
import type { XmlNode } from "../../../lib/xml-reader.ts";
import type { PowerState, VmSpec } from "../../../model/vm.ts";
import type { ForeignDevice, ForeignDomain } from "../../driver.ts";
import type { ReadDomain } from "./domain-reader.ts";
import { changesOf } from "./foreign-changes.ts";
import { carriedBuses, carriedFormats, carriedNicModels, obstaclesIn, oneOf } from "./foreign-obstacles.ts";
import { type ReadDisk, type ReadNic, readCdroms, readDisks, readNics } from "./read-devices.ts";

export type ForeignContext = {
	powerState: PowerState;
	persistent: boolean;
	/** libvirt starts it with the host. */
	autostart: boolean;
	/** Snapshots that libvirt keeps. */
	snapshots: number;
	/** A saved state that the next start would go on from. */
	managedSave: boolean;
};

export function foreignDomain(domain: ReadDomain, context: ForeignContext): ForeignDomain {
	const { facts, root } = domain;
	const devices = root.child("devices");
	const disks = readDisks(devices).filter(isCarriedDisk);
	const cdroms = readCdroms(devices);
	const nics = readNics(devices).filter(isCarriedNic);
	return {
		id: facts.id,
		name: domain.libvirtName,
		description: root.textOf("description") ?? "",
		powerState: context.powerState,
		autostart: context.autostart,
		accelerator: facts.accelerator,
		vcpus: facts.vcpus,
		maxVcpus: facts.maxVcpus,
		cpuModel: cpuModelOf(facts.cpuModel),
		memoryBytes: facts.memoryBytes,
		maxMemoryBytes: facts.maxMemoryBytes,
		firmware: facts.firmware ?? "bios",
		tpm: facts.tpm,
		disks: disks.map(foreignDisk),
		cdroms: cdroms.map((cdrom) => ({ target: cdrom.placement?.target ?? cdrom.alias })),
		nics: nics.map(foreignNic),
		bootOrder: bootOrderOf(root, { disk: disks, cdrom: cdroms, nic: nics }),
		obstacles: obstaclesIn(domain, context),
		changes: changesOf(domain),
	};
}

const isCarriedDisk = (disk: ReadDisk): boolean =>
	oneOf(carriedBuses, disk.bus) !== undefined &&
	oneOf(carriedFormats, disk.format) !== undefined &&
	disk.kind === "file" &&
	disk.path !== "";
const isCarriedNic = (nic: ReadNic): boolean => oneOf(carriedNicModels, nic.model) !== undefined;

function foreignDisk(disk: ReadDisk): ForeignDomain["disks"][number] {
	const { path, discard, readOnly } = disk;
	return {
		...{ target: disk.placement?.target ?? disk.alias, path, discard, readOnly },
		format: oneOf(carriedFormats, disk.format) ?? "raw",
		bus: oneOf(carriedBuses, disk.bus) ?? "virtio",
		cache: cacheOf(disk.cache),
	};
}

/** What comes nearest without promising less than before: what was flushed stays flushed. */
function cacheOf(cache: string): VmSpec["disks"][number]["cache"] {
	if (cache === "none" || cache === "writethrough") return cache;
	return cache === "directsync" ? "writethrough" : "writeback";
}

function foreignNic(nic: ReadNic): ForeignDomain["nics"][number] {
	const { mac, network, linkUp } = nic;
	const model = oneOf(carriedNicModels, nic.model) ?? "virtio";
	return { mac, model, bridge: network === null ? nic.bridge : null, network, linkUp };
}

/** A guest of "host-model" has found nearly all that the host has; every other name is less than that. */
const cpuModelOf = (model: string): VmSpec["cpu"]["model"] =>
	model === "host" || model === "host-model" ? "host" : "portable";

type Bootable = { bootOrder: number | null };

/**
 * The order by device, or by kind of device (`<boot dev=…>` in `<os>`): then the first device of each kind boots, as
 * libvirt gives it to QEMU.
 */
function bootOrderOf(root: XmlNode, devices: Record<ForeignDevice["kind"], readonly Bootable[]>): ForeignDevice[] {
	const kinds = ["disk", "cdrom", "nic"] as const;
	const all = kinds.flatMap((kind) => devices[kind].map(({ bootOrder }, index) => ({ kind, index, bootOrder })));
	const numbered = all.filter((device) => device.bootOrder !== null);
	const byKind = (root.child("os")?.all("boot") ?? []).flatMap((boot): ForeignDevice[] => {
		const kind = kindOfBoot[boot.attribute("dev") ?? ""];
		return kind && devices[kind].length > 0 ? [{ kind, index: 0 }] : [];
	});
	if (numbered.length === 0) return byKind;
	return numbered.sort((a, b) => (a.bootOrder ?? 0) - (b.bootOrder ?? 0)).map(({ kind, index }) => ({ kind, index }));
}

const kindOfBoot: Record<string, ForeignDevice["kind"]> = { hd: "disk", cdrom: "cdrom", network: "nic" };
