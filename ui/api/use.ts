/** Hooks that pages read data with: live collections, and answers that events do not keep fresh. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, toApiError } from "./errors.ts";
import type { Collection } from "./live/collection.ts";
import { live, liveSnapshots } from "./live/live.ts";
import type { LiveKind, LiveObjects, Snapshot } from "./types.ts";

/** The collection, loading unless it is loaded. */
export function useCollection<Kind extends LiveKind>(kind: Kind): Collection<LiveObjects[Kind]> {
	const collection = live[kind] as unknown as Collection<LiveObjects[Kind]>;
	useEffect(() => {
		void collection.ensure();
	}, [collection]);
	return collection;
}

/** The snapshots of the VM, loading unless they are loaded. */
export function useSnapshots(vmId: string): Collection<Snapshot> {
	const collection = liveSnapshots.of(vmId);
	useEffect(() => {
		void collection.ensure();
	}, [collection]);
	return collection;
}

export type ObjectState<T> =
	| { state: "loading" }
	| { state: "error"; error: ApiError; retry: () => void }
	| { state: "gone" }
	| { state: "ready"; object: T };

/** One object by id. `last` keeps showing it after it was deleted when `keepDeleted` is set. */
export function useObject<Kind extends LiveKind>(kind: Kind, id: string): ObjectState<LiveObjects[Kind]> {
	const collection = useCollection(kind);
	const object = collection.one(id).value;
	if (object !== undefined) return { state: "ready", object };
	const { state, error, partial } = collection;
	if (state.value === "error" && error.value) {
		return { state: "error", error: error.value, retry: () => void collection.reload() };
	}
	return state.value === "ready" && !partial.value ? { state: "gone" } : { state: "loading" };
}

export type Query<T> = {
	data: T | undefined;
	error: ApiError | null;
	loading: boolean;
	reload: () => void;
};

/** Calls `load` when the page opens, when `key` changes, and on `reload`. Answers of older calls are dropped. */
export function useQuery<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Query<T> {
	const [data, setData] = useState<T | undefined>(undefined);
	const [error, setError] = useState<ApiError | null>(null);
	const [loading, setLoading] = useState(true);
	const [turn, setTurn] = useState(0);
	const loader = useRef(load);
	loader.current = load;
	useEffect(() => {
		const controller = new AbortController();
		setLoading(true);
		loader
			.current(controller.signal)
			.then((value) => {
				if (controller.signal.aborted) return;
				setData(value);
				setError(null);
				setLoading(false);
			})
			.catch((failure: unknown) => {
				if (controller.signal.aborted) return;
				setError(toApiError(failure));
				setLoading(false);
			});
		return () => controller.abort();
	}, [key, turn]);
	return { data, error, loading, reload: useCallback(() => setTurn((now) => now + 1), []) };
}
