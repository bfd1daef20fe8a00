/**
 * A copy-on-write copy is made to stand alone: each of its disks that rests on another volume or on an image takes in what it has from
 * there. Its tag says so before, its header afterwards (settle.ts). Cut short, the disks that were done stand alone, the others rest on what they
 * rested on, and each holds the same as before. Thin copies rest on nothing: LVM shares their blocks.
 */
import { AppError } from "../../lib/errors.ts";
import type { LongOptions } from "../driver.ts";
import { requireId } from "../names.ts";
import { flattenDisk, requireNotOpen } from "../qemu-img.ts";
import { requireHeadersMatch, wantedFor } from "./chain.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { canceledOr } from "./device-io.ts";
import { qcow2Bytes } from "./disk-copy.ts";
import { roundUp } from "./group.ts";
import { parseLvName } from "./names.ts";
import { type Disk, isDisk, type PoolIndex, sizeOf, type Volume, volumeFormat } from "./pool-index.ts";
import { settleOwn, settleRebase, thenSettled } from "./settle.ts";

/** Fails with `not-found`, `in-use`, `no-space`, `canceled`. */
export async function flattenVolume(context: IscsiContext, id: string, options: LongOptions): Promise<void> {
	requireId(id, "volume");
	using _own = await context.locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	const isOpen = ({ active }: Volume) => context.activation.isPinned(id) || active.open;
	let volume = requireVolume(await readIndex(context), id);
	if (!isOpen(volume)) {
		await settleOwn(context, id);
		volume = requireVolume(await readIndex(context), id);
	}
	const roots = rootsOf(volume);
	if (roots.length === 0) return;
	if (isOpen(volume)) throw new AppError("in-use", "A running VM has this disk open.");
	const { signal } = options;
	try {
		// No VM of another node has it either.
		await context.activation.use([{ lv: volume.active.lv, mode: "exclusive" }], async () => {
			for (const [at, root] of roots.entries()) {
				signal?.throwIfAborted();
				const progress = (ratio: number | null) =>
					options.progress?.(ratio === null ? null : (at + ratio) / roots.length);
				await flattenOne(context, root.lv, { ...(signal ? { signal } : {}), progress });
			}
		});
	} catch (error) {
		throw canceledOr(error, signal, "Making the volume stand alone");
	}
	options.progress?.(1);
}

function requireVolume(index: PoolIndex, id: string): Volume {
	const volume = index.volume(id);
	if (volume === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
	return volume;
}

/** Disks that rest on what is not the volume's: the one below the disk that is written to is the last. */
function rootsOf({ id, disks, active }: Volume): Disk[] {
	const roots = disks.filter(({ record }) => {
		const on = record.half !== null || record.on === null ? null : parseLvName(record.on);
		return on !== null && !(on.kind === "volume" && on.id === id);
	});
	const below = new Map(disks.map((disk) => [disk.lv, disk]));
	let last = active;
	for (let on = last.record.on; on !== null; on = last.record.on) {
		const next = below.get(on);
		if (!next) break;
		last = next;
	}
	return [...roots.filter((disk) => disk !== last), ...roots.filter((disk) => disk === last)];
}

async function flattenOne(context: IscsiContext, lv: string, options: LongOptions): Promise<void> {
	const { group, activation, nodeId, step } = context;
	// Also of another node, which has left it: this one has the volume alone.
	await settleRebase(context, lv);
	const index = await readIndex(context);
	const root = index.get(lv);
	if (root === null || !isDisk(root) || root.record.on === null) return;
	const chain = index.chain(root);
	const path = pathOf(context, root.lv);
	await activation.use(wantedFor(chain), async () => {
		// A copy of it that runs on this node has it open.
		await requireNotOpen(path, volumeFormat(root));
		await requireHeadersMatch(context, chain);
		const neededBytes = roundUp(await qcow2Bytes(sizeOf(root)));
		if (neededBytes > root.lvBytes) {
			await step("extend a disk that will stand alone");
			await group.extend(root.lv, neededBytes);
		}
		await step("record that a disk will stand alone");
		await group.record(root, { rebase: { node: nodeId, to: null } });
		await thenSettled(context, root.lv, async () => {
			try {
				await step("copy what is below into a disk");
				await flattenDisk(path, { ...options, device: true });
			} finally {
				await step("record that a disk stands alone");
			}
		});
	});
}
