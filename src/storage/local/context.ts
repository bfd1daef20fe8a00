/** What the parts of the local driver share. */
import type { Logger } from "../../lib/log.ts";
import type { PoolPlace } from "../driver.ts";
import type { InspectLimits } from "../inspect/inspect-image.ts";
import type { OperationLocks } from "../operation-locks.ts";
import type { PoolFolder } from "./pool-folder.ts";

export type LocalContext = {
	folder: PoolFolder;
	locks: OperationLocks;
	log: Logger;
	inspectLimits: InspectLimits;
	/** Files below these folders are never imported or taken over. */
	protectedPaths: string[];
	/** The other pools of this node, as they are now: nothing of theirs is taken over, and none is inside another. */
	otherPools: () => readonly PoolPlace[];
	/** Whether files of the pool can share blocks; known once it is active. */
	sharesBlocks: () => boolean;
	/** Whether files of the pool can be given their space beforehand; known once it is active. */
	allocates: () => boolean;
	/** Why they cannot, as a sentence. */
	whyThin?: () => string | null;
};
