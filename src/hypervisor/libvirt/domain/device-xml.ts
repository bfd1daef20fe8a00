/** XML of the devices that come and go: disks, CD-ROM drives, NICs, memory modules. Pure. */
import { AppError } from "../../../lib/errors.ts";
import { element, textElement, type XmlElement } from "../../../lib/xml-writer.ts";
import { type DiskSource, rbdName } from "../../../model/disk-source.ts";
import type { DiskLimits } from "../../driver.ts";
import { type Address, type CdromDevice, type DiskDevice, ioThreads, type NicDevice } from "./machine.ts";

export const kibibytes = (bytes: number): number => bytes / 1024;

export function diskElement(disk: DiskDevice): XmlElement {
	return element("disk", { type: sourceType(disk.source), device: "disk" }, [
		element("driver", {
			name: "qemu",
			type: disk.format,
			cache: disk.cache,
			// Linux's own asynchronous IO needs files opened past the page cache.
			...(disk.source.kind === "rbd" ? {} : { io: disk.cache === "none" ? "native" : "threads" }),
			discard: disk.discard ? "unmap" : "ignore",
			...(disk.ioThread ? { iothread: ioThreads } : {}),
			// A pool that is full or away stops the guest until it works again: it never sees a broken disk for that, be it by a write or by a read.
			error_policy: "stop",
			rerror_policy: "stop",
		}),
		sourceElement(disk.source),
		backingChain(disk.backing),
		element("target", { dev: disk.target, bus: disk.bus }),
		limitsElement(disk.limits),
		disk.readOnly && element("readonly"),
		textElement("serial", disk.serial),
		...tail(disk),
	]);
}

/** Written out whole and ended, so that QEMU never reads from an image what it is to open. */
function backingChain(files: DiskDevice["backing"]): XmlElement {
	const [nearest, ...rest] = files;
	if (!nearest) return element("backingStore");
	return element("backingStore", { type: sourceType(nearest.source) }, [
		element("format", { type: nearest.format }),
		sourceElement(nearest.source),
		backingChain(rest),
	]);
}

function limitsElement(limits: DiskLimits | null): XmlElement | null {
	const set = Object.entries(limitParameters(limits)).filter(([, perSecond]) => perSecond > 0);
	return set.length === 0
		? null
		: element(
				"iotune",
				{},
				set.map(([name, perSecond]) => textElement(name, perSecond)),
			);
}

/** libvirt's names; 0 is no limit. */
export const limitParameters = (limits: DiskLimits | null): Record<string, number> => ({
	read_bytes_sec: limits?.readBytesPerSecond ?? 0,
	write_bytes_sec: limits?.writeBytesPerSecond ?? 0,
	read_iops_sec: limits?.readIops ?? 0,
	write_iops_sec: limits?.writeIops ?? 0,
});

export const sourceType = ({ kind }: DiskSource): string => (kind === "rbd" ? "network" : kind);

export function sourceElement(source: DiskSource): XmlElement {
	if (source.kind === "file") return element("source", { file: source.path });
	if (source.kind === "block") return element("source", { dev: source.path });
	// libvirt (9.0) takes the namespace for a part of the image's name, and QEMU then finds no such image.
	if (source.namespace !== null)
		throw new AppError("unsupported", "libvirt cannot open disks in a namespace of a Ceph pool.");
	return element("source", { protocol: "rbd", name: rbdName(source) }, [
		...source.monitors.map(({ host, port }) => element("host", { name: host, ...(port === null ? {} : { port }) })),
		element("auth", { username: source.user }, [element("secret", { type: "ceph", uuid: source.secretId })]),
	]);
}

export function cdromElement(cdrom: CdromDevice): XmlElement {
	return element("disk", { type: cdrom.source ? sourceType(cdrom.source) : "file", device: "cdrom" }, [
		element("driver", { name: "qemu", type: "raw" }),
		cdrom.source !== null && sourceElement(cdrom.source),
		cdrom.source !== null && element("backingStore"),
		element("target", { dev: cdrom.target, bus: cdrom.bus }),
		element("readonly"),
		...tail(cdrom),
	]);
}

export function nicElement(nic: NicDevice): XmlElement {
	return element("interface", { type: "bridge" }, [
		element("mac", { address: nic.mac }),
		element("source", { bridge: nic.bridge }),
		element("model", { type: nic.model }),
		element("link", { state: nic.linkUp ? "up" : "down" }),
		...tail(nic),
	]);
}

/** A memory module for the one NUMA node. */
export const memoryModuleElement = (sizeBytes: number): XmlElement =>
	element("memory", { model: "dimm" }, [
		element("target", {}, [textElement("size", kibibytes(sizeBytes), { unit: "KiB" }), textElement("node", 0)]),
	]);

function tail(device: { bootOrder: number | null; alias: string; address: Address | null }): (XmlElement | null)[] {
	return [
		device.bootOrder === null ? null : element("boot", { order: device.bootOrder }),
		element("alias", { name: device.alias }),
		addressElement(device.address),
	];
}

export const addressElement = (address: Address | null | undefined): XmlElement | null =>
	address ? element("address", { ...address }) : null;
