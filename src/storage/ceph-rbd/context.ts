/** What the parts of the ceph-rbd driver share. */
import type { Logger } from "../../lib/log.ts";
import type { RbdSource } from "../../model/disk-source.ts";
import type { InspectLimits } from "../inspect/inspect-image.ts";
import type { OperationLocks } from "../operation-locks.ts";
import type { RbdImages } from "./rbd-images.ts";
import type { CephRunner } from "./runner.ts";
import type { RbdWork } from "./work.ts";

export type RbdContext = {
	poolId: string;
	runner: CephRunner;
	images: RbdImages;
	work: RbdWork;
	locks: OperationLocks;
	log: Logger;
	inspectLimits: InspectLimits;
	/** Files below these folders are never imported. */
	protectedPaths: readonly string[];
	/** How QEMU opens the image of this name. */
	source(name: string): RbdSource;
};
