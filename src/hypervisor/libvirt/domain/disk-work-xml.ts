/** XML for the work on disks of a running domain: the target of a copy, and overlays. Pure. */
import { element, type XmlElement } from "../../../lib/xml-writer.ts";
import type { DomainDisk } from "../../driver.ts";
import { sourceElement, sourceType } from "./device-xml.ts";
import type { RunningDisk } from "./running-disks.ts";

export const blockCopyXml = ({ source, format }: DomainDisk): XmlElement =>
	element("disk", { type: sourceType(source) }, [
		element("driver", { name: "qemu", type: format }),
		sourceElement(source),
		element("backingStore"),
	]);

/** By target; a disk that is not in `overlays` stays as it is, which libvirt wants to be told of each. */
export const overlaysXml = (disks: readonly RunningDisk[], overlays: ReadonlyMap<string, DomainDisk>): XmlElement =>
	element("domainsnapshot", {}, [
		element(
			"disks",
			{},
			disks.map(({ target }) => {
				const overlay = overlays.get(target);
				if (!overlay) return element("disk", { name: target, snapshot: "no" });
				return element("disk", { name: target, snapshot: "external", type: sourceType(overlay.source) }, [
					element("driver", { type: overlay.format }),
					sourceElement(overlay.source),
				]);
			}),
		),
	]);
