/** What the parts of the driver share. */
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/log.ts";
import type { Random } from "../../lib/random.ts";
import type { Step } from "../durable.ts";
import type { OperationLocks } from "../operation-locks.ts";
import type { Activation } from "./activation.ts";
import type { VolumeGroup } from "./group.ts";
import { devicePath } from "./names.ts";
import { PoolIndex } from "./pool-index.ts";
import type { Removals } from "./remove-disk.ts";
import type { Staging } from "./staging.ts";

export type IscsiContext = {
	nodeId: string;
	layout: "thick" | "thin";
	wipeOnDelete: boolean;
	group: VolumeGroup;
	activation: Activation;
	locks: OperationLocks;
	removals: Removals;
	staging: Staging;
	log: Logger;
	clock: Clock;
	random: Random;
	/** Writes that a device has done since it was activated; null when that is not known. */
	writes: (path: string) => Promise<number | null>;
	/** Called before each change; tests end the process there. */
	step: Step;
};

export const readIndex = async ({ group }: IscsiContext): Promise<PoolIndex> => new PoolIndex(await group.lvs());

export const pathOf = ({ group }: IscsiContext, lv: string): string => devicePath(group.name, lv);
