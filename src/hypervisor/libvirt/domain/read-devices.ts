/** Devices in a domain's XML → facts. Pure; whatever libvirt says that we do not know is passed on as it is. */
import type { XmlNode } from "../../../lib/xml-reader.ts";
import type { DiskLimits } from "../../driver.ts";
import { type CdromFacts, type DiskFacts, deviceIdOf, type NicFacts, type Placement, seedAlias } from "../../facts.ts";

/** `kind` is what the source is: "file", "block", "network" … */
export type ReadDisk = DiskFacts & { bootOrder: number | null; kind: string };
export type ReadCdrom = CdromFacts & { bootOrder: number | null };
export type ReadNic = NicFacts & { bootOrder: number | null; network: string | null };

const isCdrom = (disk: XmlNode): boolean => disk.attribute("device") === "cdrom";

export const readDisks = (devices: XmlNode | null): ReadDisk[] =>
	(devices?.all("disk") ?? [])
		.filter((disk) => !isCdrom(disk))
		.map((disk) => ({
			...identity(disk),
			kind: disk.attribute("type") ?? "unknown",
			path: sourceOf(disk) ?? "",
			format: disk.attributeOf("type", "driver") ?? "unknown",
			backing: backingOf(disk),
			bus: disk.attributeOf("bus", "target") ?? "unknown",
			cache: disk.attributeOf("cache", "driver") ?? "default",
			discard: disk.attributeOf("discard", "driver") === "unmap",
			readOnly: disk.child("readonly") !== null,
			limits: limitsIn(disk.child("iotune")),
		}));

/** CD-ROM drives, without that of the cloud-init seed. */
export const readCdroms = (devices: XmlNode | null): ReadCdrom[] =>
	(devices?.all("disk") ?? [])
		.filter((disk) => isCdrom(disk) && aliasIn(disk) !== seedAlias)
		.map((disk) => ({ ...identity(disk), bus: disk.attributeOf("bus", "target") ?? "sata", path: sourceOf(disk) }));

export function readSeed(devices: XmlNode | null): CdromFacts | null {
	const seed = devices?.all("disk").find((disk) => isCdrom(disk) && aliasIn(disk) === seedAlias);
	return seed ? { ...identity(seed), id: null, bus: "scsi", path: sourceOf(seed) } : null;
}

export const readNics = (devices: XmlNode | null): ReadNic[] =>
	(devices?.all("interface") ?? []).map((nic) => {
		const network = nic.attribute("type") === "network" ? nic.attributeOf("network", "source") : null;
		const mac = nic.attributeOf("address", "mac") ?? "";
		return {
			...identity(nic, mac),
			mac,
			model: nic.attributeOf("type", "model") ?? "default",
			// While it runs libvirt adds the bridge to the name of its network.
			bridge: nic.attributeOf("bridge", "source") ?? network ?? "",
			network,
			linkUp: nic.attributeOf("state", "link") !== "down",
		};
	});

/** Memory modules that were plugged in. */
export const readMemoryModules = (devices: XmlNode | null): { alias: string; sizeBytes: number }[] =>
	(devices?.all("memory") ?? []).map((module) => ({
		alias: aliasIn(module) ?? "",
		sizeBytes: readSize(module.child("target", "size")) ?? 0,
	}));

export function identity(
	device: XmlNode,
	fallback = "",
): { id: string | null; alias: string; placement: Placement; bootOrder: number | null } {
	const alias = aliasIn(device);
	const target = device.attributeOf("dev", "target");
	const order = device.attributeOf("order", "boot");
	return {
		id: alias === null ? null : deviceIdOf(alias),
		// Definitions of other people's domains have no aliases.
		alias: alias ?? target ?? fallback,
		placement: { target, address: addressOf(device) },
		bootOrder: order === null ? null : Number(order),
	};
}

export const aliasIn = (device: XmlNode): string | null => device.attributeOf("name", "alias");

export function addressOf(device: XmlNode): Placement["address"] {
	const address = device.child("address");
	return address ? Object.fromEntries(address.attributes) : null;
}

function limitsIn(tune: XmlNode | null): DiskLimits | null {
	const perSecond = (name: string): number | null => {
		const text = tune?.textOf(`${name}_sec`) ?? "";
		return /^[1-9]\d{0,15}$/.test(text) ? Number(text) : null;
	};
	const limits = {
		readBytesPerSecond: perSecond("read_bytes"),
		writeBytesPerSecond: perSecond("write_bytes"),
		readIops: perSecond("read_iops"),
		writeIops: perSecond("write_iops"),
	};
	return Object.values(limits).every((limit) => limit === null) ? null : limits;
}

export function sourceOf(disk: XmlNode): string | null {
	const source = disk.child("source");
	if (!source) return null;
	if (source.attribute("protocol") === "rbd") return `rbd:${source.attribute("name") ?? ""}`;
	return source.attribute("file") ?? source.attribute("dev") ?? source.attribute("name") ?? source.attribute("volume");
}

function backingOf(disk: XmlNode): string[] {
	const paths: string[] = [];
	for (let store = disk.child("backingStore"); store; store = store.child("backingStore")) {
		const path = sourceOf(store);
		if (path !== null) paths.push(path);
	}
	return paths;
}

const unitBytes: Record<string, number> = {
	b: 1,
	bytes: 1,
	KB: 1000,
	k: 1024,
	KiB: 1024,
	MB: 1000 ** 2,
	M: 1024 ** 2,
	MiB: 1024 ** 2,
	GB: 1000 ** 3,
	G: 1024 ** 3,
	GiB: 1024 ** 3,
	TB: 1000 ** 4,
	T: 1024 ** 4,
	TiB: 1024 ** 4,
};

/** A "scaled integer" of libvirt in bytes: KiB without a unit. */
export function readSize(node: XmlNode | null): number | null {
	if (!node || !/^\d+$/.test(node.text)) return null;
	return Number(node.text) * (unitBytes[node.attribute("unit") ?? "KiB"] ?? 1024);
}
