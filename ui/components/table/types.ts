/** What a table is told. */
import type { ComponentChildren } from "preact";
import type { ApiError } from "../../api/errors.ts";
import type { LoadState } from "../../api/live/collection.ts";
import type { SortValue } from "../../lib/sort.ts";
import type { Action } from "../menu.tsx";

export type Column<T> = {
	id: string;
	header: string;
	cell: (row: T) => ComponentChildren;
	/** Makes it sortable. */
	sort?: (row: T) => SortValue;
	/** CSS width; columns without one share what is left. */
	width?: string;
	align?: "end";
	/** Off until chosen. */
	hidden?: boolean;
	/** Always there. */
	fixed?: boolean;
	/** Where it goes when rows become cards on a phone; default: a line with its header. */
	card?: "title" | "badge" | "none";
};

export type Filter<T> = {
	id: string;
	label: string;
	choices: readonly { value: string; label: string }[];
	matches: (row: T, chosen: readonly string[]) => boolean;
};

export type TableProps<T extends { id: string }> = {
	/** Key of what is remembered in the browser (chosen columns). */
	name: string;
	/** What the table shows, for screen readers. */
	caption: string;
	rows: readonly T[];
	columns: readonly Column<T>[];
	rowLabel: (row: T) => string;
	state?: LoadState;
	error?: ApiError | null;
	onRetry?: () => void;
	partial?: boolean;
	filters?: readonly Filter<T>[];
	/** All the text that the search looks in; without it there is no search box. */
	searchText?: (row: T) => string;
	/** "name" or "-createdAt". */
	defaultSort?: string;
	/** Actions on the chosen rows; without it rows cannot be chosen. */
	bulkActions?: (rows: readonly T[], clear: () => void) => readonly Action[];
	rowActions?: (row: T) => readonly Action[];
	/** Shown when there are no rows at all. */
	empty?: ComponentChildren;
	/** At the end of the tool bar. */
	tools?: ComponentChildren;
	/** Fills the page and scrolls inside; else it is as tall as its rows. */
	fill?: boolean;
	/** False keeps search, filters and order out of the address (tables inside other pages). */
	inAddress?: boolean;
	/** Rows to be shown weaker, with the reason in their cells (stale, being deleted). */
	dimmed?: (row: T) => boolean;
};
