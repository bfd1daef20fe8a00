/** What a pool of a Ceph cluster can do, with the reason for what it cannot. */
import type { PoolCapabilities } from "../../model/storage.ts";

export const cephRbdCapabilities: PoolCapabilities = {
	formats: ["raw"],
	provisioning: ["thin"],
	copyOnWriteClone: true,
	fullClone: true,
	resizeOnline: true,
	shrink: false,
	snapshots: true,
	images: true,
	shared: true,
	reasons: {
		shrink: "Making a disk smaller would cut off what the guest has stored at its end.",
		provisioning:
			"Volumes here are thin: Ceph sets no space aside for an image. Written full of zeroes it would take the space, until its guest discards.",
	},
};
