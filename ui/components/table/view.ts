/** Search, filters and order of a table: from the address, or kept in the component. */
import { useMemo, useState } from "preact/hooks";
import { sortedBy } from "../../lib/sort.ts";
import { useUrlState } from "../../lib/url-state.ts";
import type { Column, Filter, TableProps } from "./types.ts";

type Keep = {
	get(key: string): string;
	list(key: string): string[];
	set(change: Record<string, string | readonly string[]>): void;
};

function useLocalState(): Keep {
	const [values, setValues] = useState<Record<string, string | readonly string[]>>({});
	const get = (key: string) => {
		const value = values[key] ?? "";
		return typeof value === "string" ? value : value.join(",");
	};
	return {
		get,
		list: (key) => get(key).split(",").filter(Boolean),
		set: (change) => setValues((now) => ({ ...now, ...change })),
	};
}

export type TableView<T> = {
	rows: readonly T[];
	search: string;
	setSearch(text: string): void;
	sort: { column: string; descending: boolean } | null;
	toggleSort(column: string): void;
	chosen(filter: string): string[];
	setChosen(filter: string, values: readonly string[]): void;
	narrowed: boolean;
	clear(): void;
};

export function useTableView<T extends { id: string }>(props: TableProps<T>): TableView<T> {
	const { rows, columns, filters = [], searchText, defaultSort = "name", inAddress = true } = props;
	const fromAddress = useUrlState();
	const local = useLocalState();
	const keep: Keep = inAddress ? fromAddress : local;
	const search = searchText ? keep.get("q") : "";
	const sortKey = keep.get("sort") || defaultSort;
	const filterKey = filters.map(({ id }) => `${id}=${keep.get(id)}`).join("&");
	const shown = useMemo(
		() => narrow(rows, { columns, filters, searchText, search, sortKey, chosen: (id) => keep.list(id) }),
		[rows, columns, search, sortKey, filterKey],
	);
	const sort = parseSort(sortKey, columns);
	return {
		rows: shown,
		search,
		setSearch: (text) => keep.set({ q: text }),
		sort,
		toggleSort(column) {
			const descending = sort?.column === column && !sort.descending;
			const next = `${descending ? "-" : ""}${column}`;
			keep.set({ sort: next === defaultSort ? "" : next });
		},
		chosen: (filter) => keep.list(filter),
		setChosen: (filter, values) => keep.set({ [filter]: values }),
		narrowed: search !== "" || filters.some(({ id }) => keep.get(id) !== ""),
		clear: () => keep.set({ q: "", ...Object.fromEntries(filters.map(({ id }) => [id, ""])) }),
	};
}

type Narrowing<T> = {
	columns: readonly Column<T>[];
	filters: readonly Filter<T>[];
	searchText: ((row: T) => string) | undefined;
	search: string;
	sortKey: string;
	chosen: (filter: string) => string[];
};

/** Pure: the rows that fit, in order. Every word of the search must be found. */
export function narrow<T>(rows: readonly T[], how: Narrowing<T>): T[] {
	const words = how.search.toLowerCase().split(/\s+/).filter(Boolean);
	const active = how.filters
		.map((filter) => ({ filter, chosen: how.chosen(filter.id) }))
		.filter(({ chosen }) => chosen.length > 0);
	const kept = rows.filter((row) => {
		if (!active.every(({ filter, chosen }) => filter.matches(row, chosen))) return false;
		if (words.length === 0 || !how.searchText) return true;
		const text = how.searchText(row).toLowerCase();
		return words.every((word) => text.includes(word));
	});
	const sort = parseSort(how.sortKey, how.columns);
	const column = how.columns.find(({ id }) => id === sort?.column);
	return sort && column?.sort ? sortedBy(kept, column.sort, sort.descending) : kept;
}

function parseSort<T>(key: string, columns: readonly Column<T>[]): { column: string; descending: boolean } | null {
	const descending = key.startsWith("-");
	const column = descending ? key.slice(1) : key;
	return columns.some(({ id, sort }) => id === column && sort) ? { column, descending } : null;
}
