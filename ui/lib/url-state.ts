/** State of a page kept in its address, so that a link or a reload brings the same view back. */
import { useLocation } from "preact-iso";
import { queryString } from "../routes.ts";

export type UrlState = {
	get(key: string): string;
	list(key: string): string[];
	/** Replaces these keys; an empty value removes its key. */
	set(change: Record<string, string | readonly string[]>): void;
};

export function useUrlState(): UrlState {
	const { path, query, route } = useLocation();
	return {
		get: (key) => query[key] ?? "",
		list: (key) => (query[key] ?? "").split(",").filter(Boolean),
		set(change) {
			const merged: Record<string, string | readonly string[]> = { ...query, ...change };
			route(`${path}${queryString(merged)}`, true);
		},
	};
}
