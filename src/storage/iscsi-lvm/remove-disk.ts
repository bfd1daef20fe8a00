/** Taking logical volumes away: overwritten first where the pool wants it, however often that is cut short. */
import { AppError, isAppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { LongOptions, Progress } from "../driver.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { canceledOr, part, recordEveryBytes, zeroDevice } from "./device-io.ts";
import type { Lv } from "./records.ts";

/** Disks that are on their way out, by name. */
export type Removals = Map<string, { done: Promise<void>; watchers: Set<Progress> }>;

export type RemoveOptions = LongOptions & {
	/** Nothing was ever written to it but a header of ours: there is nothing to overwrite. */
	isEmpty?: boolean;
};

/** Whether `removeDisk` takes as long as a disk is large. */
export const wipes = ({ wipeOnDelete, layout }: Pick<IscsiContext, "wipeOnDelete" | "layout">): boolean =>
	wipeOnDelete && layout === "thick";

/**
 * Fails with `in-use` while anybody has it open. In a thin pool blocks are zeroed when they are given out, and overwriting would
 * first take space for every block that the volume never had: nothing is overwritten there. Aborted, it goes on the next time where it was.
 * Of a disk that is on its way out already, it is waited for: what was left when the pool was activated goes while the pool is used. When
 * whoever began that was told to end, this goes on with it. Nobody else makes or removes one of this name meanwhile: the caller sees to that.
 */
export async function removeDisk(context: IscsiContext, lv: Lv, options: RemoveOptions = {}): Promise<void> {
	for (let now: Lv | null = lv; now?.uuid === lv.uuid; now = (await readIndex(context)).get(lv.lv)) {
		const isOthers = context.removals.has(lv.lv);
		try {
			return await beginOrJoin(context, now, options);
		} catch (error) {
			if (!isOthers || !isAppError(error, "canceled") || options.signal?.aborted) throw error;
		}
	}
}

/** As `removeDisk`, and `canceled` also when whoever began it was told to end. */
export async function beginOrJoin(context: IscsiContext, lv: Lv, options: RemoveOptions): Promise<void> {
	const { removals } = context;
	const { progress, signal } = options;
	const running = removals.get(lv.lv);
	if (running) {
		if (progress) running.watchers.add(progress);
		return orAborted(running.done, signal).finally(() => progress && running.watchers.delete(progress));
	}
	const watchers = new Set<Progress>(progress ? [progress] : []);
	const tell: Progress = (...said) => {
		for (const watcher of watchers) watcher(...said);
	};
	const done = remove(context, lv, { ...options, progress: tell })
		.catch((error) => {
			throw canceledOr(error, signal, "Removing a disk");
		})
		.finally(() => removals.delete(lv.lv));
	removals.set(lv.lv, { done, watchers });
	return done;
}

async function remove(context: IscsiContext, lv: Lv, { isEmpty = false, ...options }: RemoveOptions): Promise<void> {
	const { group, activation, step } = context;
	if (wipes(context) && !isEmpty) {
		await step("overwrite a disk");
		await activation.use([{ lv: lv.lv, mode: "exclusive" }], async () => {
			let { record } = lv;
			const start = record.wipedMiB * MiB;
			await zeroDevice(pathOf(context, lv.lv), start, lv.lvBytes, {
				...part(options, start / lv.lvBytes, 1),
				reached: async (position) => {
					if (position - record.wipedMiB * MiB < recordEveryBytes) return;
					const wipedMiB = Math.floor(position / MiB);
					await group.record({ lv: lv.lv, record }, { wipedMiB });
					record = { ...record, wipedMiB };
				},
			});
		});
	}
	await activation.release(lv.lv);
	await step("remove a disk");
	await group.removeLv(lv.lv);
}

/** Several, in this order, as one piece of work. */
export async function removeDisks(context: IscsiContext, lvs: readonly Lv[], options: LongOptions): Promise<void> {
	const totalBytes = lvs.reduce((sum, { lvBytes }) => sum + lvBytes, 0);
	let doneBytes = 0;
	for (const lv of lvs) {
		const from = doneBytes / totalBytes;
		doneBytes += lv.lvBytes;
		await removeDisk(context, lv, part(options, from, doneBytes / totalBytes));
	}
}

function orAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
	if (!signal) return work;
	return new Promise((resolve, reject) => {
		const onAbort = () => reject(new AppError("canceled", "Removing a disk was canceled.", { cause: signal.reason }));
		if (signal.aborted) return onAbort();
		signal.addEventListener("abort", onAbort, { once: true });
		work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
	});
}

/**
 * Only the node that began it takes it away: nobody else knows whether it works on it still. One that is gone for good never does, so
 * this says how a person does.
 */
export const leftUnfinished = ({ group }: IscsiContext, nodeId: string, lv: string): AppError =>
	new AppError(
		"in-use",
		`Node ${nodeId} is making the logical volume ${lv}, or has left it unfinished: then that node takes it away when it starts. ` +
			`If the node is gone for good, remove ${group.name}/${lv} by hand (operator's guide, "A node that is gone for good").`,
		{ context: { nodeId, lv } },
	);
