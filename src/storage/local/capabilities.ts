/** What a pool of files can do, and why not. */
import type { PoolCapabilities } from "../../model/storage.ts";

export const localCapabilities: PoolCapabilities = {
	formats: ["qcow2", "raw"],
	provisioning: ["thin", "thick"],
	copyOnWriteClone: true,
	fullClone: true,
	resizeOnline: true,
	shrink: false,
	snapshots: true,
	images: true,
	shared: false,
	reasons: {
		shrink: "Making a disk smaller would cut off what the guest has stored at its end.",
		flattenOnline:
			"Only QEMU itself could copy into a disk that it has open; the copy is made to stand alone while its VM is off.",
		shared: "A local folder is reachable from its own node only.",
	},
};

const { shared: _local, ...sharedReasons } = localCapabilities.reasons;
/** Of a folder that several nodes reach. */
export const sharedCapabilities: PoolCapabilities = { ...localCapabilities, shared: true, reasons: sharedReasons };

/** A thick volume would have to be written in full, and would be thin again with the first discard. */
export const withoutThick = (capabilities: PoolCapabilities, reason: string): PoolCapabilities => ({
	...capabilities,
	provisioning: ["thin"],
	reasons: { ...capabilities.reasons, provisioning: reason },
});

export const noFallocate =
	"Volumes here are thin: the file system cannot set space aside for a file (ext4 and XFS can).";

export const copiesOnWrite =
	"Volumes here are thin: btrfs writes a block that changes to a new place, so space that was set aside for a file lasts for its first write only.";

/** No capability of its own: a full copy is made either way. */
export const noReflink = {
	reflink:
		"The file system cannot let files share blocks (XFS and btrfs can), so a full copy reads and writes all of the disk.",
};
