/** What a pool of files can do, and why not. */
import type { PoolCapabilities } from "../../model/storage.ts";

export const localCapabilities: PoolCapabilities = {
	formats: ["qcow2", "raw"],
	copyOnWriteClone: true,
	fullClone: true,
	resizeOnline: true,
	shrink: false,
	snapshots: true,
	images: true,
	shared: false,
	reasons: {
		shrink: "Making a disk smaller would cut off what the guest has stored at its end.",
		shared: "A local folder is reachable from its own node only.",
	},
};

const { shared: _local, ...sharedReasons } = localCapabilities.reasons;
/** Of a folder that several nodes reach. */
export const sharedCapabilities: PoolCapabilities = { ...localCapabilities, shared: true, reasons: sharedReasons };

/** No capability of its own: a full copy is made either way. */
export const noReflink = {
	reflink:
		"The file system cannot let files share blocks (XFS and btrfs can), so a full copy reads and writes all of the disk.",
};
