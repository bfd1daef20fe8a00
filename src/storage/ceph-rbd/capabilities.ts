/** What a pool of a Ceph cluster can do, with the reason for what it cannot. */
import type { PoolCapabilities } from "../../model/storage.ts";

export const cephRbdCapabilities: PoolCapabilities = {
	formats: ["raw"],
	copyOnWriteClone: true,
	fullClone: true,
	resizeOnline: true,
	shrink: false,
	snapshots: true,
	images: true,
	shared: true,
	reasons: { shrink: "Making a disk smaller would cut off what the guest has stored at its end." },
};
