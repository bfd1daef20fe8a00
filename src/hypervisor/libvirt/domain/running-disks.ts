/** The disks of a running domain with their layers, and what is being done to them, out of its XML. Pure. */
import type { XmlNode } from "../../../lib/xml-reader.ts";
import { deviceIdOf } from "../../facts.ts";
import type { ReadDomain } from "./domain-reader.ts";
import { aliasIn, sourceOf } from "./read-devices.ts";

export type RunningDisk = {
	/** Null for one that we did not make. */
	id: string | null;
	isCdrom: boolean;
	/** "vda" */
	target: string;
	/** What the guest writes to first. `index` is how libvirt calls the layer while the domain runs. */
	layers: { name: string; index: number | null }[];
	/** Raw, on a block device: as large as that. */
	isDevice: boolean;
	/** What it may go over to: a copy, or the layer into which what the guest writes to is being committed. */
	mirror: { job: string; target: string | null; ready: boolean } | null;
};

/** With CD-ROM drives, which have no id here. */
export const runningDisks = (domain: ReadDomain): RunningDisk[] =>
	(domain.root.child("devices")?.all("disk") ?? []).map((disk) => ({
		id: isCdrom(disk) ? null : deviceIdOf(aliasIn(disk) ?? ""),
		isCdrom: isCdrom(disk),
		target: disk.attributeOf("dev", "target") ?? "",
		layers: layersOf(disk),
		isDevice: disk.attribute("type") === "block" && disk.attributeOf("type", "driver") === "raw",
		mirror: mirrorOf(disk.child("mirror")),
	}));

/** A domain that was adopted while it ran has our names in its definition only: its disks are known by what they are on. */
export function withDefinedIds(running: readonly RunningDisk[], defined: readonly RunningDisk[]): RunningDisk[] {
	const taken = new Set(running.map((disk) => disk.id));
	return running.map((disk) => {
		if (disk.id !== null || disk.isCdrom) return disk;
		const twin = defined.find(({ id, layers }) => !taken.has(id) && layers[0]?.name === disk.layers[0]?.name);
		if (!twin) return disk;
		taken.add(twin.id);
		return { ...disk, id: twin.id };
	});
}

const isCdrom = (disk: XmlNode): boolean => disk.attribute("device") === "cdrom";

function layersOf(disk: XmlNode): RunningDisk["layers"] {
	const layers: RunningDisk["layers"] = [];
	for (let layer: XmlNode | null = disk; layer; layer = layer.child("backingStore")) {
		const name = sourceOf(layer);
		const index = layer.attribute("index") ?? layer.attributeOf("index", "source");
		if (name !== null) layers.push({ name, index: index !== null && /^\d{1,6}$/.test(index) ? Number(index) : null });
	}
	return layers;
}

const mirrorOf = (mirror: XmlNode | null): RunningDisk["mirror"] =>
	mirror && {
		job: mirror.attribute("job") ?? "unknown",
		target: sourceOf(mirror),
		ready: mirror.attribute("ready") === "yes",
	};
