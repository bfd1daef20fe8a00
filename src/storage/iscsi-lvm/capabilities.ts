/** What a pool on iSCSI can do, by its layout, with the reason for what it cannot. */
import type { PoolCapabilities } from "../../model/storage.ts";

export function capabilitiesOf(layout: "thick" | "thin", shared: boolean): PoolCapabilities {
	const reasons: Record<string, string> = {
		shrink: "Making a disk smaller would cut off what the guest has stored at its end.",
	};
	if (!shared)
		reasons.shared =
			layout === "thin"
				? "LVM's thin pools may be used by one node at a time only."
				: "The volume group was made for one node, without locks.";
	reasons.provisioning =
		layout === "thin"
			? "Volumes here are thin: they share the space of LVM's thin pool, which gives it out as it is written to."
			: "Volumes here are thick: a logical volume has all of its space from the beginning. A pool of layout thin has thin ones.";
	if (layout === "thick")
		reasons.flattenOnline =
			"Only QEMU itself could copy into a disk that it has open; the copy is made to stand alone while its VM is off.";
	if (layout === "thin") reasons.formats = "Copies and snapshots are LVM's own, so all disks are raw.";
	return {
		formats: layout === "thin" ? ["raw"] : ["qcow2", "raw"],
		provisioning: [layout],
		...{ copyOnWriteClone: true, fullClone: true, resizeOnline: true, shrink: false, snapshots: true, images: true },
		shared,
		reasons,
	};
}
