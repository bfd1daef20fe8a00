/**
 * A pool that is deleted: its volume group goes from the LUN, with all that LVM has written there, so that the next pool finds it empty. One
 * node does it, the one that deletes the pool, when all others have left the locks of the group. What it was in the middle of when it was
 * ended, it finishes the next time; what somebody else has put on the LUN by then stays.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { delay } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { LongOptions } from "../driver.ts";
import { errnoOf } from "../file-errors.ts";
import type { ConnectedLun, Connection } from "./connection.ts";
import { holdsOthers } from "./content.ts";
import { type IscsiContext, readIndex } from "./context.ts";
import { holdsText } from "./device-io.ts";
import type { Group } from "./lvm-report.ts";
import type { PoolIndex } from "./pool-index.ts";
import type { Lv } from "./records.ts";
import { removeDisks } from "./remove-disk.ts";
import { clearOwnLvm, lvmMember, lvmTextBytes, requireUnused, unknownData, whatIsOn } from "./signatures.ts";

/** Who leaves needs seconds; sanlock takes a node for gone that has not renewed its lease for 140 s, if it was watched for so long. */
const othersLeaveMs = 180_000;
const askEveryMs = 1000;

type GroupRemoval = { poolId: string; othersLeaveMs?: number | undefined } & LongOptions;

/**
 * `in-use` when other nodes still take part in a shared group: nothing is changed then, and this node takes part, too. "others": what is on the
 * LUN is somebody else's, who may use it, and so may be the way to it. A group of this pool that cannot be removed is never taken for that.
 */
export async function removeGroup(
	context: IscsiContext,
	connection: Pick<Connection, "current">,
	options: GroupRemoval,
): Promise<"removed" | "others"> {
	const { group, step } = context;
	const found = await group.find([], { leaving: true }).catch((error: unknown) => {
		if (isAppError(error, "wrong-state") && error.context.isOthers === true) return null;
		throw error;
	});
	if (found === null) {
		const lun = await lunOf(context, connection);
		const noted = await noteOf(context, options);
		if (noted !== null && (await isWhatWeLeft(context, lun, noted))) await clear(context, connection, noted);
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
	const noted = { uuid: await group.deviceUuid() };
	await note(context, options, noted);
	await step("take the volume group away");
	await group.remove(found);
	await clear(context, connection, noted);
	return "removed";
}

/** By its WWID, and anew: names of devices change hands, and the locks of others, or what was to be overwritten, may have taken hours. */
async function lunOf({ group }: IscsiContext, connection: Pick<Connection, "current">): Promise<ConnectedLun> {
	const lun = await connection.current();
	if (lun === null) throw new AppError("storage", "The LUN is not there any more.");
	group.device = lun.device;
	return lun;
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
async function clear(context: IscsiContext, connection: Pick<Connection, "current">, noted: Noted): Promise<void> {
	const { step } = context;
	await step("overwrite what LVM has left");
	const lun = await lunOf(context, connection);
	if (!(await isWhatWeLeft(context, lun, noted)))
		throw new AppError("storage", "The LUN is not what it was when its volume group was taken away.");
	await requireUnused(lun.device);
	await clearOwnLvm(lun.device, () => step("take the device from LVM"));
}

/** The device of LVM that was noted, in no group; from a version before this one, which noted none, texts of this pool's group. */
async function isWhatWeLeft(
	{ group }: IscsiContext,
	{ device, sizeBytes }: ConnectedLun,
	{ uuid }: Noted,
): Promise<boolean> {
	const found = (await whatIsOn(device, sizeBytes)).join();
	if (found === lvmMember) return group.isUnfinished(uuid);
	return uuid === null && found === unknownData && holdsText(device, lvmTextBytes, group.name);
}

const notePath = ({ staging }: IscsiContext): string => join(staging.context.folder.root, "removing");

/** `uuid`: LVM's id of the device that the group is on. */
type Noted = { uuid: string | null };

async function note(context: IscsiContext, { poolId }: GroupRemoval, { uuid }: Noted): Promise<void> {
	await mkdir(context.staging.context.folder.root, { recursive: true, mode: 0o700 });
	await writeFile(notePath(context), uuid === null ? poolId : `${poolId} ${uuid}`, { mode: 0o600, flush: true });
}

/** Null when this node was not at it. */
async function noteOf(context: IscsiContext, { poolId }: GroupRemoval): Promise<Noted | null> {
	try {
		const [of, uuid = null] = (await readFile(notePath(context), "utf8")).split(" ");
		return of === poolId ? { uuid } : null;
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return null;
		throw new AppError("storage", "Whether the pool was being removed is not known.", { cause: error });
	}
}
