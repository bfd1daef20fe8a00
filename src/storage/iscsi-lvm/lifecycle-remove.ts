/**
 * A pool that is deleted: its volume group goes from the LUN, with all that LVM has written there, so that the next pool finds it empty. One
 * node does it, the one that deletes the pool, when all others have left the locks of the group. What it was in the middle of when it was
 * ended, it finishes the next time; what somebody else has put on the LUN by then stays.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { delay } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { LongOptions } from "../driver.ts";
import { errnoOf } from "../file-errors.ts";
import type { ConnectedLun } from "./connection.ts";
import { holdsOthers } from "./content.ts";
import { type IscsiContext, readIndex } from "./context.ts";
import { holdsText, zeroDevice } from "./device-io.ts";
import type { Group } from "./lvm-report.ts";
import type { PoolIndex } from "./pool-index.ts";
import type { Lv } from "./records.ts";
import { removeDisks } from "./remove-disk.ts";
import { lvmMember, unknownData, whatIsOn } from "./signatures.ts";

/** Who leaves needs seconds; sanlock takes a node for gone that has not renewed its lease for 140 s, if it was watched for so long. */
const othersLeaveMs = 180_000;
const askEveryMs = 1000;
/** Where LVM keeps its texts, or begins to. */
const textBytes = 2 * MiB;

type GroupRemoval = { poolId: string; othersLeaveMs?: number | undefined } & LongOptions;

/**
 * `in-use` when other nodes still take part in a shared group: nothing is changed then, and this node takes part, too. "others": what is on the
 * LUN is somebody else's, who may use it, and so may be the way to it. A group of this pool that cannot be removed is never taken for that.
 */
export async function removeGroup(
	context: IscsiContext,
	lun: ConnectedLun,
	options: GroupRemoval,
): Promise<"removed" | "others"> {
	const { group, step } = context;
	const found = await group.find([], { leaving: true }).catch((error: unknown) => {
		if (isAppError(error, "wrong-state") && error.context.isOthers === true) return null;
		throw error;
	});
	if (found === null) {
		if ((await isNoted(context, options)) && (await isWhatWeLeft(context, lun))) await clear(context, lun);
		else if ((await whatIsOn(lun.device, lun.sizeBytes)).length > 0) return "others";
		return "removed";
	}
	if (found.lockType === "sanlock") await group.startLocks();
	// Before its contents count: what others have left unfinished there, they tidy up before they leave.
	await waitUntilAlone(context, found, options);
	const index = await readIndex(context);
	const left = (await holdsOthers(context, index)) ? null : leftovers(index);
	await group.deactivateAll();
	if (left === null) {
		await group.disown();
		return "removed";
	}
	// The group takes them along; only what is to be overwritten has to be before that, and goes on where it was when it is cut short.
	if (context.wipeOnDelete) await removeDisks(context, left, options);
	options.signal?.throwIfAborted();
	await note(context, options);
	await step("take the volume group away");
	await group.remove(found);
	await step("take the device from LVM");
	await clear(context, lun);
	return "removed";
}

/**
 * What operations that were cut short have left, of whichever node: each node takes away its own, and there is none any more. In the order in
 * which it goes; null when a volume or an image is there.
 */
function leftovers(index: PoolIndex): Lv[] | null {
	const isDeleted = (id: string): boolean => {
		const active = index.disks(id).findLast(({ record }) => record.half === null && record.snap === null);
		return active !== undefined && active.record.gone !== null;
	};
	const isLeft = ({ name, record }: Lv): boolean =>
		record.half !== null || (name.kind === "image" ? record.gone !== null : isDeleted(name.id));
	if (index.hasDamaged || !index.lvs.every(isLeft)) return null;
	const numberOf = ({ name }: Lv): number => (name.kind === "volume" ? name.number : 0);
	return [...index.lvs].sort((a, b) => numberOf(a) - numberOf(b));
}

async function waitUntilAlone(
	{ group, clock }: IscsiContext,
	found: Group,
	{ othersLeaveMs: waitMs = othersLeaveMs, signal }: GroupRemoval,
): Promise<void> {
	const deadline = clock.monotonicMs() + waitMs;
	for (;;) {
		try {
			return await group.requireAlone(found);
		} catch (error) {
			if (!isAppError(error, "in-use") || clock.monotonicMs() >= deadline) throw error;
		}
		signal?.throwIfAborted();
		await delay(clock, askEveryMs);
	}
}

/** LVM's texts stay where they were when it lets go of the device, and would pass for data of somebody. */
async function clear({ group, step }: IscsiContext, { device, sizeBytes }: ConnectedLun): Promise<void> {
	if ((await whatIsOn(device, sizeBytes)).includes(lvmMember)) await group.removeDevice();
	await step("overwrite what LVM has left");
	await zeroDevice(device, 0, textBytes);
}

/** A device of LVM in no group, or the texts of one that this pool's group is in. */
async function isWhatWeLeft({ group }: IscsiContext, { device, sizeBytes }: ConnectedLun): Promise<boolean> {
	const found = (await whatIsOn(device, sizeBytes)).join();
	if (found === lvmMember) return group.isUnfinished();
	return found === unknownData && holdsText(device, textBytes, group.name);
}

const notePath = ({ staging }: IscsiContext): string => join(staging.context.folder.root, "removing");

async function note(context: IscsiContext, { poolId }: GroupRemoval): Promise<void> {
	await mkdir(context.staging.context.folder.root, { recursive: true, mode: 0o700 });
	await writeFile(notePath(context), poolId, { mode: 0o600, flush: true });
}

async function isNoted(context: IscsiContext, { poolId }: GroupRemoval): Promise<boolean> {
	try {
		return (await readFile(notePath(context), "utf8")) === poolId;
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return false;
		throw new AppError("storage", "Whether the pool was being removed is not known.", { cause: error });
	}
}
