/** What can be done on the page that is shown, as its header offers it: the command palette offers it, too. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Action } from "./menu.tsx";

export type PageActions = { title: string; actions: readonly Action[] };

export const pageActions = signal<PageActions | null>(null);

/** Kept up to date with each render of the page, and gone with it. */
export function usePageActions(title: string, actions: readonly Action[]): void {
	const own = useRef<PageActions | null>(null);
	useEffect(() => {
		own.current = { title, actions };
		pageActions.value = own.current;
	});
	useEffect(
		() => () => {
			// The next page may have said its own already.
			if (pageActions.peek() === own.current) pageActions.value = null;
		},
		[],
	);
}
