/**
 * Whether anything works on an object. For one object the index is asked; whoever asks for many reads the unfinished
 * tasks once: a question for each of 10,000 objects holds the event loop for half a second.
 */
import type { StoreReader } from "../store/store.ts";

const unfinished = ["pending", "running"] as const;

export const isBusy = (store: Pick<StoreReader, "count">, id: string): boolean =>
	store.count("task", { targetId: id, state: unfinished }) > 0;

/** Ids of all objects that an unfinished task is about, as of now. */
export const unfinishedTargets = (store: Pick<StoreReader, "all">): ReadonlySet<string> =>
	new Set(store.all("task", { state: unfinished }).flatMap((task) => task.targets.map((target) => target.id)));
