/**
 * What the driver compares: the same plain record made from a spec (what is wanted) and from a domain's XML (what is
 * found). Pure. A device's `id` is that of the spec; null for one that we did not make. `alias` is the name by which
 * the hypervisor addresses it now.
 */
import { assert, present } from "../lib/assert.ts";
import { MiB } from "../lib/units.ts";
import { sourceName } from "../model/disk-source.ts";
import type { Firmware } from "../model/vm.ts";
import type { DiskLimits, DomainSpec } from "./driver.ts";

/** Where a device sits: its target name ("vda"), and the attributes of libvirt's address element. */
export type Placement = { target: string | null; address: Readonly<Record<string, string>> | null };

type DeviceFacts = {
	id: string | null;
	alias: string;
	/** Null in what is wanted: not compared, but kept over a new definition. */
	placement: Placement | null;
};

export type DiskFacts = DeviceFacts & {
	/** sourceName: a path, or the name of an image elsewhere. */
	path: string;
	format: string;
	/** The same of what it rests on, nearest first. */
	backing: string[];
	bus: string;
	cache: string;
	discard: boolean;
	readOnly: boolean;
	limits: DiskLimits | null;
};
/** The bus of a drive is not compared: ours are on SATA. */
export type CdromFacts = DeviceFacts & { path: string | null; bus: string };
export type NicFacts = DeviceFacts & {
	mac: string;
	model: string;
	/** The bridge, or the libvirt network when it names one. */
	bridge: string;
	linkUp: boolean;
};

export type DomainFacts = {
	id: string;
	name: string;
	accelerator: string;
	firmware: Firmware | null;
	tpm: boolean;
	vcpus: number;
	maxVcpus: number;
	cpuModel: string;
	memoryBytes: number;
	maxMemoryBytes: number;
	disks: DiskFacts[];
	cdroms: CdromFacts[];
	nics: NicFacts[];
	seedPath: string | null;
	/** Device ids, first boots first. */
	bootOrder: string[];
	/** Devices of kinds that we never make (a passed-through PCI device …), by alias or kind. */
	others: string[];
	/** False when nobody chose the order: then a device that came later need not be in it. */
	bootOrderChosen: boolean;
};

/** Alias of a device of ours. libvirt wants the prefix `ua-` for aliases that are chosen by its user. */
export const aliasOf = (deviceId: string): string => `ua-${deviceId}`;
/** The drive of the cloud-init seed. Device ids have no underscore, so this one can be nobody else's. */
export const seedAlias = "ua-_seed";
/** The device id in an alias of ours; null for any other alias. */
export const deviceIdOf = (alias: string): string | null => /^ua-([a-z][a-z0-9-]{0,31})$/.exec(alias)?.[1] ?? null;

/** Linux takes memory in blocks of this size, so memory is added in them and the limit is one of them above the size. */
export const memoryBlockBytes = 128 * MiB;

/** QEMU takes memory in whole MiB. */
export const wholeMebibytes = (bytes: number): number => Math.ceil(bytes / MiB) * MiB;

/** Devices in the order in which they boot: as the spec says; without an order, disks and then CD-ROMs. */
export function effectiveBootOrder(domain: DomainSpec): string[] {
	const { bootOrder, disks, cdroms, nics } = domain.spec;
	if (bootOrder.length === 0) return [...disks, ...cdroms].map((device) => device.id);
	const known = new Set([...disks, ...cdroms, ...nics].map((device) => device.id));
	return [...new Set(bootOrder)].filter((id) => known.has(id));
}

/** The facts of a domain that is as its spec says. Fails on a DomainSpec whose parts do not fit each other. */
export function wantedFacts(domain: DomainSpec): DomainFacts {
	const { spec } = domain;
	assert(domain.disks.length === spec.disks.length, "a domain needs a source for each disk");
	assert(domain.cdroms.length === spec.cdroms.length, "a domain needs a medium for each CD-ROM drive");
	assert(domain.nics.length === spec.nics.length, "a domain needs a bridge for each NIC");
	const memoryBytes = wholeMebibytes(spec.memory.sizeBytes);
	return {
		id: domain.id,
		name: domain.name,
		accelerator: domain.accelerator,
		firmware: spec.firmware,
		tpm: spec.tpm,
		vcpus: spec.cpu.vcpus,
		maxVcpus: Math.max(spec.cpu.vcpus, spec.cpu.maxVcpus),
		cpuModel: spec.cpu.model,
		memoryBytes,
		maxMemoryBytes: Math.max(memoryBytes, wholeMebibytes(spec.memory.maxSizeBytes)),
		disks: spec.disks.map((disk, index) => {
			const resolved = present(domain.disks[index], `source of disk ${disk.id}`);
			assert(resolved.id === disk.id, "disks and their sources are in the same order");
			return {
				id: disk.id,
				alias: aliasOf(disk.id),
				placement: null,
				path: sourceName(resolved.source),
				format: resolved.format,
				backing: resolved.backing.map((file) => sourceName(file.source)),
				bus: disk.bus,
				cache: disk.cache,
				discard: disk.discard,
				readOnly: disk.readOnly,
				limits: resolved.qos ?? null,
			};
		}),
		cdroms: spec.cdroms.map((cdrom, index) => {
			const resolved = present(domain.cdroms[index], `medium of ${cdrom.id}`);
			assert(resolved.id === cdrom.id, "CD-ROM drives and their media are in the same order");
			const path = resolved.source && sourceName(resolved.source);
			return { id: cdrom.id, alias: aliasOf(cdrom.id), placement: null, bus: "sata", path };
		}),
		nics: spec.nics.map((nic, index) => {
			const resolved = present(domain.nics[index], `bridge of ${nic.id}`);
			assert(resolved.id === nic.id, "NICs and their bridges are in the same order");
			return {
				id: nic.id,
				alias: aliasOf(nic.id),
				placement: null,
				mac: nic.mac,
				model: nic.model,
				bridge: resolved.bridge,
				linkUp: nic.linkUp,
			};
		}),
		seedPath: domain.seedPath,
		bootOrder: effectiveBootOrder(domain),
		bootOrderChosen: spec.bootOrder.length > 0,
		others: [],
	};
}
